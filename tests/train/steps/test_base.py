"""What every step promises; what it remembers of each training image survives a training that was cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.reading.datamodule import SaliencyDataModule
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.losses import CrossEntropy
from salign.models import Classifier
from salign.train.callbacks import KeepBest
from salign.train.module import Training
from salign.train.recipe import TrainRecipe
from salign.train.steps import STEPS, Step, for_steps
from salign.train.tasks import Classification
from salign.train.trainer import run_trainer, training_options
from salign.types import DRAWS, Batch

IMAGES = 6


class Seen(Step):
    """Darkens an image the more, the more often it was seen; counts how often, and when last."""

    def remember(self, rows: int) -> None:
        self.register_buffer("times", torch.zeros(rows, dtype=torch.int64))
        self.register_buffer("last", torch.full((rows,), -1))

    def forward(self, batch: Batch, model: Any, epoch: int) -> Batch:
        self.times[batch.index] += 1
        self.last[batch.index] = epoch
        return batch._replace(images=batch.images / self.times[batch.index].view(-1, 1, 1, 1))


def dataset(folder: Path) -> SaliencyDataset:
    rows = []
    for k in range(IMAGES):
        Image.new("RGB", (16, 16), (40 * k, 255 - 40 * k, 7 * k)).save(folder / f"{k}.png")
        rows.append((str(k), f"{k}.png", "ab"[k % 2], "train"))
    pd.DataFrame(rows, columns=["id", "path", "label", "split"]).to_csv(folder / "m.csv", index=False)
    return SaliencyDataset(Manifest.read(folder / "m.csv"), ("a", "b"), build_transform(16))


class CutOff(Exception):
    pass


def trained(
    folder: Path, data: SaliencyDataset, steps: list[Step], stop_after: int | None = None
) -> dict[str, torch.Tensor]:
    """Weights and memory after three epochs, or after those before it was cut off."""
    folder.mkdir(exist_ok=True)
    options = TrainRecipe(epochs=3, batch_size=4, precision="float32", memory_format="contiguous", select="last")
    for step in steps:
        step.remember(IMAGES)
    task = Classification(Classifier("test_resnet", ("a", "b"), image_size=16), CrossEntropy())
    module = Training(task, steps, **training_options(options, 0))
    if stop_after is not None:
        begin = module.on_train_epoch_start

        def on_train_epoch_start() -> None:
            if module.current_epoch == stop_after:
                raise CutOff
            begin()

        module.on_train_epoch_start = on_train_epoch_start  # type: ignore[method-assign]
    loaders = SaliencyDataModule(train=for_steps(data, steps), val=data, batch_size=4, workers=0, seed=0)
    keep = KeepBest(folder, task.network, monitor=None, ties="last")
    run_trainer(module, loaders, keep, folder, options, "cpu", progress=False)
    return module.state_dict()


def seen() -> list[Step]:
    return [Seen()]


def guided_interpolation() -> list[Step]:
    chosen = STEPS["select"](share=0.75)
    return [STEPS["interpolate"](method="gif"), STEPS["attack"](epsilon=2, steps=1), chosen]


@pytest.mark.slow
@pytest.mark.parametrize("make", [seen, guided_interpolation])
def test_a_resumed_training_remembers_what_it_had_seen(make: Callable[[], list[Step]], tmp_path: Path) -> None:
    data = dataset(tmp_path)
    whole = trained(tmp_path / "whole", data, make())
    if make is seen:
        assert whole["steps.0.times"].tolist() == [3] * IMAGES
        assert whole["steps.0.last"].tolist() == [2] * IMAGES
    else:
        assert {-1, 2} & set(whole["steps.0.fooled"].tolist())
        assert max(whole["steps.0.fooled"].tolist()) >= 0
        log = pd.read_csv(tmp_path / "whole" / "metrics.csv")
        assert log["train/selected"].tolist() == pytest.approx([5 / 6] * 3)  # 3 of 4 images, and both of the last two
        assert log["train/fooled"].between(0, 1).all()
    with pytest.raises(CutOff):
        trained(tmp_path / "cut", data, make(), stop_after=2)
    resumed = trained(tmp_path / "cut", data, make())
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


B, K, SIZE = 6, 3, 32
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in STEPS},
    "attack, l2": ("attack", {"norm": "l2", "epsilon": 128.0}),
    "attack outside": ("attack", {"region": "outside"}),
    "attack inside": ("attack", {"region": "inside"}),
    "interpolate, gif": ("interpolate", {"method": "gif"}),
    "interpolate, hard": ("interpolate", {"labels": "hard"}),
    "swap, painted": ("swap", {"lender": "any", "paint_over": True}),
    "select at random": ("select", {"by": "random"}),
    "select by disagreement": ("select", {"by": "disagreement"}),
}
every_step = pytest.mark.parametrize("variant", VARIANTS)
ONE = torch.arange(B) % K
SEVERAL = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, 0]]).float()
OVER_THE_BATCH = {
    "interpolate": "the other image comes from the same process",
    "interpolate, gif": "as interpolate",
    "interpolate, hard": "as interpolate",
    "select": "each process selects the same share of its own images, so that all do the same work",
    "select at random": "as select",
    "select by disagreement": "as select",
}
"""Steps that do something else to halves of a batch than to the whole -> the reason. Each must differ."""


def make(variant: str) -> Step:
    name, options = VARIANTS[variant]
    step = STEPS[name](**options)
    step.remember(B)
    return step


def make_batch(labels: torch.Tensor = ONE) -> Batch:
    """Images that a step may change: some are annotated, each has a draw and a partner."""
    generator = torch.Generator().manual_seed(0)
    looked = torch.tensor([True, False, True, True, False, True])
    saliency = torch.zeros(B, 1, SIZE, SIZE)
    saliency[:, :, 8:20, 10:24] = torch.rand(B, 1, 12, 14, generator=generator)
    return Batch(
        images=torch.rand(B, 3, SIZE, SIZE, generator=generator),
        labels=labels,
        saliency=saliency * looked.view(B, 1, 1, 1),
        annotated=looked,
        index=torch.arange(B),
        draw=torch.randint(DRAWS, (B,), generator=generator),
        partner=torch.rand(B, 3, SIZE, SIZE, generator=generator),
    )


def make_model() -> Classifier:
    return Classifier("test_resnet", [str(k) for k in range(K)], image_size=SIZE)


def test_the_batches_of_the_contracts_reach_what_each_step_does() -> None:
    for variant in VARIANTS:
        batch = make_batch()
        changed = make(variant)(batch, make_model(), 3)  # in the fourth epoch gif takes every image for guarded
        assert len(changed.labels) < B or not torch.equal(changed.images, batch.images), variant


@every_step
@pytest.mark.parametrize("labels", [ONE, SEVERAL], ids=["one", "several"])
def test_images_stay_images_and_nothing_else_is_touched(variant: str, labels: torch.Tensor) -> None:
    model, batch = make_model().train(), make_batch(labels)
    model.backbone.net.layer1.eval()  # a frozen part stays in its mode
    modes = [part.training for part in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = batch.each(torch.clone)
    changed = make(variant)(batch, model, 3)
    assert changed.images.dtype == torch.float32
    assert not changed.images.requires_grad
    assert float(changed.images.min()) >= 0
    assert float(changed.images.max()) <= 1
    for field in changed[:5]:
        assert len(field) == len(changed.labels)
    for old, same in zip(before, batch, strict=True):
        assert (old is None) == (same is None)
        assert old is None or torch.equal(old.nan_to_num(), same.nan_to_num())
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


@every_step
def test_maps_that_nobody_drew_are_not_looked_at(variant: str) -> None:
    batch, model = make_batch(), make_model()
    missing = ~batch.annotated.view(B, 1, 1, 1)
    other = batch._replace(saliency=torch.where(missing, torch.rand(B, 1, SIZE, SIZE), batch.saliency))
    mine, theirs = (make(variant)(each, model, 3) for each in (batch, other))
    if variant.startswith("swap"):  # what is not annotated has no partner, as the loader gives it
        rows = batch.annotated.nonzero()[:, 0].tolist()
        assert torch.equal(mine.images[rows], theirs.images[rows])
        return
    assert torch.equal(mine.index, theirs.index)
    assert torch.equal(mine.images, theirs.images)


@every_step
def test_under_bfloat16_it_stays_what_it_is(variant: str) -> None:
    batch, model = make_batch(), make_model()
    exact = make(variant)(batch, model, 3)
    with torch.autocast("cpu", torch.bfloat16):
        rough = make(variant)(batch, model, 3)
    assert rough.images.dtype == torch.float32
    assert rough.images.shape == exact.images.shape
    assert torch.isfinite(rough.images).all()
    if VARIANTS[variant][0] not in ("attack", "select"):  # these ask the network, which answers in bfloat16
        assert torch.equal(rough.images, exact.images)


@every_step
def test_two_processes_do_what_one_does(variant: str) -> None:
    """Half of the batch each."""
    batch, model = make_batch(), make_model()
    whole = make(variant)(batch, model, 3)
    halves = [make(variant)(batch.each(lambda v, h=h: v[3 * h : 3 * h + 3]), model, 3) for h in (0, 1)]
    rows, images = (torch.cat([getattr(half, field) for half in halves]) for field in ("index", "images"))
    alike = torch.equal(rows, whole.index) and torch.allclose(images, whole.images, atol=1e-6)
    assert alike == (variant not in OVER_THE_BATCH)
