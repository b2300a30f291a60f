"""A model as one graph: 8-bit pictures in, probabilities and the exact maps of its evidence out."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.onnx.symbolic_helper import parse_args

from salign.checks import choice
from salign.errors import SalignError
from salign.models.config import Maps, PixelKind
from salign.models.head_gradient import fold_head, rows_of
from salign.models.saliency_net import SaliencyNet
from salign.types import Output

_OPSET = 18


class Graph(nn.Module):
    """`graph(pixels) -> (probabilities, logits, map)`, in plain tensor operations.

    Args:
        model: a Classifier, an Ensemble or a wrapped network, on the CPU; it is put into evaluation mode.
        image_size: (H, W) of the pixels that the graph takes.
        maps: `answered` gives the map of the class with the highest probability, `(B, h, w)`; where images may have
            several labels, it gives the mean of the maps of all classes above one half. `all` gives the map of every
            class, `(B, K, h, w)`; `none` gives no map.
        pixels: `uint8` takes pictures of 8 bits; `float32` takes values in [0, 1].
        multi_label: whether an image may have several labels.

    Raises:
        SalignError: the model has no map, or a map whose gradient cannot be written as a graph.
    """

    def __init__(
        self,
        model: nn.Module,
        image_size: tuple[int, int],
        *,
        maps: Maps = "answered",
        pixels: PixelKind = "uint8",
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        choice("maps", maps, Maps)
        choice("pixels", pixels, PixelKind)
        self.model, self.maps, self.multi_label = model, maps, multi_label
        self.eval()
        self.layers: list[Any] | None = None
        kind = torch.uint8 if pixels == "uint8" else torch.float32
        self.example = torch.zeros(2, *image_size, 3, dtype=kind)
        with torch.no_grad():
            output: Output = model(torch.rand(2, 3, *image_size, generator=torch.Generator().manual_seed(0)))
        if maps != "none" and output.weight is None:
            self.layers = fold_head(model, output)
            if self.layers is None:
                raise SalignError(
                    "the map is a gradient through a head that has no closed form here (it is one for a spatial mean "
                    "followed by linear layers, normalisation and common activations). Export without maps (--maps "
                    "none), or train a backbone with such a head."
                )

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs, in order."""
        return ["probabilities", "logits", *(["map"] if self.maps != "none" else [])]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities and logits `(B, K)` of pixels `(B, H, W, 3)`, and the maps unless `maps` is `none`."""
        output: Output = self.model(_images(pixels))
        logits = output.logits
        probabilities = logits.sigmoid() if self.multi_label else logits.softmax(1)
        if self.maps == "none":
            return probabilities, logits
        classes = self._classes(logits)
        features = output.features
        if self.layers is not None:
            rows = rows_of(self.layers, features.mean((2, 3)), classes)
        else:
            rows = classes @ output.weight  # type: ignore[operator]  # where there are no layers, there is a weight
        maps = output.to_image(torch.bmm(rows, features.flatten(2)).unflatten(2, features.shape[2:]))
        return probabilities, logits, maps if self.maps == "all" else maps[:, 0]

    def _classes(self, logits: Tensor) -> Tensor:
        """Return the coefficients `(B, n, K)` of the combinations of logits whose maps are asked for."""
        every = torch.eye(logits.shape[1])
        if self.maps == "all":
            return every.expand(logits.shape[0], -1, -1)
        if self.multi_label:
            above = (logits > 0).float()
            return (above / above.sum(1, keepdim=True).clamp(min=1))[:, None]
        return every[logits.argmax(1)][:, None]


class NetGraph(nn.Module):
    """`graph(pixels) -> map` of a net that draws maps, from `(B, H, W, 3)` as for `Graph` to `(B, H, W)` in [0, 1].

    Args:
        net: the net, on the CPU; it is put into evaluation mode.
        pixels: see `Graph`.
    """

    outputs = ("map",)

    def __init__(self, net: SaliencyNet, *, pixels: PixelKind = "uint8") -> None:
        super().__init__()
        choice("pixels", pixels, PixelKind)
        self.net = net
        self.eval()
        kind = torch.uint8 if pixels == "uint8" else torch.float32
        self.example = torch.zeros(2, *net.image_size, 3, dtype=kind)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the maps `(B, H, W)` of pixels `(B, H, W, 3)`."""
        return self.net.predict(_images(pixels))


def _images(pixels: Tensor) -> Tensor:
    images = pixels.permute(0, 3, 1, 2).float()
    return images / 255 if pixels.dtype == torch.uint8 else images


def to_onnx(graph: Graph | NetGraph) -> Any:
    """Convert the graph to an `onnx.ModelProto` of float32, for batches of any length.

    Raises:
        SalignError: a layer has no counterpart in ONNX.
    """
    import onnx

    stream = io.BytesIO()
    torch.onnx.register_custom_op_symbolic("aten::_upsample_bilinear2d_aa", _antialiased_resize, _OPSET)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of constants in the trace, which are intended
        try:
            # This exporter traces the graph; the newer one gives the same numbers and takes ten times as long.
            torch.onnx.export(
                graph,
                (graph.example,),
                stream,  # type: ignore[arg-type]  # it takes a stream, too
                dynamo=False,
                opset_version=_OPSET,
                input_names=["pixels"],
                output_names=list(graph.outputs),
                dynamic_axes={name: {0: "batch"} for name in ("pixels", *graph.outputs)},
            )
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise SalignError(
                f"the network cannot be written as ONNX: {reason}. Try salign export --format pt2, which takes more."
            ) from error
    return onnx.load_from_string(stream.getvalue())


@parse_args("v", "is", "i", "v", "v")
def _antialiased_resize(g: Any, images: Any, size: list[int], align_corners: int, *scales: Any) -> Any:
    """Express torch's bilinear resize with antialiasing as a resize of ONNX.

    The exporter by tracing does not know this operation of torch.
    """
    shape = g.op("Shape", images)
    batch = g.op("Slice", shape, *(g.op("Constant", value_t=torch.tensor([bound])) for bound in (0, 2)))
    sizes = g.op("Concat", batch, g.op("Constant", value_t=torch.tensor(size)), axis_i=0)
    nothing = g.op("Constant", value_t=torch.tensor([]))
    return g.op("Resize", images, nothing, nothing, sizes, mode_s="linear", antialias_i=1)


def to_pt2(graph: Graph) -> torch.export.ExportedProgram:
    """Convert the graph to a program of `torch.export`, for batches of any length."""
    with torch.no_grad():
        return torch.export.export(
            graph, (graph.example,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
        )
