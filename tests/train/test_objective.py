"""An objective is a loss plus the weighted terms of others; what swap once carried as options is written that way."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from salign.errors import SalignError
from salign.losses import LOSSES, LossTerms, evidence_outside, saliency_distance, swap_consistency, swap_regions
from salign.losses.cross_entropy import CrossEntropy, cross_entropy
from salign.train.objective import Objective, adds_up
from salign.train.recipe import LossRecipe
from second_look import Small, make_batch

ADDABLE = {
    "cdep", "distill", "divisive", "droid", "energy", "evidence", "fmmce", "gain", "gain_ext", "haics", "harmonization",
    "hbcam", "hint", "l1_guidance", "okd", "ppce", "res_g", "res_l", "rrr", "rrr_grad_cam", "sage", "swap",
}  # fmt: skip


def terms_of(loss: Any) -> LossTerms:
    for part in loss.modules():
        part.teacher = lambda images: images.mean((2, 3))
    batch = loss.prepare(make_batch())
    return loss(Small()(batch.images), batch)


def test_every_loss_that_is_cross_entropy_and_weighted_terms_can_be_added() -> None:
    assert {name for name, loss in LOSSES.items() if adds_up(loss)} == ADDABLE


@pytest.mark.parametrize("name", sorted(ADDABLE))
def test_cross_entropy_and_what_is_added_to_it_are_the_loss_itself(name: str) -> None:
    alone, added = LOSSES[name](weight=0.7, ramp_epochs=3), LOSSES[name](weight=0.7, ramp_epochs=3)
    objective = Objective(CrossEntropy(), {name: added})
    alone.epoch = objective.epoch = 1
    one, both = terms_of(alone), terms_of(objective)
    assert torch.equal(one.total, both.total)
    assert both.parts.pop("ce") == one.parts.pop("ce")
    assert list(both.parts.values()) == list(one.parts.values())
    assert next(iter(both.parts)) == name
    assert (objective.needs, objective.guided) == (alone.needs, alone.guided)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - ADDABLE))
def test_a_total_of_another_kind_is_a_main_loss_only(name: str) -> None:
    with pytest.raises(SalignError, match=rf"loss {name} cannot be added to another: .*loss\.name: {name}\)"):
        Objective(CrossEntropy(), {name: LOSSES[name]()})


def test_terms_add_up_under_names_of_their_own() -> None:
    recipe = LossRecipe(
        name="cyborg", alpha=0.3, also={"swap": {"weight": 2}, "gain_ext": {"weight": 3, "alpha": 5, "ramp_epochs": 1}}
    )
    total, parts = terms_of(recipe.build())
    cyborg, swap, gain = (terms_of(LOSSES[name](**options)).parts for name, options in (
        ("cyborg", {"alpha": 0.3}), ("swap", {}), ("gain_ext", {})))  # fmt: skip
    expected = {
        "ce": cyborg["ce"].item(),
        "saliency": cyborg["saliency"].item(),
        "gain_ext": gain["saliency"].item(),
        "gain_ext_mining": gain["mining"].item(),
        "swap": swap["saliency"].item(),
    }
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected, abs=1e-6)
    assert total.item() == pytest.approx(
        0.3 * expected["ce"] + 0.7 * expected["saliency"] + 2 * expected["swap"]
        + 0.5 * (3 * expected["gain_ext"] + 5 * expected["gain_ext_mining"]),
        abs=1e-5,
    )  # fmt: skip
    assert recipe.build().needs == {"cam", "grad_cam", "second_view"}


def test_the_image_records_its_gradient_once_for_all() -> None:
    batch = LossRecipe(name="ce", also={"rrr": {}}).build().prepare(make_batch())
    assert batch.images.requires_grad


def test_a_guided_term_makes_a_guided_objective() -> None:
    assert not LossRecipe(name="ce", also={"gain": {}}).build().guided
    assert LossRecipe(name="ce", also={"gain": {}, "energy": {}}).build().guided
    assert not LossRecipe(name="ce", also={"energy": {"weight": 0}}).build().guided


def test_class_weights_are_those_of_every_cross_entropy() -> None:
    objective = LossRecipe(name="cyborg", also={"swap": {}}).build(torch.tensor([1.0, 2.0, 3.0]))
    assert isinstance(objective, Objective)
    weights = [objective.main.class_weights, objective.also["swap"].class_weights]
    assert [each.tolist() for each in weights if each is not None] == [[1.0, 2.0, 3.0]] * 2


def test_the_earlier_options_of_swap_are_the_same_to_the_last_bit() -> None:
    old = {"name": "swap", "weight": 2.0, "evidence_weight": 3.0, "map_weight": 10.0, "ramp_epochs": 2}
    new = {
        "name": "swap", "weight": 2.0, "ramp_epochs": 2,
        "also": {"hint": {"form": "mse", "weight": 10, "ramp_epochs": 2}, "evidence": {"weight": 3, "ramp_epochs": 2}},
    }  # fmt: skip
    batch, network = make_batch(), Small()
    output = network(batch.images)
    views, counts = swap_regions(batch.images, batch.labels, batch.saliency, batch.annotated, batch.index)
    cams = output.cam(torch.arange(3).expand(5, -1))
    ramp = 2 / 3
    expected = cross_entropy(output.logits, batch.labels)
    expected = expected + 2.0 * ramp * swap_consistency(network(views).logits, batch.labels, counts)
    expected = expected + 3.0 * ramp * evidence_outside(cams, batch.saliency, batch.annotated)
    expected = expected + 10.0 * ramp * saliency_distance(
        output.grad_cam(batch.labels), batch.saliency, batch.annotated
    )
    for recipe in (LossRecipe(**old), LossRecipe(**new)):
        objective = recipe.build()
        objective.epoch = 1
        assert torch.equal(objective(output, batch).total, expected)
        assert recipe.content() == {**old, "class_weights": "none", "also": {}, "teacher": None, "dose": None}


def test_a_weight_of_zero_adds_nothing_as_ever() -> None:
    recipe = LossRecipe(name="swap", evidence_weight=0, map_weight=0)
    assert isinstance(recipe.build(), LOSSES["swap"])
    assert recipe.build().needs == {"second_view"}
    assert recipe.earlier == {}


def test_an_added_term_with_other_options_counts_as_it_is_written() -> None:
    also = {"hint": {"form": "ranking", "weight": 10.0}}
    assert LossRecipe(name="swap", also=also).content()["also"] == also
    assert LossRecipe(name="ce", also=also).content()["also"] == also
