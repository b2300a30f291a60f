"""Networks of one's own: the maps of torchvision's and of odd ones mean their logits, or they are refused."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from references.cam import head_gradient_cam
from salign.errors import SalignError
from salign.losses import LOSSES
from salign.models import Wrapped, wrap
from salign.types import Batch

K = 3


def images(size: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


class Odd(nn.Module):
    """A small network in whose middle something can be made odd."""

    def __init__(self, head: nn.Module | None = None, skip: bool = False, aside: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.last = nn.Conv2d(6, 8, 3, 2, 1)
        self.around = nn.Conv2d(6, 8, 3, 2, 1)
        self.fc = head or nn.Linear(8, K)
        self.skip, self.aside = skip, aside

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        maps = self.last(x)
        if self.aside:
            maps = self.around(x)
        elif self.skip:
            maps = maps + self.around(x)
        return self.fc(maps.relu_().mean((2, 3)))


class Loudest(nn.Module):
    """Pools by the largest cell."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.maps, self.fc = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, K)

    def tail(self, maps: Tensor) -> Tensor:
        return self.fc(maps.amax((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.maps(x))


class Maps(nn.Module):
    """Gives no logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


LINEAR: dict[str, tuple[Callable[..., nn.Module], str, str, int]] = {
    "resnet18": (models.resnet18, "layer4", "fc", 64),
    "densenet121": (models.densenet121, "features", "classifier", 64),  # a ReLU in place comes after the layer
    "mnasnet0_5": (models.mnasnet0_5, "layers", "classifier", 64),  # dropout before the linear layer
}
GRADIENT: dict[str, tuple[Callable[..., nn.Module], str, str, int]] = {
    "mobilenet_v3_small": (models.mobilenet_v3_small, "features", "classifier", 64),
    "convnext_tiny": (models.convnext_tiny, "features", "classifier", 64),
    "squeezenet1_1": (models.squeezenet1_1, "features", "classifier", 64),
}


@pytest.mark.parametrize("name", LINEAR)
def test_the_map_of_a_linear_head_adds_up_to_the_networks_own_logit(name: str) -> None:
    make, features, head, size = LINEAR[name]
    net = make(num_classes=K).eval()
    wrapped = wrap(net, features=features, head=head, image_size=size)
    x = images(size)
    with torch.inference_mode():
        output = wrapped(x)
        maps = output.cam(torch.arange(K).expand(2, -1))
        assert torch.equal(output.logits, net(x))
    last = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-1]
    assert wrapped.cam_kind == "linear"
    assert maps.shape[2:] == wrapped.grid
    assert maps.flatten(2).std(2).min() > 0
    torch.testing.assert_close(maps.mean((2, 3)) + last.bias, output.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", GRADIENT)
def test_the_map_of_another_head_is_its_gradient_times_the_features(name: str) -> None:
    make, features, head, size = GRADIENT[name]
    net = make(num_classes=K).eval()
    wrapped = wrap(net, features=features, head=head, image_size=size)
    output = wrapped(images(size))
    with torch.inference_mode():
        assert torch.equal(output.logits, net(images(size)))
    torch.testing.assert_close(wrapped.head(output.features), output.logits)
    assert wrapped.cam_kind == "head_gradient"
    expected = head_gradient_cam(wrapped.head, output.features, [2, 0]) * output.features[0, 0].numel()
    torch.testing.assert_close(output.cam(torch.tensor([2, 0])), expected, atol=1e-5, rtol=1e-3)


def test_normalisation_is_inside_if_given() -> None:
    net = Odd().eval()
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    wrapped = wrap(net, features="last", head="fc", image_size=16, mean=mean, std=std)
    x = images(16)
    normal = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], 1)
    torch.testing.assert_close(wrapped(x).logits, net(normal))
    for wrong, said in (
        ({"mean": (0.1, 0.2)}, r"mean: expected three numbers, one per channel, got \(0\.1, 0\.2\)\."),
        ({"std": (1.0,)}, r"std: expected three numbers, one per channel, got \(1\.0,\)\."),
        ({"std": (1.0, 0.0, 1.0)}, r"std: expected a number above 0, got 0\.0\."),
    ):
        with pytest.raises(SalignError, match=f"^{said}"):
            wrap(net, features="last", head="fc", image_size=16, **wrong)


def test_wrapping_leaves_the_network_as_it_was() -> None:
    net = Odd(nn.Sequential(nn.Dropout(), nn.Linear(8, K))).train()
    net.around.eval()
    state, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    stream = torch.random.get_rng_state()
    wrapped = wrap(net, features="last", head="fc", image_size=16)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), stream)
    assert {key.removeprefix("net.") for key in wrapped.state_dict()} == set(state)
    assert not any(module._forward_hooks for module in net.modules())


def test_an_error_inside_leaves_no_hook() -> None:
    net = Odd()
    wrapped = wrap(net, features="last", head="fc", image_size=16)
    with pytest.raises(RuntimeError):
        wrapped(torch.rand(1, 3, 16, 16).double())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_copy_is_a_network_of_its_own() -> None:
    wrapped = wrap(Odd().eval(), features="last", head="fc", image_size=16)
    other = copy.deepcopy(wrapped)
    nn.init.zeros_(other.net.fc.weight)
    assert other(images(16)).cam(torch.tensor([0, 1])).abs().max() == 0
    assert wrapped(images(16)).cam(torch.tensor([0, 1])).abs().max() > 0


def own_linear() -> Wrapped:
    return wrap(Odd(), features="last", head="fc", image_size=32)


def own_deep() -> Wrapped:
    head = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, K))
    return wrap(Odd(head), features="last", head="fc", image_size=32)


def own_tail() -> Wrapped:
    net = Loudest()
    return wrap(net, features="maps", tail=net.tail, image_size=32)


@pytest.mark.parametrize("make", [own_linear, own_deep, own_tail])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_trains_it(name: str, make: Callable[[], Wrapped]) -> None:
    wrapped, loss = make().train(), LOSSES[name]()
    loss.teacher = lambda images: images.mean((2, 3))
    saliency = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    looked = torch.tensor([True, True, False, True])
    batch = Batch(images(32, 4), torch.tensor([0, 1, 2, 0]), saliency, looked, torch.arange(4))
    if "linear_head" in loss.needs and wrapped(batch.images).weight is None:
        with pytest.raises(SalignError, match=f"{name} needs a network .* a linear head on the spatial mean"):
            loss(wrapped(batch.images), batch)
        return
    optimiser = torch.optim.SGD(wrapped.parameters(), lr=0.05)
    totals = []
    for _ in range(8):
        ready = loss.prepare(batch)
        total = loss(wrapped(ready.images), ready).total
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert totals[-1] < totals[0]
    assert not any(module._forward_hooks for module in wrapped.modules())


def test_a_tail_of_ones_own_is_believed_only_where_it_is_what_the_network_does() -> None:
    net = Loudest()
    assert own_tail().cam_kind == "head_gradient"
    with pytest.raises(SalignError, match=r"what the network makes of maps is not fc on the spatial mean.*Give tail="):
        wrap(net, features="maps", head="fc", image_size=32)
    with pytest.raises(SalignError, match=r"what the network makes of maps is not tail"):
        wrap(net, features="maps", tail=lambda maps: net.fc(maps.mean((2, 3))), image_size=32)
    odd = Odd()
    found = wrap(odd, features="last", head="fc", tail=lambda maps: odd.fc(maps.relu().mean((2, 3))), image_size=16)
    assert found.cam_kind == "linear"


def test_a_head_of_zeros_proves_nothing_by_itself() -> None:
    net = Loudest()
    nn.init.zeros_(net.fc.weight)
    with pytest.raises(SalignError, match="is not fc on the spatial mean"):
        wrap(net, features="maps", head="fc", image_size=32)
    with pytest.raises(SalignError, match=r"the answer is the same.*weights that are not zero"):
        wrap(net, features="maps", tail=net.tail, image_size=32)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (partial(Odd, skip=True), {"features": "last"}, r"does not come from last alone.*skip"),
        (partial(Odd, aside=True), {"features": "last"}, r"does not come from last alone"),
        (models.resnet18, {"features": "layer4.1.bn2"}, r"does not come from layer4.1.bn2 alone"),
        (models.resnet18, {"features": "layer3"}, r"is not fc on the spatial mean.*Give tail="),
        (models.resnet18, {"features": "layer5"}, r"features: the network has no layer 'layer5'. Nearest: layer"),
        (models.resnet18, {"features": "layer4", "head": "fcc"}, r"head: the network has no layer 'fcc'.*Nearest: fc"),
        (models.resnet18, {"features": "layer4", "head": None}, r"expected head.*or tail.*got neither"),
        (models.resnet18, {"features": "layer4.1.relu"}, r"layer4.1.relu ran 2 times.*runs once"),
        (models.resnet18, {"features": "fc"}, r"expected maps \(B, C, h, w\) from fc, got \(2, 1000\)"),
        (Maps, {"features": "body", "head": "body"}, r"expected logits \(B, K\) from the network.*got \(2, 4, 62"),
    ],
)  # fmt: skip
def test_what_is_no_evidence_is_refused_with_the_remedy(
    make: Callable[[], nn.Module], options: dict, message: str
) -> None:
    with pytest.raises(SalignError, match=message):
        wrap(make(), **{"head": "fc", "image_size": 64, **options})


def test_a_class_token_is_refused_with_the_remedy() -> None:
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8}
    net = models.VisionTransformer(image_size=32, patch_size=16, num_classes=K, **sizes)
    nn.init.normal_(net.heads.head.weight)
    with pytest.raises(SalignError, match=r"expected maps.*got \(2, 5, 8\).*class token.*global_pool: avg"):
        wrap(net, features="encoder", head="heads", image_size=32)
    with pytest.raises(SalignError, match=r"is not heads.*Give tail="):
        wrap(net, features="conv_proj", head="heads", image_size=32)


class Answer(OrderedDict[str, Tensor]):
    """As `transformers` gives answers: a mapping whose entries are attributes, too."""

    def __getattr__(self, name: str) -> Tensor:
        return self[name]


@dataclass
class Plain:
    """An answer that is no mapping."""

    logits: Tensor


@pytest.mark.parametrize(
    "form", [lambda logits: Answer(loss=logits.sum(), logits=logits), Plain, dict], ids=["mapping", "attribute", "dict"]
)
def test_an_output_that_calls_its_logits_so_is_taken_as_they_are(form: Callable[[Tensor], Any]) -> None:
    class Speaking(Odd):
        def forward(self, x: Tensor) -> Any:
            logits = super().forward(x)
            return {"logits": logits} if form is dict else form(logits)

    speaking, plain = (wrap(net, features="last", head="fc", image_size=32) for net in (Speaking(), Odd()))
    assert speaking.cam_kind == "linear"
    shown = images(32)
    torch.testing.assert_close(speaking(shown).logits, plain(shown).logits)
    classes = torch.tensor([0, 2])
    torch.testing.assert_close(speaking(shown).cam(classes), plain(shown).cam(classes))


def test_a_head_that_flattens_what_was_pooled_is_linear() -> None:
    class Flat(Odd):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.last(self.body(x)).relu().mean((2, 3), keepdim=True))

    net = Flat(nn.Sequential(nn.Flatten(), nn.Linear(8, K)))
    found = wrap(net, features="last", tail=lambda maps: net.fc(maps.relu().mean((2, 3), keepdim=True)), image_size=32)
    assert found.cam_kind == "head_gradient"
    pooled = wrap(
        nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.AdaptiveAvgPool2d(1), net.fc), features="0", head="2", image_size=32
    )
    assert (pooled.cam_kind, pooled.classifier, pooled.pooling) == ("linear", "2.1", "the spatial mean")


def test_an_answer_without_logits_is_described() -> None:
    class Mute(Odd):
        def forward(self, x: Tensor) -> Any:
            return {"scores": super().forward(x)}

    with pytest.raises(SalignError, match=r"expected logits \(B, K\) from the network, or an output .*got dict"):
        wrap(Mute(), features="last", head="fc", image_size=32)


def test_a_network_without_parameters_is_refused() -> None:
    with pytest.raises(SalignError, match="net: the network has no parameters"):
        wrap(nn.Sequential(nn.Identity(), nn.Flatten()), features="0", head="1", image_size=8)
