"""Conversion of an exported graph to fewer bits, by onnxruntime's own tools."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

Precision = Literal["float32", "float16", "int8"]
_HEAVY = ("Conv", "MatMul")
"""Operations that int8 makes faster; everything else stays float32."""
_CUTS = ("Clip", "Relu")
"""Activations that only cut values off. They become part of the convolution before them, so that its 256 steps cover
the range that is left, and not the whole range."""
_FLOAT = 8
"""The first of this many equal parts of the convolutions stays float32: few channels see the picture there, and what is
lost there is lost for everything that follows."""


def to_precision(model: Any, precision: Precision, images: Iterator[NDArray[Any]]) -> Any:
    """Convert a graph of float32 to another precision; its inputs and outputs keep their types.

    Args:
        model: an `onnx.ModelProto`.
        precision: `float32` leaves the graph as it is. `float16` converts all of it. `int8` converts the convolutions
            and matrix products, with a scale per channel of the weights (signed) and one per tensor of activations
            (unsigned, which processors multiply fastest), by the range that the activations have on `images`. The first
            eighth of the convolutions and the product that makes the map stay float32.
        images: batches of training images, in the form that the graph takes.

    Returns:
        The converted `onnx.ModelProto`; for `float32`, `model` itself.
    """
    if precision == "float32":
        return model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers below the least of float16 are rounded to it, as intended
        if precision == "float16":
            from onnxruntime.transformers.float16 import convert_float_to_float16

            return convert_float_to_float16(model, keep_io_types=True)
        return _to_int8(model, images)


def _to_int8(model: Any, images: Iterator[NDArray[Any]]) -> Any:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(({"pixels": batch} for batch in images), None)

    quiet = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it warns on the root logger about steps that are taken here
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepared, out = Path(folder, "prepared.onnx"), Path(folder, "int8.onnx")
            quant_pre_process(copy.deepcopy(model), str(prepared), skip_symbolic_shape=True)
            graph = onnx.load(prepared).graph
            last = [node.name for node in graph.node if set(node.output) & _near_map(graph)]
            quantization.quantize_static(
                str(prepared),
                str(out),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=[*_HEAVY, *_CUTS],
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=[*last, *_first(graph)],
            )
            return onnx.load(out)
    finally:
        logging.getLogger().setLevel(quiet)


def _first(graph: Any) -> list[str]:
    """Return the names of the first convolutions and of the cuts behind them; the nodes of a graph are in order."""
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    first = convolutions[: len(convolutions) // _FLOAT]
    outputs = {name for node in first for name in node.output}
    cuts = [node for node in graph.node if node.op_type in _CUTS and outputs & set(node.input)]
    return [node.name for node in (*first, *cuts)]


def _near_map(graph: Any) -> set[str]:
    """Return the names of the values that the output `map` is made from, back to the product that makes it."""
    maker = {name: node for node in graph.node for name in node.output}
    near, ahead = set(), ["map"]
    while ahead:
        name = ahead.pop()
        near.add(name)
        node = maker.get(name)
        if node is not None and node.op_type != "MatMul":
            ahead += node.input[:1]
    return near
