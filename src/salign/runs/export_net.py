"""Export of a net that draws maps as one ONNX file, compared with torch on the run's own validation images."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salign.checks import number
from salign.errors import SalignError, check_installed, one_of
from salign.files import check_output, replace_text, replacing
from salign.models.config import NET, PixelKind
from salign.models.export import NetGraph, to_onnx
from salign.models.quantize import Precision, to_precision
from salign.progress import track
from salign.runs.export import FOLDER, LEAST_CORRELATED, correlation, describe_network, onnx_bytes, spread
from salign.runs.run import Run
from salign.runtime.model import OnnxNet, open_session
from salign.train.recipe import MapsRecipe

MOST_DIFFERENT_MAP = 1e-4
"""Largest allowed difference between a map value of a float32 file and torch's; values lie in [0, 1]."""
_BATCH = 16


@dataclass(frozen=True)
class NetComparison:
    """How the maps of a file compare with torch's."""

    images: int
    """Number of images."""
    difference: float
    """Largest absolute difference of a map value; values lie in [0, 1]."""
    map_correlation: float | None
    """Smallest correlation of a map with torch's, over images whose map is not constant; None if all maps are
    constant."""

    @property
    def exact(self) -> bool:
        """Whether the file's maps agree with torch's as closely as rounding allows."""
        alike = self.map_correlation is None or self.map_correlation >= LEAST_CORRELATED
        return self.difference <= MOST_DIFFERENT_MAP and alike


def export_net(
    run: Run,
    out: Path | None = None,
    *,
    precision: Precision = "float32",
    pixels: PixelKind = "uint8",
    images: int = 64,
    progress: bool = False,
) -> tuple[Path, NetComparison]:
    """Write a net that draws maps as one ONNX file that also prepares the images, and compare it with torch.

    Args:
        run: a finished run of `salign saliency train`.
        out: the file to write; None = `export/net.onnx` in the run folder, with the precision in its name if that is
            not float32.
        precision: `float32` or `float16`.
        pixels: see `salign.models.export.Graph`.
        images: number of validation images to compare, evenly spread over the set.
        progress: show progress bars.

    Returns:
        The path of the file, and the comparison.

    Raises:
        SalignError: the run is not that of a net that draws maps (for instance, its net reconstructs images), an
            optional package is missing, images are gone, or a float32 file departs from torch; it is not written then.
    """
    one_of(precision, ("float32", "float16"), f"{run.path} is a net that draws maps: precision")
    number("images", images, "[1, inf)", whole=True)
    if not isinstance(run.recipe, MapsRecipe) or run.recipe.loss.target == "image":
        raise SalignError(f"{run.path} is {run.recipe.network}; expected a net that draws maps.")
    check_installed("salign export", "onnx", "onnx", "onnxruntime")
    path = out or run.path / FOLDER / ("net.onnx" if precision == "float32" else f"net-{precision}.onnx")
    check_output(path)
    net = run.model()
    description = {"task": "maps", **describe_network(run, net, run.path / NET, pixels=pixels, precision=precision)}
    content = onnx_bytes(to_precision(to_onnx(NetGraph(net, pixels=pixels)), precision, iter(())), description)
    file = OnnxNet(*open_session(content, path, ("CPUExecutionProvider",)))
    whole = run.data("val")
    rows, places = spread(whole.manifest, images), {whole.manifest.image_id(i): i for i in range(len(whole))}
    far, correlations = 0.0, list[float]()
    for start in track(range(0, len(rows), _BATCH), "comparing with torch", show=progress):
        chosen = range(start, min(start + _BATCH, len(rows)))
        ours = net.predict(whole.batch([places[rows.image_id(i)] for i in chosen]).images).numpy()
        theirs = file.run(np.stack([file.prepare(rows.image_path(i)) for i in chosen]))["map"]
        far = max(far, float(np.abs(ours - theirs).max()))
        correlations += [correlation(a, b) for a, b in zip(ours, theirs, strict=True) if _varies(a)]
    compared = NetComparison(len(rows), far, min(correlations, default=None))
    if precision == "float32" and not compared.exact:
        raise SalignError(
            f"{path} was not written: its maps depart from torch's by {far:.2g} (allowed: {MOST_DIFFERENT_MAP}) and to "
            f"a correlation of {compared.map_correlation} (allowed: {LEAST_CORRELATED}). Please report the backbone."
        )
    with replacing(path) as partial:
        partial.write_bytes(content)
    beside = path.with_name(f"{path.name}.json")
    replace_text(beside, json.dumps({"compared_with_torch": asdict(compared), **description}, indent=2))
    return path, compared


def _varies(values: NDArray[np.float32]) -> bool:
    """Return whether the values of a map differ by more than their rounding."""
    return float(np.ptp(values)) > MOST_DIFFERENT_MAP
