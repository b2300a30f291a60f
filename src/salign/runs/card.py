"""The model card and the data card of a run, in the format of Hugging Face.

No card contains a folder of this machine or the name of an image: files appear by their names and digests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from salign import __version__
from salign.data.manifest.provenance import PROVENANCE, without_annotator, without_names
from salign.errors import SalignError
from salign.evaluate.names import main_figures, name_of
from salign.evaluate.tables import read_figures
from salign.files import replace_text
from salign.models import Threshold
from salign.models.config import WEIGHTS, describe_model
from salign.models.weights import licence_of
from salign.readers import file_digest, known_digest
from salign.runs.compare import ANALYSIS
from salign.runs.run import Run
from salign.runs.verdicts import run_verdicts
from salign.train.recipe import ClassifyRecipe

MODEL_CARD, DATA_CARD = "README.md", "data-card.md"
"""File names of the two cards in a run folder."""
_HUB_NAMES = {"auroc": "roc_auc", "sensitivity": "recall", "ppv": "precision", "ap": "average_precision"}
"""salign's name of a metric -> the hub's name, where they differ."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_cards(run: Run) -> tuple[Path, Path]:
    """Write `README.md` and `data-card.md` into a run folder.

    Call it again after a later analysis or evaluation, so that the cards include it.

    Args:
        run: its recipe, manifest, figures and analysis are read.

    Returns:
        The paths of the model card and the data card.
    """
    model, data = run.path / MODEL_CARD, run.path / DATA_CARD
    replace_text(data, data_card(run))
    replace_text(model, model_card(run))
    return model, data


def refresh_cards(run: Run, say: Callable[[str], None]) -> None:
    """Write the cards anew after a measurement, or report why the existing cards were kept.

    Args:
        run: a finished run.
        say: receives one line if the cards cannot be written anew.

    Raises:
        SalignError: the cards cannot be written, for instance because the manifest is gone, and the run has no card
            yet.
    """
    try:
        write_cards(run)
    except SalignError as error:
        if not (run.path / MODEL_CARD).exists():
            raise
        say(f"{run.path / MODEL_CARD} stays as it was: {error}")


def model_card(run: Run) -> str:
    """Return the text of the model card; see `write_cards`."""
    recipe = run.recipe
    classifier = isinstance(recipe, ClassifyRecipe)
    licence, licence_words = licence_of(recipe.model.backbone, recipe.model.weights)
    front: dict[str, Any] = {
        "library_name": "salign",
        "license": licence or "unknown",
        "tags": [
            "salign",
            recipe.loss.name if isinstance(recipe, ClassifyRecipe) else recipe.task,
            recipe.model.backbone,
        ],
    }
    sections = [("What it is", _about(run)), ("Use", _use(run))]
    if classifier:
        figures = run.figures()
        whole = figures[figures["group_column"] == ""]
        metrics = main_figures(whole["metric"], attacks=recipe.data.attacks)
        front |= {"pipeline_tag": "image-classification", "model-index": [_index(run, whole, metrics)]}
        sections += [
            ("Figures", _figures(run, whole, metrics)),
            ("Limits", _limits(run)),
            ("Where it looks, and what it relies on", _reliance(run)),
        ]
    sections += [("Training", _training(run)), ("Licence", licence_words)]
    return _page(front, recipe.name, sections)


def data_card(run: Run) -> str:
    """Return the text of the data card; see `write_cards`."""
    data = run.recipe.data
    used = sorted({split for splits in _splits(run).values() for split in splits})
    manifest = run.manifest.select(used, data.classes).with_maps(data.map_column)
    rows = len(manifest)
    front = {
        "pretty_name": Path(data.manifest).stem,
        "license": "unknown",
        "task_categories": ["image-classification"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "n>1M")],
    }
    counts = manifest.coverage().rename(columns={"with_map": "with a map"}).drop(columns="share")
    mapped = manifest.table[manifest.table["saliency"].notna()]
    makers = mapped[PROVENANCE].fillna("not said") if PROVENANCE in mapped else pd.Series("not said", mapped.index)
    makers = makers.map(without_names(makers))  # cards are public, and people were promised a number
    kinds = makers.value_counts().rename_axis("made by").reset_index(name="maps")
    splits = "; ".join(f"{name}: {', '.join(names)}" for name, names in _splits(run).items())
    sections = [
        ("What it is", f"{rows} images with labels of the manifest `{Path(data.manifest).name}`, which the run "
         f"`{run.path.name}` used; its splits: {splits}. The SHA-256 of the manifest is "
         f"`{known_digest(data.manifest)}`. Images are not part of this folder."),
        ("Images", _table(counts)),
        ("Whose the maps are", _table(kinds) if len(kinds) else "No image of the manifest has a map."),
        ("What training used", "\n".join(f"- {line}" for line in _used(run))),
        ("What is not known", "The manifest does not say who is shown or who took the images, under which licence, "
         "and whether people consented. Whoever publishes a model of them answers these questions here."),
    ]  # fmt: skip
    return _page(front, f"Data of {run.recipe.name}", sections)


def _page(front: Mapping[str, Any], title: str, sections: Sequence[tuple[str, str]]) -> str:
    head = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True)
    body = "".join(f"\n## {heading}\n\n{text}\n" for heading, text in sections)
    return f"---\n{head}---\n\n# {title}\n{body}"


def _about(run: Run) -> str:
    recipe, described = run.recipe, ""
    size = recipe.data.image_size
    height, width = (size, size) if isinstance(size, int) else size
    if isinstance(recipe, ClassifyRecipe):
        maps = "no image's answer has a map" if recipe.model.cam == "none" else "each answer has a map of its evidence"
        several = ", of which an image may have several" if run.multi_label else ""
        described = f" Its loss is {recipe.loss.name}. It tells {', '.join(run.classes)} apart{several}; {maps}."
    return (
        f"This is {recipe.network}: {recipe.model.backbone}, for images of {width} x {height} pixels, trained by "
        f"[salign](https://arxiv.org/abs/2410.16190) {__version__}.{described}"
    )


def _use(run: Run) -> str:
    if not isinstance(run.recipe, ClassifyRecipe):
        return "Other runs of salign start from it, or it draws maps; it gives no answers about images by itself."
    text = (
        "```sh\nsalign predict FOLDER IMAGES --overlays overlays   # with torch\n"
        "salign export FOLDER                               # one ONNX file that needs none\n```\n\n"
        f"**Intended**: telling {', '.join(run.classes)} apart in images that were taken and chosen as those below. "
        "The figures speak of such images alone.\n\n"
        "**Not intended**: images of another source, device or population, before it was tested on them; images of "
        "none of these classes, for which it names a class all the same; decisions about people without a person who "
        "answers for them."
    )
    if threshold := describe_model(run.path).get("threshold"):
        text += f"\n\n**Threshold**: an image is {Threshold(**threshold)}."
    return text


def _index(run: Run, figures: pd.DataFrame, metrics: Sequence[str]) -> dict[str, Any]:
    """Return the hub's `model-index` entry: a result per set, with the interval of each figure."""
    data = run.recipe.data
    results = []
    for name in run.sets:
        part = figures[figures["split"] == name].set_index("metric").to_dict("index")
        values = [
            {
                "type": _HUB_NAMES.get(metric, metric),
                "name": name_of(metric),
                "value": _rounded(row["value"]),
                "args": {"low": _rounded(row["low"]), "high": _rounded(row["high"]), "images": int(row["n"])},
            }
            for metric, row in ((metric, part[metric]) for metric in metrics if metric in part)
            if math.isfinite(row["value"])
        ]
        if values:
            dataset = {"type": "manifest", "name": Path(data.manifest).stem, "split": name}
            dataset["revision"] = known_digest(data.manifest)
            task = {"type": "image-classification", "name": "Image classification"}
            results.append({"task": task, "dataset": dataset, "metrics": values})
    return {"name": run.path.name, "results": results}


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _figures(run: Run, figures: pd.DataFrame, metrics: Sequence[str]) -> str:
    rows = []
    for name, part in figures.groupby("split", sort=False):
        known = part.set_index("metric")
        row = {"set": str(name), "images": str(known["n"].max())}
        rows.append(row | {name_of(metric): _cell(known, metric) for metric in metrics})
    assert isinstance(run.recipe, ClassifyRecipe)
    chosen = ["the epoch"] if run.recipe.train.select != "last" else []
    chosen += ["the threshold"] if describe_model(run.path).get("threshold") else []
    words = "Each figure stands with its interval, a bootstrap over images."
    words += f" `val` chose {' and '.join(chosen)}." if chosen else ""
    return f"{words}\n\n{_table(pd.DataFrame(rows).set_index('set').T.rename_axis('figure').reset_index())}"


def _cell(figures: pd.DataFrame, metric: str) -> str:
    if metric not in figures.index:
        return "–"
    value, low, high = (float(figures[name][metric]) for name in ("value", "low", "high"))
    if not math.isfinite(value):
        return "–"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if math.isfinite(low) else f"{value:.3f}"


def _limits(run: Run) -> str:
    doubts = run_verdicts(run)
    if not doubts:
        return "Nothing was found in the files of this run that forbids taking its figures as they stand."
    return "These doubts speak against taking the figures as they stand:\n\n" + "\n".join(
        f"- {each}" for each in doubts
    )


def _reliance(run: Run) -> str:
    """Describe what `salign analyse` found, or say that it was not run."""
    relied = _relied(run)
    if relied is None:
        return f"This was not measured before this card was written; `salign analyse {run.path.name}` measures it."
    chosen = relied[relied["metric"].isin(["accuracy", "flipped"])]
    if not len(chosen):
        return "No image of the sets has a human map, so this cannot be measured."
    values = chosen.assign(value=chosen["value"].map(lambda value: f"{value:.3f}"))
    words = (
        "The human region is kept and the rest replaced, or the other way round. A model that uses the region keeps "
        "its answers in the first case and loses them in the second."
    )
    return f"{words}\n\n{_table(values[['set', 'kept', 'fill', 'metric', 'value', 'images']])}"


def reliance_sentences(run: Run) -> list[str]:
    """Describe in one sentence per set how much the run relies on human regions; empty if it was not analysed."""
    relied = _relied(run)
    if relied is None:
        return []
    chosen = relied[(relied["fill"] == "other") & (relied["metric"] == "flipped")]
    sentences = []
    for name, part in chosen.groupby("set", sort=False):
        rows = part.set_index("kept")
        inside, outside = (f"{rows['value'][side]:.0%}" for side in ("outside", "inside"))
        doubt = "".join(f" But {note}." for note in rows["note"].head(1) if note)
        sentences.append(
            f"In {rows['images'].iloc[0]} images of {name}, {inside} of the answers changed where the region that "
            f"people had marked was replaced, and {outside} where the rest was.{doubt}"
        )
    return sentences


def _relied(run: Run) -> pd.DataFrame | None:
    path = run.path / ANALYSIS / "reliance.csv"
    return read_figures(path, ("set", "kept", "fill", "metric", "note")) if path.exists() else None


def _training(run: Run) -> str:
    recipe, data = run.recipe, run.recipe.data
    lines = [
        *_used(run),
        f"It began from {_origin(recipe.model.weights)} and trained {recipe.train.epochs} epochs with seed "
        f"{recipe.seed}; the recipe stands in `recipe.yaml`, libraries and machine in `environment.json`.",
        f"The manifest is `{Path(data.manifest).name}`, SHA-256 `{known_digest(data.manifest)}`; see "
        f"[the data card]({DATA_CARD}).",
        f"The SHA-256 of `{WEIGHTS}` is `{file_digest(run.path / WEIGHTS)}`.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _used(run: Run) -> list[str]:
    """Describe in sentences which images and maps of its splits the training used."""
    data = run.recipe.data
    rows = run.manifest.select(data.train, data.classes)
    lines = [f"{len(rows)} images of {', '.join(data.train)} were there to train on, {data.limit or 'all'} were used."]
    if data.map_column != "saliency":
        lines.append(f"Maps were those of the column {without_annotator(data.map_column, data.map_column)}.")
    if data.maps != "own":
        lines.append(f"Maps were replaced by the control {data.maps}.")
    if data.annotated is not None:
        lines.append(f"This share of the training images kept its map: {data.annotated:g}.")
    if data.drawn is not None:
        lines.append(f"A machine drew maps for the {data.drawn.images} of the training images.")
    return lines


def _splits(run: Run) -> dict[str, list[str]]:
    data = run.recipe.data
    return {"training": data.train, "val": data.val, **data.tests}


def _origin(weights: str | None) -> str:
    if weights is None:
        return "random weights"
    return "ImageNet weights" if weights == "imagenet" else f"the weights `{Path(weights).name}`"


def _table(frame: pd.DataFrame) -> str:
    """Format a table as Markdown."""
    rows = [list(map(str, frame.columns)), ["---"] * frame.shape[1], *frame.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
