"""Export of a finished run as one file that answers without salign, compared with torch on the validation images."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from salign import __version__
from salign.checks import choice, number
from salign.class_names import names_in
from salign.data.manifest import Manifest
from salign.data.manifest.provenance import without_annotator
from salign.errors import SalignError, check_installed
from salign.evaluate.predictions import text_of
from salign.files import check_output, replace_text, replacing
from salign.losses.labels import predicted_class
from salign.maps.tensor_ops import varies
from salign.models import Ensemble, TwoStage
from salign.models.config import WEIGHTS, Maps, PixelKind, description_file
from salign.models.export import Graph, to_onnx, to_pt2
from salign.models.quantize import Precision, to_precision
from salign.models.weights import licence_of
from salign.progress import track
from salign.readers import file_digest
from salign.runs.card import reliance_sentences
from salign.runs.run import Run
from salign.runtime.model import FORMAT, KEY, OnnxModel, opened, sealed
from salign.train.recipe import ClassifyRecipe, MapsRecipe

Format = Literal["onnx", "pt2"]
FOLDER = "export"
"""The folder of exported files in the run folder."""
MOST_DIFFERENT, LEAST_CORRELATED = 1e-5, 0.9999
"""Largest allowed difference of a probability between a float32 file and torch, and the least allowed correlation of
their maps."""
STEEP = 1e-6
"""If this share of torch's largest logit is more than `MOST_DIFFERENT`, it is the allowed difference instead,
because torch's own float32 results then differ as much from float64."""
_BATCH = 16
_CALIBRATION = 64
_RESIZE = (
    "stretched to image_size by a triangle with antialiasing (bilinear), along rows and then along columns, 8-bit "
    "values rounded after each; a JPEG of more than twice that size is first decoded at 1/2, 1/4 or 1/8"
)


@dataclass(frozen=True)
class Comparison:
    """How a file's answers to validation images compare with torch's."""

    images: int
    """Number of images."""
    probability: float
    """Largest absolute difference of a probability."""
    logit: float
    """Largest absolute logit of torch."""
    same_answer: int
    """Images with the same answer."""
    map_correlation: float | None
    """Smallest correlation of a map with torch's, over images with the same answer whose map is not constant; None
    if there is no such image."""
    mean_map_correlation: float | None
    """Mean of these correlations; None if there are none."""
    accuracy_torch: float
    """Share of these images that torch answers right."""
    accuracy_file: float
    """Share of these images that the file answers right."""

    @property
    def exact(self) -> bool:
        """Whether the file agrees with torch as closely as rounding allows."""
        near = self.probability <= self.allowed
        alike = self.map_correlation is None or self.map_correlation >= LEAST_CORRELATED
        return near and alike

    @property
    def allowed(self) -> float:
        """Largest allowed difference of a probability between a float32 file and torch."""
        return max(MOST_DIFFERENT, STEEP * self.logit)


def export_run(
    run: Run,
    out: Path | None = None,
    *,
    format: Format = "onnx",
    precision: Precision = "float32",
    maps: Maps = "answered",
    pixels: PixelKind = "uint8",
    images: int = 64,
    progress: bool = False,
) -> tuple[Path, Comparison]:
    """Write a run's model as one file that also prepares the images, and compare it with torch.

    A file named FILE.json beside it holds the comparison and the description of the model. If a float32 file departs
    from torch, nothing is written.

    Args:
        run: the finished run of a classifier; a fused run is allowed.
        out: the file to write; None = `model.onnx` or `model.pt2` in the folder `export` of the run, with the precision
            in its name if that is not float32.
        format: `onnx`, or `pt2`, which is the program of `torch.export` in float32.
        precision: `float32`, `float16`, or `int8`, whose ranges are measured on 64 training images.
        maps: see `salign.models.export.Graph`.
        pixels: type of the graph's input: `uint8`, or `float32` in [0, 1] for images of more than 8 bits.
        images: number of validation images to compare, evenly spread over the set.
        progress: show progress bars.

    Returns:
        The path of the file, and the comparison.

    Raises:
        SalignError: the run is no classifier, the graph cannot give the requested map, an optional package is missing,
            images are gone, or a float32 file departs from torch.
    """
    choice("format", format, Format)
    choice("precision", precision, Precision)
    number("images", images, "[1, inf)", whole=True)
    check_exportable(run, format, precision, maps)
    name = "model" if precision == "float32" else f"model-{precision}"
    path = out or run.path / FOLDER / f"{name}.{format}"
    check_output(path)
    model = run.model()
    graph = Graph(model, model.image_size, maps=maps, pixels=pixels, multi_label=model.multi_label)
    description = describe(run, model, format=format, precision=precision, maps=maps, pixels=pixels)
    rows = spread(run.data("val").manifest, images)
    if format == "pt2":
        program = to_pt2(graph)
        runner = _Program(program, graph.outputs, description)
        compared = _compare(runner, run, rows, model, graph.maps, progress)
        _refuse_departure(compared, path)
        with replacing(path) as partial, partial.open("wb") as file:
            torch.export.save(program, file, extra_files={f"{KEY}.json": json.dumps(description)})
    else:
        exact = onnx_bytes(to_onnx(graph), description)
        content = exact
        if precision != "float32":
            prepare = opened(exact, path).prepare
            training = spread(run.training_rows, _CALIBRATION)
            few = (prepare(training.image_path(i))[None] for i in range(len(training)))
            content = onnx_bytes(to_precision(to_onnx(graph), precision, few), description)
        compared = _compare(opened(content, path), run, rows, model, graph.maps, progress)
        if precision == "float32":
            _refuse_departure(compared, path)
        with replacing(path) as partial:
            partial.write_bytes(content)
    beside = path.with_name(f"{path.name}.json")
    replace_text(beside, json.dumps({"compared_with_torch": asdict(compared), **description}, indent=2))
    return path, compared


def check_exportable(run: Run, format: str, precision: str, maps: str) -> None:
    """Refuse a run or options that cannot be exported, before any computation.

    Raises:
        SalignError: the reason.
    """
    if isinstance(run.recipe, MapsRecipe):
        raise SalignError(f"{run.path} is {run.recipe.network}; salign.runs.export_net.export_net writes it as a file.")
    if not isinstance(run.recipe, ClassifyRecipe):
        raise SalignError(
            f"{run.path} is {run.recipe.network}; salign export takes classifiers and nets that draw maps."
        )
    if format == "pt2" and precision != "float32":
        raise SalignError(f"precision: expected float32 for --format pt2, got {precision}; take --format onnx.")
    if maps != "none" and run.recipe.model.cam == "none":
        raise SalignError(
            f"{run.path} was trained with model.cam: none, so that no map explains its answers. Export it with --maps "
            "none."
        )
    if format == "onnx":
        check_installed("salign export", "onnx", "onnx", "onnxruntime")


def describe(run: Run, model: Any, **options: str) -> dict[str, Any]:
    """Return the description of a classifier that is stored in the file, as JSON."""
    first = model.members[0] if isinstance(model, Ensemble) else model
    first = first.classifier if isinstance(first, TwoStage) else first
    threshold = model.threshold
    return {
        "classes": list(model.classes),
        "positive": threshold.positive if threshold else run.positive,
        "threshold": threshold.model_dump() if threshold else None,
        "multi_label": model.multi_label,
        "maps": options["maps"],
        "reliance": reliance_sentences(run),
        **describe_network(run, first, description_file(run.path), **options),
    }


def describe_network(run: Run, network: Any, made_by: Path, *, pixels: str, precision: str, **_: str) -> dict[str, Any]:
    """Return the part of the description that all networks share: how images are prepared, and the file's origin."""
    licence = licence_of(run.recipe.model.backbone, run.recipe.model.weights)[1]
    return {
        "format": FORMAT,
        "salign": __version__,
        "run": without_annotator(run.path.name, run.recipe.data.map_column),
        "image_size": list(network.image_size),
        "pixels": pixels,
        "layout": "NHWC, RGB",
        "resize": _RESIZE,
        "mean": network.mean.flatten().tolist(),
        "std": network.std.flatten().tolist(),
        "normalised": "inside the graph",
        "precision": precision,
        "backbone": network.config["backbone"],
        "licence_of_starting_weights": licence,
        "weights_sha256": file_digest(run.path / WEIGHTS),
        "model_sha256": file_digest(made_by),
        "recipe_sha256": file_digest(run.recipe_file),
        "recipe_fingerprint": run.recipe.fingerprint(),
    }


def onnx_bytes(proto: Any, description: dict[str, Any]) -> bytes:
    """Return the bytes of an ONNX file with salign's name, the description and the seal."""
    proto.producer_name, proto.producer_version = KEY, __version__
    del proto.metadata_props[:]
    proto.metadata_props.add(key=KEY, value=json.dumps(description))
    return sealed(proto.SerializeToString())


class _Program:
    """A program of `torch.export` with the interface of `OnnxModel`."""

    def __init__(self, program: torch.export.ExportedProgram, outputs: list[str], description: dict[str, Any]) -> None:
        self._module, self._outputs = program.module(), outputs
        self.prepare = OnnxModel(None, description).prepare

    def run(self, pixels: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        with torch.no_grad():
            values = self._module(torch.from_numpy(pixels))
        return {name: value.numpy() for name, value in zip(self._outputs, values, strict=True)}


def spread(rows: Manifest, count: int) -> Manifest:
    """Return `count` of the rows (or all, if there are fewer), evenly spread."""
    return rows.take(np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)))


def _compare(file: Any, run: Run, rows: Manifest, model: Any, maps: Maps, progress: bool) -> Comparison:
    """Compare the file, which reads the image files itself, with torch, which reads them through the run's dataset."""
    whole = run.data("val")
    places = {whole.manifest.image_id(i): i for i in range(len(whole))}
    far, steep, same, correlations, right = 0.0, 0.0, 0, list[float](), np.zeros(2)
    labels = [set(names_in(cell)) for cell in text_of(rows.table, "label")]
    for start in track(range(0, len(rows), _BATCH), "comparing with torch", show=progress):
        chosen = range(start, min(start + _BATCH, len(rows)))
        batch = whole.batch([places[rows.image_id(i)] for i in chosen])
        with torch.no_grad():
            output = model(batch.images)
            probabilities = model.probabilities(output.logits)
        theirs = file.run(np.stack([file.prepare(rows.image_path(i)) for i in chosen]))
        far = max(far, float(np.abs(theirs["probabilities"] - probabilities.numpy()).max()))
        steep = max(steep, float(output.logits.abs().max()))
        answers = [model.answers(output.logits), model.answers(torch.from_numpy(theirs["logits"]))]
        alike = np.array([ours == other for ours, other in zip(*answers, strict=True)])
        same += int(alike.sum())
        for which, texts in enumerate(answers):
            right[which] += sum(set(names_in(text)) == labels[i] for i, text in zip(chosen, texts, strict=True))
        if maps != "none":
            expected = _maps(output, model, maps)
            shaped = alike.reshape(-1, *[1] * (expected.dim() - 3)) & varies(expected).numpy()
            pairs = zip(expected.numpy()[shaped], theirs["map"][shaped], strict=True)
            correlations += [correlation(ours, other) for ours, other in pairs]
    return Comparison(
        images=len(rows),
        probability=far,
        logit=steep,
        same_answer=same,
        map_correlation=min(correlations, default=None),
        mean_map_correlation=float(np.mean(correlations)) if correlations else None,
        accuracy_torch=right[0] / len(rows),
        accuracy_file=right[1] / len(rows),
    )


def _maps(output: Any, model: Any, maps: Maps) -> torch.Tensor:
    every = torch.arange(len(model.classes)).expand(len(output.logits), -1)
    classes = every if maps == "all" else predicted_class(output.logits, multi_label=model.multi_label)
    return output.cam(classes).detach().float()


def correlation(ours: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return Pearson's correlation of two maps; 0 if the second map is constant."""
    a, b = ours.astype(np.float64) - ours.mean(), other.astype(np.float64) - other.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())) if b.any() else 0.0


def _refuse_departure(compared: Comparison, path: Path) -> None:
    if not compared.exact:
        raise SalignError(
            f"{path} was not written: its answers depart from torch's, probabilities by {compared.probability:.2g} "
            f"(allowed: {compared.allowed:.2g}), maps to a correlation of {compared.map_correlation} (allowed: "
            f"{LEAST_CORRELATED}). Please report the backbone; --format pt2 may be exact."
        )
