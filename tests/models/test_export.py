"""What an exported graph answers, on every family of backbone, against the model itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from salign.errors import SalignError
from salign.maps.region import region
from salign.models import Classifier, Ensemble, SaliencyNet, TwoStage, wrap
from salign.models.export import Graph, to_onnx, to_pt2
from salign.models.two_stage import Keep, windows

SIZE, CLASSES = 64, ("a", "b", "c")
VIT = {"img_size": SIZE, "global_pool": "avg"}
SWIN = {"img_size": SIZE, "window_size": 4, "embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2)}


def timm(name: str, **options: object) -> Callable[[], nn.Module]:
    return lambda: Classifier(name, CLASSES, image_size=SIZE, **options)  # type: ignore[arg-type]


def wrapped() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(3, 8, 7, 4), nn.ReLU())
    return wrap(
        nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
        features="0",
        head="3",
        image_size=SIZE,
    )


def two_stage(keep: Keep) -> nn.Module:
    """The net takes images of another size, so that both resizes of `draw` are in the graph."""
    return TwoStage(SaliencyNet("test_resnet", image_size=48, width=16, seed=1), timm("test_resnet")(), keep)


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "resnet": timm("test_resnet"),
    "efficientnet": timm("test_efficientnet"),
    "convnext": timm("test_convnext"),
    "mobilenet": timm("lcnet_035"),
    "vit": timm("test_vit", args=VIT),
    "swin": timm("swin_tiny_patch4_window7_224", args=SWIN),
    "one bit": timm("reactnet_012"),
    "wrapped": wrapped,
    "several labels": timm("test_resnet", multi_label=True),
    "mask": lambda: two_stage("mask"),
    "crop": lambda: two_stage("crop"),
    "ensemble": lambda: Ensemble([timm("test_resnet", seed=seed)() for seed in (0, 1)], [0.25, 0.75]),
}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)


def expected(model: nn.Module, images: torch.Tensor, several: bool) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and the map of every class."""
    output = model(images)
    probabilities = output.logits.sigmoid() if several else output.logits.softmax(1)
    every = torch.arange(3).expand(len(images), -1)
    return probabilities.detach().numpy(), output.cam(every).detach().numpy()


def of_answer(probabilities: np.ndarray, maps: np.ndarray, several: bool) -> np.ndarray:
    if not several:
        return maps[np.arange(len(maps)), probabilities.argmax(1)]
    zero = np.zeros_like(maps[0, :1])
    return np.stack([np.mean(maps[i][row > 0.5], 0) if (row > 0.5).any() else zero[0]
                     for i, row in enumerate(probabilities)])  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_graph_answers_as_its_model(family, pixels):
    model, several = FAMILIES[family]().eval(), family == "several labels"
    graph = Graph(model, (SIZE, SIZE), multi_label=several)
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString())
    probabilities, logits, maps = session.run(["probabilities", "logits", "map"], {"pixels": pixels})
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    theirs, all_maps = expected(model, images, several)
    np.testing.assert_allclose(probabilities, theirs, atol=1e-5)
    np.testing.assert_allclose(logits, model(images).logits.detach(), atol=1e-4)
    ours = of_answer(theirs, all_maps, several)
    np.testing.assert_allclose(maps, ours, atol=1e-4 * max(np.abs(ours).max(), 1e-3))
    assert np.abs(ours).max() > 0


@pytest.mark.parametrize("keep", ["mask", "crop"])
def test_what_a_classifier_sees_is_part_of_the_graph(keep, monkeypatch):
    """Blocks of other places and sizes are marked, and one image is dark; each is seen as the model itself sees it."""
    model = two_stage(keep).eval()
    monkeypatch.setattr(model.net, "predict", lambda images: images[:, 0])
    images = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 0.4
    for i, (high, low, left, right) in enumerate([(4, 20, 30, 50), (40, 60, 2, 12), (10, 50, 10, 52)]):
        images[i, 0, high:low, left:right] = 0.9
    images[3, 0] = 0
    shares = windows(region(model.draw(images)))[:, 2]
    assert len(set(shares.tolist())) == 4
    graph = Graph(model, (SIZE, SIZE), pixels="float32", maps="all")
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString())
    pixels = images.permute(0, 2, 3, 1).contiguous()
    probabilities, _, maps = session.run(["probabilities", "logits", "map"], {"pixels": pixels.numpy()})
    theirs, ours = expected(model, images, False)
    np.testing.assert_allclose(probabilities, theirs, atol=1e-5)
    np.testing.assert_allclose(maps, ours, atol=1e-5 * np.abs(ours).max())
    if keep == "crop":  # whose grid depends on the image
        program = to_pt2(graph).module()(pixels)
        np.testing.assert_allclose(program[0].detach(), theirs, atol=1e-6)


def test_every_map_of_deeper_pictures(pixels):
    model = FAMILIES["convnext"]().eval()
    graph = Graph(model, (SIZE, SIZE), maps="all", pixels="float32")
    images = torch.from_numpy(pixels).float() / 255
    _, maps = expected(model, images.permute(0, 3, 1, 2), False)
    np.testing.assert_allclose(graph(images)[2].detach(), maps, atol=1e-5)


def test_a_graph_without_maps_takes_any_classifier(pixels):
    model = Classifier("test_vit", CLASSES, image_size=SIZE, args={"img_size": SIZE}, cam="none")
    graph = Graph(model, (SIZE, SIZE), maps="none")
    assert graph.outputs == ["probabilities", "logits"]
    assert len(graph(torch.from_numpy(pixels))) == 2


class Strange(nn.Module):
    """A head that weighs places before it sums them."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 3)

    def tail(self, maps: torch.Tensor) -> torch.Tensor:
        return self.last((maps * maps.flatten(2).softmax(2).view_as(maps)).sum((2, 3)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.tail(self.body(images))


def test_a_map_without_closed_form_is_refused_with_what_to_do():
    net = Strange()
    model = wrap(net, features="body", tail=net.tail, image_size=SIZE)
    with pytest.raises(SalignError, match=r"no closed form here .* \(--maps none\), or train"):
        Graph(model, (SIZE, SIZE))
    Graph(model, (SIZE, SIZE), maps="none")
