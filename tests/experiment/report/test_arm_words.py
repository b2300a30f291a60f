from __future__ import annotations

import pytest

from made_study import study
from salign.experiment.report.arm_words import explain_arm, recipe_of_arm
from salign.losses import LOSSES

OWN = {
    "longer": {"loss": {"name": "cyborg"}, "train": {"epochs": 9}},
    "net": {"loss": {"name": "cyborg"}, "data": {"map_column": "model"}},
    "swap, map": {"loss": {"name": "swap", "also": {"hint": {"form": "mse"}}}},
    "fast": {"loss": {"name": "ce"}, "train": {"trainable": "head", "lr": 0.5}},
}


@pytest.mark.parametrize(
    ("arm", "words", "values"),
    [
        ("ce", "baseline: cross-entropy, no maps", "loss.name: ce"),
        ("cyborg", "guided by people's maps, loss cyborg", "loss.name: cyborg"),
        ("shuffled", "control: cyborg with maps of other images", "loss.name: cyborg; data.maps: shuffled"),
        ("dilated@0.1", "cyborg with maps grown (10%)", "loss.name: cyborg; data.maps: dilated@0.1"),
        ("shuffled:energy@10", "energy@10 with maps of other images",
         "loss.name: energy; loss.weight: 10.0; data.maps: shuffled"),
        ("ce_times@2", "cross-entropy, no maps, 2 times the training images",
         "loss.name: ce; 2 times the training images"),
        ("longer", "guided by people's maps, loss cyborg, train.epochs: 9", "loss.name: cyborg; train.epochs: 9"),
        ("net", "guided by the maps of the column model, loss cyborg, data.map_column: model",
         "loss.name: cyborg; data.map_column: model"),
        ("swap, map", "guided by people's maps, loss swap, hint added",
         "loss.name: swap; loss.also.hint.form: mse"),
        ("mixed_rand", "cross-entropy on what people marked, in the surroundings of any other image",
         "loss.name: ce; steps: [{'name': 'swap', 'lender': 'any', 'paint_over': True}]"),
        ("probe", "cross-entropy, no maps; the head learns alone, on features as they were",
         "loss.name: ce; train.trainable: head"),
        ("fast", "cross-entropy, no maps; the head learns alone, on features as they were, train.lr: 0.5",
         "loss.name: ce; train.trainable: head; train.lr: 0.5"),
        ("distill", "loss distill, no maps", "loss.name: distill"),
        ("okd@noise:cyborg", "loss okd, no maps, taught by the run of cyborg",
         "loss.name: okd; loss.teacher: arm:cyborg; loss.change: noise"),
        ("fuse@jumps:longer", "epochs of the run of longer fused, method: jumps",
         "loss.name: cyborg; train.epochs: 9; posthoc.name: fuse; posthoc.run: arm:longer; posthoc.method: jumps"),
    ],
)  # fmt: skip
def test_an_arm_is_explained_to_whoever_does_not_know_its_name(arm: str, words: str, values: str) -> None:
    plan = study("manifest.csv", arms=OWN)
    assert explain_arm(plan, arm) == words
    assert recipe_of_arm(plan, arm) == values


@pytest.mark.parametrize("loss", list(LOSSES))
def test_every_loss_is_explained(loss: str) -> None:
    assert ("no maps" in explain_arm(study("manifest.csv"), loss)) == (not LOSSES[loss]().guided)
