from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scipy.stats import beta
from torch import distributed, multiprocessing

from salign.errors import SalignError
from salign.train.recipe import Recipe
from salign.train.steps import STEPS
from salign.types import Batch

MODEL = SimpleNamespace(classes=("a", "b", "c"))
DRAWS = [400, 100, 300, 200]
PARTNERS = [1, 3, 0, 2]  # the next larger number; the largest goes to the smallest


def batch_of(index=(0, 1, 2, 3), **changed):
    fields = {
        "images": torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)),
        "labels": torch.tensor([0, 1, 2, 0]),
        "saliency": torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(1)),
        "annotated": torch.tensor([True, True, False, True]),
        "index": torch.tensor(index),
        "draw": torch.tensor(DRAWS),
    }
    return Batch(**{**fields, **changed})


def uniform(draw):
    return float(torch.rand(1, generator=torch.Generator().manual_seed(draw)))


def gif(rows=4, **options):
    step = STEPS["interpolate"](method="gif", **options)
    step.remember(rows)
    return step


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_mixup_mixes_images_and_labels_and_leaves_label_and_map(alpha):
    batch = batch_of()
    mixed = STEPS["interpolate"](alpha=alpha)(batch, MODEL, 0)
    for k, partner in enumerate(PARTNERS):
        drawn = beta.ppf(uniform(DRAWS[k]), alpha, alpha)
        weight = max(drawn, 1 - drawn)
        expected = weight * batch.images[k] + (1 - weight) * batch.images[partner]
        torch.testing.assert_close(mixed.images[k], expected)
        target = [0.0, 0.0, 0.0]
        target[batch.labels[k]] += weight
        target[batch.labels[partner]] += 1 - weight
        assert mixed.targets[k].tolist() == pytest.approx(target, abs=1e-6)
    for field in ("labels", "saliency", "annotated", "index"):
        assert torch.equal(getattr(mixed, field), getattr(batch, field))


def test_targets_that_are_soft_already_are_mixed():
    soft = torch.tensor([[0.8, 0.2, 0], [0, 1, 0], [0, 0.5, 0.5], [1, 0, 0]])
    mixed = gif()(batch_of(targets=soft), MODEL, 2)
    torch.testing.assert_close(mixed.targets, (soft + soft[PARTNERS]) / 2)
    several = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]]).float()
    mixed = gif()(batch_of(labels=several), MODEL, 2)
    torch.testing.assert_close(mixed.targets, (several + several[PARTNERS]) / 2)


def test_with_hard_labels_no_target_is_made():
    mixed = gif(labels="hard")(batch_of(), MODEL, 2)
    assert mixed.targets is None
    for k, partner in enumerate(PARTNERS):
        weight = 0.5 + uniform(DRAWS[k]) / 2
        expected = weight * batch_of().images[k] + (1 - weight) * batch_of().images[partner]
        torch.testing.assert_close(mixed.images[k], expected)


def test_gif_leaves_what_is_attackable_and_mixes_what_is_guarded_half_and_half():
    step, batch = gif(), batch_of()
    assert torch.equal(step(batch, MODEL, 0).images, batch.images)  # nothing is known yet
    step.learn(batch._replace(fooled=torch.tensor([False, True, False, False])), 0)
    assert step.fooled.tolist() == [-1, 0, -1, -1]
    mixed = step(batch, MODEL, 1)
    assert torch.equal(mixed.images[1], batch.images[1])
    assert mixed.targets[1].tolist() == [0, 1, 0]
    for k in (0, 2, 3):
        torch.testing.assert_close(mixed.images[k], (batch.images[k] + batch.images[PARTNERS[k]]) / 2)


def test_the_outcome_of_a_mixed_image_counts_for_both_and_fades_after_an_epoch():
    step, batch = gif(10), batch_of(index=(7, 5, 3, 1))
    mixed = step(batch, MODEL, 4)
    kept = torch.tensor([2, 3])  # a step between has left two images over
    outcome = mixed.each(lambda values: values[kept])._replace(fooled=torch.tensor([True, False]))
    step.learn(outcome, 4)
    assert step.fooled.tolist() == [-1, -1, -1, 4, -1, -1, -1, 4, -1, -1]  # 3, and 7, which was mixed into it
    assert torch.equal(step(batch, MODEL, 5).images[0], batch.images[0])
    assert torch.equal(step(batch, MODEL, 5).images[2], batch.images[2])
    assert not torch.equal(step(batch, MODEL, 6).images[2], batch.images[2])


def test_gif_without_an_attack_behind_it_is_refused():
    content = {"name": "r", "data": {"manifest": "m.csv"}}
    steps = [{"name": "attack"}, {"name": "interpolate", "method": "gif"}]
    with pytest.raises(SalignError, match="gif learns from an attack; add a step attack behind it"):
        Recipe.build({**content, "steps": steps})
    assert [step.name for step in Recipe.build({**content, "steps": steps[::-1]}).steps] == ["interpolate", "attack"]


def share_memory(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    step = gif(8)
    batch = batch_of(index=tuple(range(4 * rank, 4 * rank + 4)))
    step(batch, MODEL, 0)
    step.learn(batch._replace(fooled=torch.tensor([rank == 0, False, rank == 1, False])), 0)
    torch.save(step.fooled, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_share_what_was_fooled(tmp_path):
    multiprocessing.start_processes(share_memory, (tmp_path,), nprocs=2, start_method="fork")
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt").tolist() == [0, -1, -1, -1, -1, -1, 0, -1]
