"""Graphs of fewer bits against the graph of float32, on a net whose activations are cut far inside of their range."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from salign.models import wrap
from salign.models.export import Graph, to_onnx
from salign.models.quantize import to_precision

SIZE, LAYERS = 16, 16


@pytest.fixture(scope="module")
def graph() -> bytes:
    """One of eight channels reaches from -300 to 300 before each cut, the others from 0 to 3, where the answer lies."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 8, 1, bias=False)
    first.weight.data.abs_().mul_(3)
    layers: list[nn.Module] = [first, nn.ReLU6()]
    for _ in range(LAYERS - 1):
        layer = nn.Conv2d(8, 8, 1, groups=8)
        layer.weight.data[:] = 1
        layer.bias.data[:] = 0
        layer.weight.data[0], layer.bias.data[0] = 200, -300
        layers += [layer, nn.ReLU6()]
    net = nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    model = wrap(net, features="0", head="3", image_size=SIZE)
    return bytes(to_onnx(Graph(model, (SIZE, SIZE))).SerializeToString())


def pictures(seed: int, count: int) -> np.ndarray:
    """Pictures of one colour each, with some noise."""
    random = np.random.default_rng(seed)
    colours = random.integers(20, 236, (count, 1, 1, 3))
    return (colours + random.integers(-20, 20, (count, SIZE, SIZE, 3))).astype(np.uint8)


def logits(content: bytes) -> np.ndarray:
    session = onnxruntime.InferenceSession(content)
    return np.asarray(session.run(["logits"], {"pixels": pictures(1, 20)})[0])


@pytest.mark.parametrize(("precision", "within"), [("float16", 0.005), ("int8", 0.05)])
def test_few_bits_answer_nearly_as_all(graph, precision, within):
    model = onnx.load_from_string(graph)
    few = to_precision(model, precision, (batch[None] for batch in pictures(0, 16)))
    assert model == onnx.load_from_string(graph), "it is left as it was"
    exact, ours = logits(graph), logits(few.SerializeToString())
    spread = exact.std(0).mean()
    assert spread > 0
    assert 0 < np.abs(ours - exact).mean() < within * spread


def test_the_first_eighth_of_convolutions_and_the_map_stay_float(graph):
    few = to_precision(onnx.load_from_string(graph), "int8", (batch[None] for batch in pictures(0, 4)))
    whole = {name for node in few.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    heavy = [node for node in few.graph.node if node.op_type in ("Conv", "MatMul")]
    assert [node.op_type for node in heavy].count("Conv") == LAYERS
    floats = [node for node in heavy if node.input[0] not in whole]  # weights are alike here, and stand there once
    assert [node.op_type for node in floats][:2] == ["Conv", "Conv"]
    assert [node.op_type for node in floats].count("Conv") == LAYERS // 8
    cuts = [node for node in few.graph.node if node.op_type == "Clip"]
    assert len(cuts) == LAYERS // 8, "the others are part of the convolution before them"
