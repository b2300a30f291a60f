from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from salign.errors import SalignError
from salign.evaluate.robustness import attack_images, cross_entropy_and_margin, fooled_from, robust_accuracy
from salign.types import Batch

SIDE = 20


def by_two_pixels(images):
    """Two classes by one pixel inside of the region and one outside: `logit_1 - logit_0 = 2 a + b - 1.5`."""
    evidence = 2 * images[:, 0, 4, 4] + images[:, 0, 15, 15] - 1.5
    return torch.stack([-evidence / 2, evidence / 2], dim=1)


def case():
    """Evidence -0.10, 0.06, 0.30 and -0.10; the third is answered wrong; the last has no map."""
    images = torch.full((4, 3, SIDE, SIDE), 0.5)
    images[:, 0, 15, 15] += torch.tensor([-0.1, 0.06, 0.3, -0.1])
    saliency = torch.zeros(4, 1, SIDE, SIDE)
    saliency[:3, :, 2:7, 2:7] = 1
    return Batch(
        images,
        torch.tensor([0, 1, 0, 0]),
        saliency,
        torch.tensor([True, True, True, False]),
        torch.tensor([2, 3, 0, 1]),
    )


RADII = [4.0, 8.0, 12.0, 30.0]


def found(side=None, **options):
    batch = case()
    within = None
    if side is not None:
        within = torch.zeros(4, 1, SIDE, SIDE)
        rows, columns = (slice(2, 7),) * 2 if side == "inside" else (slice(10, 20),) * 2
        within[:, :, rows, columns] = 1
    settings = {"epsilons": RADII, "steps": 5, "restarts": 1, "generator": torch.Generator().manual_seed(0)}
    return fooled_from(by_two_pixels, batch.images, batch.labels, within=within, **{**settings, **options}).tolist()


def test_the_smallest_radius_that_turns_the_answer():
    """Evidence e falls by 3 r / 255 everywhere, by 2 r inside and by r outside: .1 * 255 = 25.5, .06 * 255 = 15.3."""
    assert found() == [12, 8, 0, 12]  # 8.5, 5.1
    assert found("inside") == [30, 8, 0, 30]  # 12.75, 7.65
    assert found("outside") == [30, 30, 0, 30]  # 25.5, 15.3
    assert found(epsilons=[8, 4]) == [math.inf, 8, 0, math.inf]


def test_in_the_euclidean_norm():
    """The evidence falls by sqrt(5) r / 255: 11.4 and 6.8."""
    assert found(norm="l2") == [12, 8, 0, 12]
    assert found(norm="l2", epsilons=[6, 7, 11, 11.5]) == [11.5, 7, 0, 11.5]


def test_a_network_whose_cross_entropy_is_flat_is_attacked_by_its_margin():
    def sure(images):
        return 2000 * by_two_pixels(images)  # the softmax is 0 and 1 to the last bit, and its gradient nought

    batch = case()
    options = {"epsilons": RADII, "steps": 5, "generator": torch.Generator().manual_seed(0)}
    flat = fooled_from(sure, batch.images, batch.labels, restarts=1, **options)
    assert flat.tolist() == [math.inf, math.inf, 0, math.inf]
    assert fooled_from(sure, batch.images, batch.labels, restarts=2, **options).tolist() == [12, 8, 0, 12]


def test_further_restarts_begin_at_random():
    seen = []

    def watch(images):
        seen.append(images[0].detach().clone())
        return by_two_pixels(images)

    batch = case()
    options = {"epsilons": [1.0], "steps": 1, "generator": torch.Generator().manual_seed(0)}
    fooled_from(watch, batch.images[:1], batch.labels[:1], restarts=3, **options)
    clean, first, _, second, _, third, _ = seen
    assert torch.equal(first, clean)
    assert torch.equal(second, clean)
    change = third - clean
    assert float(change.abs().max()) <= 1 / 255 + 1e-6
    assert float(change.std()) == pytest.approx(1 / 255 / math.sqrt(3), rel=0.1)


def test_margin_and_cross_entropy_of_one_label_and_of_several():
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.4, -3.0]])
    costs, margin = cross_entropy_and_margin(logits, torch.tensor([0, 0]))
    torch.testing.assert_close(costs, functional.cross_entropy(logits, torch.tensor([0, 0]), reduction="none"))
    torch.testing.assert_close(margin, torch.tensor([-1.5, 0.3]))
    labels = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    costs, margin = cross_entropy_and_margin(logits, labels)
    signs = 2 * labels - 1
    torch.testing.assert_close(costs, (-functional.logsigmoid(signs * logits)).mean(1))
    torch.testing.assert_close(margin, torch.tensor([-0.5, 3.0]))  # right by a half; wrong by three


def table(**options):
    settings = {"epsilons": RADII, "steps": 5, "restarts": 2, "generator": torch.Generator().manual_seed(0)}
    return attack_images(
        by_two_pixels, [case()], ids=["a", "b", "c", "d"], names=["x", "y", "z", "w"], **{**settings, **options}
    )


def test_each_image_is_attacked_everywhere_and_those_with_a_map_on_each_side():
    rows = table()
    known = {(row.id, row.attacked): row.fooled_from for row in rows.itertuples()}
    assert known == {
        ("c", "all"): 12, ("c", "inside"): 30, ("c", "outside"): 30,
        ("d", "all"): 8, ("d", "inside"): 8, ("d", "outside"): 30,
        ("a", "all"): 0, ("a", "inside"): 0, ("a", "outside"): 0,
        ("b", "all"): 12,
    }  # fmt: skip
    assert rows["label"].tolist() == ["z"] * 3 + ["w"] * 3 + ["x"] * 3 + ["y"]
    everywhere = rows[rows["attacked"] == "all"]
    # the pixel inside has two thirds of the effect; the region of 5 x 5 pixels is widened by one on each side
    assert everywhere["effect_inside"].tolist()[:3] == pytest.approx([2 / 3] * 3, abs=1e-4)
    assert everywhere["area_inside"].tolist()[:3] == pytest.approx([49 / 400] * 3)
    assert everywhere["effect_inside"].isna().tolist() == [False] * 3 + [True]
    assert rows[rows["attacked"] != "all"]["effect_inside"].isna().all()


def test_what_fools_on_one_side_fools_everywhere():
    """The attack everywhere is so short that it fails by itself; the two sides tell it."""
    rows = table(steps=1, restarts=1, norm="linf", epsilons=[30.0])
    wide = rows.pivot_table(index="id", columns="attacked", values="fooled_from")
    assert (wide["all"] <= wide[["inside", "outside"]].min(axis=1).fillna(math.inf)).all()


def wilson(right, n, z=1.959963984540054):
    share = right / n
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return [(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)]


def test_figures_with_wilsons_interval():
    figures = robust_accuracy(table(), RADII)
    known = {(row.images, row.attacked, row.epsilon): row for row in figures.itertuples()}
    assert [known["all", "all", radius].accuracy for radius in (0, *RADII)] == [0.75, 0.75, 0.5, 0, 0]
    assert known["all", "all", 8].n == 4
    assert [known["with a map", "all", 8.0].accuracy, known["with a map", "all", 4.0].accuracy] == [1 / 3, 2 / 3]
    assert [known["with a map", "outside", radius].accuracy for radius in (0, *RADII)] == [2 / 3] * 4 + [0]
    assert [known["with a map", "inside", radius].accuracy for radius in (0, *RADII)] == [2 / 3] * 2 + [1 / 3] * 2 + [0]
    for row in known.values():
        assert [row.low, row.high] == pytest.approx(wilson(round(row.accuracy * row.n), row.n))
    assert known["with a map", "all", 30.0].effect_inside == pytest.approx(2 / 3, abs=1e-4)
    assert np.isnan(known["with a map", "all", 4.0].effect_inside)


def test_where_all_have_a_map_or_none_has_there_is_one_set_of_images():
    rows = table()
    mapped = robust_accuracy(rows[rows["id"] != "b"], RADII)
    assert set(mapped["images"]) == {"all"}
    assert set(mapped["attacked"]) == {"all", "outside", "inside"}
    alone = robust_accuracy(rows[rows["id"] == "b"], RADII)
    assert set(zip(alone["images"], alone["attacked"], strict=True)) == {("all", "all")}


def test_several_labels():
    batch = case()
    labels = functional.one_hot(batch.labels, 2).float()
    rows = attack_images(
        by_two_pixels, [batch._replace(labels=labels)], ids=list("abcd"), names=list("abcd"), epsilons=RADII, steps=5,
        restarts=1, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    pd.testing.assert_series_equal(rows["fooled_from"], table()["fooled_from"])


def test_no_radius_is_refused():
    with pytest.raises(SalignError, match="epsilons: expected at least one radius, got none"):
        table(epsilons=[])


def test_images_of_which_none_has_a_map_are_attacked_everywhere():
    batch = case()._replace(annotated=torch.zeros(4, dtype=torch.bool))
    rows = attack_images(
        by_two_pixels, [batch], ids=list("abcd"), names=list("abcd"), epsilons=RADII, steps=5, restarts=1,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert rows["attacked"].tolist() == ["all"] * 4
    assert rows["fooled_from"].tolist() == [12, 8, 0, 12]
    assert rows["effect_inside"].isna().all()
