"""Contextual decomposition against loops, that nothing is lost in real networks, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import googlenet

import pixels
from references import decomposition as slow
from salign.errors import SalignError
from salign.losses import LOSSES, decompose
from salign.models import Classifier, wrap

NETWORKS: dict[str, tuple[int, dict[str, Any]]] = {
    "resnet18": (64, {}),
    "vgg11_bn": (32, {"mlp_ratio": 0.01}),
    "densenet121": (32, {"growth_rate": 8, "block_config": (2, 2)}),
    "tf_efficientnet_lite0": (32, {}),
}


def random_region(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).double()


def small() -> nn.Sequential:
    """Three layers with biases, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2), nn.ReLU(), nn.Flatten())
        return nn.Sequential(*layers, nn.Linear(20, 3)).double()


@pytest.mark.parametrize("hard", [False, True])
def test_equals_the_rules_in_loops(hard: bool) -> None:
    network, images, region = small(), random_region(2, 3, 8, 8) * 4 - 2, random_region(2, 8, 8, seed=1)
    region = region.round() if hard else region
    part, rest = decompose(network, images, region)
    weights = [parameter.detach().numpy() for parameter in network.parameters()]
    for image, share, *found in zip(images.numpy(), region.numpy(), part, rest, strict=True):
        pair = (image * share, image * (1 - share))
        pair = slow.max_pool(slow.relu(slow.convolution(pair, *weights[:2])))
        pair = slow.linear(slow.relu(slow.convolution(pair, *weights[2:4])), *weights[4:])
        for mine, expected in zip(found, pair, strict=True):
            assert mine.tolist() == pytest.approx(expected.tolist(), abs=1e-9)


def test_gradcheck() -> None:
    network, images, region = small(), random_region(1, 3, 8, 8) * 4 - 2, random_region(1, 8, 8, seed=1)
    leaves = [images.requires_grad_(), *network.parameters()]
    names = [name for name, _ in network.named_parameters()]

    def both(images: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        put = dict(zip(names, weights, strict=True))
        return decompose(lambda x: torch.func.functional_call(network, put, (x,)), images, region)

    assert torch.autograd.gradcheck(both, leaves)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [False, True])
def test_the_parts_add_up_to_the_logits_and_reach_every_layer(name: str, training: bool) -> None:
    size, args = NETWORKS[name]
    classifier = Classifier(name, ["a", "b", "c"], image_size=size, args=args).train(training)
    generator = torch.Generator().manual_seed(0)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
            nn.init.normal_(module.weight, 1, 0.1, generator=generator)
    images = torch.rand(4, 3, size, size, generator=generator)
    part, rest = decompose(lambda x: classifier.again(x).logits, images, torch.rand(4, size, size, generator=generator))
    assert torch.allclose(part + rest, classifier.again(images).logits, rtol=1e-5, atol=1e-5)
    assert min(part.abs().max(), rest.abs().max()) > 1e-4
    part.square().sum().backward()
    for parameter in classifier.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0 or parameter.dim() == 1


def test_a_wrapped_network_is_decomposed_too() -> None:
    net = googlenet(num_classes=3, aux_logits=False, init_weights=False)
    network = wrap(net, features="inception5b", head="fc", image_size=64, mean=(0.4, 0.5, 0.6)).eval()
    images = random_region(2, 3, 64, 64).float()
    part, rest = decompose(lambda x: network(x).logits, images, random_region(2, 64, 64, seed=1).float())
    assert torch.allclose(part + rest, network(images).logits, atol=1e-5)


def test_nothing_of_the_image_lies_outside_of_all_of_it() -> None:
    images, everywhere = random_region(2, 3, 8, 8) * 4 - 2, torch.ones(2, 8, 8).double()
    part, rest = decompose(small(), images, everywhere)
    assert torch.allclose(part, small()(images))
    assert rest.abs().max() < 1e-12
    part, rest = decompose(small(), images, 0 * everywhere)
    assert torch.allclose(rest, small()(images))
    assert part.abs().max() < 1e-12
    part, rest = decompose(small(), 0 * images, everywhere)  # nothing anywhere: the biases are left, half and half
    assert torch.allclose(part + rest, small()(0 * images))
    assert part.abs().min() > 1e-3


def test_without_kinks_and_biases_it_is_the_network_of_the_region_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 3, bias=False))
    images, region = random_region(2, 3, 8, 8), random_region(2, 8, 8, seed=1)
    part, rest = decompose(network.double(), images, region)
    assert torch.allclose(part, network(images * region[:, None]))
    assert torch.allclose(rest, network(images * (1 - region[:, None])))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_is_the_convolution_that_its_statistics_make(training: bool, affine: bool) -> None:
    images, region, generator = random_region(4, 3, 5, 5), random_region(4, 5, 5, seed=1), torch.Generator()
    norm = nn.BatchNorm2d(3, affine=affine).double().train(training)
    same = nn.Conv2d(3, 3, 1, groups=3).double()
    for values in (*norm.parameters(), norm.running_mean):
        nn.init.normal_(values, generator=generator)
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    if training:
        mean, variance = images.mean((0, 2, 3)), images.var((0, 2, 3), correction=0)
    with torch.no_grad():
        weight, bias = (norm.weight, norm.bias) if affine else (torch.ones(3), torch.zeros(3))
        same.weight[:] = (weight / (variance + norm.eps).sqrt()).view(3, 1, 1, 1)
        same.bias[:] = bias - mean * same.weight.flatten()
    found = decompose(lambda x: norm(x).flatten(1), images, region)
    expected = decompose(lambda x: same(x).flatten(1), images, region)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.allclose(mine, theirs)


def test_the_image_is_normalised_before_it_is_cut() -> None:
    """So black pixels, too, belong to the region by its share."""
    images, region = torch.zeros(1, 3, 4, 4), random_region(1, 4, 4).float()
    part, _ = decompose(lambda x: ((x - 0.5) / 0.25).mean((2, 3)), images, region)
    assert torch.allclose(part, (-2 * region).mean().expand(1, 3))


def test_changes_in_place_are_seen_where_they_are_seen_in_the_network() -> None:
    def network(images: Tensor) -> Tensor:
        maps = functional.avg_pool2d(images, 2)
        kept = maps
        functional.relu(maps, inplace=True)
        maps += kept  # twice what is positive, and that is what `kept` is now
        return kept.flatten(1)

    images, region = random_region(2, 3, 4, 4) - 0.5, random_region(2, 4, 4, seed=1)
    part, rest = decompose(network, images.clone(), region)
    assert torch.allclose(part + rest, network(images.clone()))
    assert torch.allclose(part, network(images * region[:, None]))


def test_dropout_takes_the_same_places_from_both() -> None:
    images, region = random_region(2, 3, 8, 8) + 1, torch.full((2, 8, 8), 0.25)
    part, rest = decompose(lambda x: functional.dropout(x, 0.5).flatten(1), images, region)
    assert torch.equal(part == 0, rest == 0)
    assert 0.3 < (part == 0).float().mean() < 0.7
    assert torch.allclose(part * 3, rest)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("gelu", functional.gelu),
        ("mul", lambda x: x * x),
        ("sub", lambda x: functional.relu(x) - 0.5),
        ("add", lambda x: x + 1),
        ("softmax", lambda x: x.flatten(1).softmax(1)),
    ],
)
def test_what_has_no_rule_is_refused_by_name(name: str, network: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(SalignError, match=f"splits `{name}`.* Take such a backbone .*decomposes: head"):
        decompose(network, torch.rand(1, 3, 4, 4), torch.rand(1, 4, 4))


def test_the_loss_penalises_what_comes_from_outside_of_the_region() -> None:
    classifier = Classifier("test_resnet", ["a", "b", "c"], image_size=64, seed=1).eval()
    images = torch.rand(pixels.B, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    images[..., 32:] /= 4  # the sides differ, so that a network can tell them apart
    left = (torch.arange(64) < 32).float().expand(pixels.B, 1, 64, 64)
    batch = pixels.random_batch()._replace(images=images, saliency=left)
    loss = LOSSES["cdep"](decomposes="network", weight=5.0)
    output = classifier(images)
    outside, inside = decompose(lambda x: classifier.again(x).logits, images, 1 - left[:, 0])
    expected = torch.stack([outside, inside]).softmax(0)[0][pixels.ANNOTATED].mean()
    assert loss(output, batch).parts["saliency"].item() == pytest.approx(expected.item(), abs=1e-6)
    optimiser, shares = torch.optim.SGD(classifier.parameters(), lr=0.05), []
    for _ in range(8):
        optimiser.zero_grad()
        terms = loss(classifier(images), batch)
        terms.total.backward()
        optimiser.step()
        shares.append(terms.parts["saliency"].item())
    assert shares[-1] < shares[0] - 0.02


def test_the_option_is_one_of_two() -> None:
    assert LOSSES["cdep"](decomposes="network").needs == {"second_view"}
    with pytest.raises(SalignError, match="decomposes: expected head or network, got 'all'"):
        LOSSES["cdep"](decomposes="all")
