"""Which weights learn, by their names, and that the rest stays as it is to the last bit."""

from __future__ import annotations

import pytest
import timm
import torch

from salign.errors import SalignError
from salign.losses import LOSSES
from salign.models import Classifier
from salign.train.frozen import freeze
from salign.train.tasks import Classification
from salign.types import Batch

LAST = {
    "test_resnet": ("layer4.", "fc."),
    "test_efficientnet": ("blocks.4.", "conv_head.", "bn2.", "classifier."),
    "test_convnext": ("stages.3.", "head."),
    "test_vit": ("blocks.5.", "norm.", "fc_norm.", "head."),
}
"""Network -> beginnings of the names of the weights of its last block, and of what comes after it."""


@pytest.mark.parametrize("name", sorted(LAST))
def test_the_last_block_and_what_comes_after_it_learn(name: str) -> None:
    net = timm.create_model(name, num_classes=2)
    freeze(net, "last_block")
    learn = {key for key, weight in net.named_parameters() if weight.requires_grad}
    last = [key for key, _ in net.named_parameters() if key.startswith(LAST[name])]
    assert learn == set(last)
    assert 0 < len(learn) < len(list(net.parameters()))


@pytest.mark.parametrize("name", sorted(LAST))
def test_of_the_head_the_classifier_learns(name: str) -> None:
    net = timm.create_model(name, num_classes=2)
    freeze(net, "head")
    learn = sorted(weight.shape[0] for weight in net.parameters() if weight.requires_grad)
    assert learn == [2, 2]


def test_a_network_that_does_not_say_its_last_block_is_refused() -> None:
    net = timm.create_model("test_resnet", num_classes=2)
    del net.feature_info
    with pytest.raises(SalignError, match=r"which the last block of ResNet is\. Take head or all"):
        freeze(net, "last_block")
    with pytest.raises(SalignError, match="trainable: expected all, last_block or head"):
        freeze(net, "tail")  # type: ignore[arg-type]


@pytest.mark.parametrize("trainable", ["last_block", "head"])
def test_a_step_changes_what_learns_and_nothing_else(trainable: str) -> None:
    args = {"zero_init_last": False}
    classifier = Classifier("test_resnet", ("a", "b"), image_size=32, args=args)
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    task = Classification(classifier, LOSSES["ce"](), trainable).train()  # type: ignore[arg-type]
    optimiser = torch.optim.SGD([weight for weight in task.parameters() if weight.requires_grad], lr=0.5)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    looked = torch.zeros(4, dtype=torch.bool)
    batch = Batch(images, torch.tensor([0, 1, 0, 1]), torch.zeros(4, 1, 32, 32), looked, torch.arange(4))
    task(batch).total.backward()
    optimiser.step()
    changed = {key for key, value in classifier.state_dict().items() if not torch.equal(value, before[key])}
    learned = ("backbone.net.layer4.", "backbone.net.fc.") if trainable == "last_block" else ("backbone.net.fc.",)
    assert changed
    assert all(key.startswith(learned) for key in changed)
    if trainable == "last_block":
        assert any("running_mean" in key for key in changed)
