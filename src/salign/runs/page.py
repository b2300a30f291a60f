"""The sections of the page of one run, or of two runs side by side: doubts, figures, where it looks, training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from salign.evaluate.agreement import LABELS
from salign.evaluate.confusion import confusion_matrix
from salign.evaluate.curves import calibration_curve, precision_recall_curve, roc_curve
from salign.evaluate.names import OF_A_CLASS, main_figures, name_of
from salign.evaluate.predictions import named_in, probabilities_of
from salign.evaluate.tables import read_figures
from salign.models import Threshold, count_cost
from salign.models.config import describe_model
from salign.pages.plots import traces
from salign.pages.sheet import Block, Columns, Folded, Plots, Section, Table, Text
from salign.readers import read_json
from salign.runs.compare import ANALYSIS
from salign.runs.curves import training_sections
from salign.runs.folder import POSTHOC
from salign.runs.robustness import robustness_blocks
from salign.runs.run import Run
from salign.runs.verdicts import labelled, run_verdicts

MOST_CLASSES = 30
"""The largest number of classes for which a confusion matrix is shown; a larger one is not readable."""
MOST_LINES = 10
"""The largest number of curves in a plot."""
Lines = dict[str, tuple[np.ndarray, np.ndarray]]
_MOST_BYTES = 10_000_000
NO_DOUBT = "Nothing was found that forbids taking these figures as they stand."


def run_sections(runs: Mapping[str, Run]) -> list[Section]:
    """Return all sections of the page except the gallery.

    Args:
        runs: name of each run on the page -> the run; two runs are shown side by side.

    Raises:
        SalignError: predictions or figures of a run are missing or damaged.
    """
    sections = [_in_short(runs), _figures(runs), _curves(runs), _looking(runs)]
    for name, run in runs.items():
        of = f" of {name}" if len(runs) > 1 else ""
        if run.metrics.exists():
            training, epochs = training_sections(run)
            sections.append(Section(f"{training.title}{of}", [*training.blocks, Folded(epochs.title, _text(epochs))]))
    recipes = [Folded(f"Recipe of {name}", run.recipe_file.read_text("utf-8")) for name, run in runs.items()]
    return [*sections, Section("Recipe", recipes)]


def _text(section: Section) -> str:
    (table,) = section.blocks
    assert isinstance(table, Table)
    return table.frame.to_string(index=False)


def _in_short(runs: Mapping[str, Run]) -> Section:
    """Return the main figure on every set, and the doubts about the figures, an entry per kind of doubt."""
    lines, doubts = [], list[Block]()
    for name, run in runs.items():
        figures = run.figures()
        whole = figures[figures["group_column"] == ""]
        (metric, *_) = main_figures(whole["metric"], attacks=run.recipe.data.attacks)
        rows = whole[whole["metric"] == metric].to_dict("records")
        values = "; ".join(f"{row['split']} {_cell(row['value'], row['low'], row['high'])}" for row in rows)
        lines.append(f"{name_of(metric)}{_beside(runs, name)}: {values}")
        of = f"{name}: " if len(runs) > 1 else ""
        verdicts = run_verdicts(run)
        for kind in dict.fromkeys(verdict.kind for verdict in verdicts):
            alike = [verdict for verdict in verdicts if verdict.kind == kind]
            advice = dict.fromkeys(verdict.advice for verdict in alike)
            sentences = ". ".join(verdict.sentence for verdict in alike)
            doubts.append(Text([f"{sentences}. {' '.join(advice)}"], f"⚠ {of}{kind if of else kind.capitalize()}"))
        if not verdicts:
            doubts.append(Text([f"{of}{NO_DOUBT}"]))
    return Section("In short", [Text(lines, lead=True), Columns(doubts)])


def _figures(runs: Mapping[str, Run]) -> Section:
    columns: dict[str, dict[str, str]] = {}
    metrics: dict[str, None] = {}
    for name, run in runs.items():
        figures = run.figures()
        whole = figures[figures["group_column"] == ""]
        main = main_figures(whole["metric"], attacks=run.recipe.data.attacks)
        metrics |= dict.fromkeys(main)
        for split, part in whole.groupby("split", sort=False):
            numbers = part[part["metric"].isin(main)][["metric", "value", "low", "high"]]
            columns[f"{split} ({part['n'].max():.0f} images){_beside(runs, name)}"] = {
                metric: _cell(*figure) for metric, *figure in numbers.itertuples(index=False)
            }
    table = [
        {"": name_of(metric)} | {heading: cells.get(metric, "–") for heading, cells in columns.items()}
        for metric in metrics
    ]
    caption = f"Each figure with its bootstrap interval over images.{_threshold(runs)}"
    blocks: list[Block] = [Table(caption, pd.DataFrame(table), names=1)]
    costs = [f"{count_cost(run.model())}{_beside(runs, name)}." for name, run in runs.items()]
    blocks.append(Text(costs, "What an answer costs"))
    for name, run in runs.items():
        blocks += _by_class(run, f"{name}: " if len(runs) > 1 else "")
        blocks += _gap(run, f"{name}: " if len(runs) > 1 else "")
        blocks += _by_group(run, f"{name}: " if len(runs) > 1 else "")
    return Section("Figures", blocks)


def _threshold(runs: Mapping[str, Run]) -> str:
    sentences = []
    for name, run in runs.items():
        if values := describe_model(run.path).get("threshold"):
            sentences.append(f" Threshold{_beside(runs, name)}: {Threshold(**values)}.")
    return "".join(sentences)


def _by_class(run: Run, of: str) -> list[Block]:
    """Return the figures of each class, and the confusion matrix of each set."""
    blocks: list[Block] = []
    figures = run.figures()
    for name in run.sets:
        here = figures[(figures["split"] == name) & (figures["group_column"] == "")]
        values = dict(zip(here["metric"], here["value"], strict=True))
        metrics = [metric for metric in OF_A_CLASS if any(f"{metric}[{label}]" in values for label in run.classes)]
        if metrics:
            rows = [
                {"class": label}
                | {name_of(metric): _cell(values.get(f"{metric}[{label}]", np.nan)) for metric in metrics}
                for label in run.classes
            ]
            blocks.append(Table(f"{of}{name}: each class against all others.", pd.DataFrame(rows), names=1))
        if not run.multi_label and len(run.classes) <= MOST_CLASSES:
            labels, answers = labelled(run, name)
            numbers = {label: k for k, label in enumerate(run.classes)}
            matrix = confusion_matrix(labels, answers["predicted"].map(numbers), len(numbers))
            frame = pd.DataFrame(matrix, columns=[f"called {label}" for label in run.classes])
            frame.insert(0, "", [f"true {label}" for label in run.classes])
            caption = f"{of}{name}: images by true class (rows) and by the class of the highest probability (columns)."
            blocks.append(Table(caption, frame, shaded=True))
    return blocks


def _gap(run: Run, of: str) -> list[Block]:
    """Return the table of the feature gap of a rebalanced run, or nothing for other runs.

    The gap says how far the features of each set lie outside of the range of those that the head learned from.
    """
    noted = read_json(run.path / POSTHOC, limit=_MOST_BYTES, nan=True) if (run.path / POSTHOC).exists() else {}
    gaps, images = noted.get("gap", {}), noted.get("images", {})
    rows = [
        {"class": name, "training images": str(count)}
        | {
            f"{part}, {when}": f"{values[name][when]:.3g}"
            for part, values in gaps.items()
            for when in ("before", "after")
        }
        for name, count in images.items()
    ]
    caption = (
        f"{of}Gap of the features: how far those of each set reach beyond those that the head learned from, the sum "
        f"over features, before and after features were added (method {noted.get('method')})."
    )
    return [Table(caption, pd.DataFrame(rows), names=1)] if rows else []


def _by_group(run: Run, of: str) -> list[Block]:
    figures = run.figures()
    groups = figures[figures["group_column"] != ""]
    if groups.empty:
        return []
    main = main_figures(groups["metric"], attacks=run.recipe.data.attacks)[:4]
    rows = [
        {"set": split, "group": f"{column} {group}", "images": int(part["n"].max())}
        | {name_of(metric): _cell(*part[part["metric"] == metric][["value", "low", "high"]].iloc[0]) for metric in main}
        for (split, column, group), part in groups.groupby(["split", "group_column", "group"], sort=False)
    ]
    return [Table(f"{of}by group.", pd.DataFrame(rows), names=2)]


def _curves(runs: Mapping[str, Run]) -> Section:
    """Return the ROC, precision-recall and calibration curves, a line per set and run."""
    roc: Lines = {}
    recall: Lines = {}
    calibration: Lines = {}
    for name, run in runs.items():
        for split in run.sets:
            labels, probabilities = decisions(run, split)
            if not len(labels):
                continue
            line = f"{split}{_beside(runs, name)}"
            curve = calibration_curve(probabilities, labels)
            calibration[line] = curve.confidence, curve.accuracy
            if run.positive is not None:
                positive = run.classes.index(run.positive)
                scores = probabilities[:, positive], labels == positive
                roc[line], recall[line] = roc_curve(*scores), precision_recall_curve(*scores)
    svgs = [
        traces(finite, axes, title=title, name=f"curve-{number}", square=True, diagonal=diagonal)
        for number, (title, axes, lines, diagonal) in enumerate(
            (
                ("ROC", ("false positive rate (1 - specificity)", "sensitivity"), roc, True),
                ("Precision and recall", ("recall (sensitivity)", "precision (PPV)"), recall, False),
                ("Calibration", ("confidence", "accuracy"), calibration, True),
            )
        )
        if (finite := _finite(lines))
    ]
    caption = (
        "ROC: the dashed line is chance. Calibration: mean confidence of the answers in 15 bins, and the share of them "
        "that is right; on the dashed line both agree. Of several labels, every yes or no is an answer."
    )
    return Section("Curves", [Plots(caption, svgs)] if svgs else [])


def decisions(run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the true class numbers `(N,)` and the probabilities `(N, K)` of a set, without unlabelled images.

    Where images may have several labels, all images count, and every pair of image and class is a decision of its own
    with the two classes no (0) and yes (1).
    """
    if not run.multi_label:
        labels, answers = labelled(run, name)
        return labels, probabilities_of(answers, run.classes)
    table = run.predictions(name)
    yes = probabilities_of(table, run.classes).ravel()
    return named_in(table, "label", run.classes).ravel().astype(np.int64), np.stack([1 - yes, yes], 1)


def _beside(runs: Mapping[str, Run], name: str) -> str:
    """Return what names a run in columns and lines if there are two runs, else ""."""
    return f", {name}" if len(runs) > 1 else ""


def _finite(lines: Lines) -> Lines:
    finite = {name: line for name, line in lines.items() if np.isfinite(line[1]).any()}
    return dict(list(finite.items())[:MOST_LINES])


def _looking(runs: Mapping[str, Run]) -> Section:
    """Return the agreement with people and the region test, as `salign analyse` wrote them."""
    blocks: list[Block] = []
    for name, run in runs.items():
        of = f"{name}: " if len(runs) > 1 else ""
        folder = run.path / ANALYSIS
        if not (folder / "done").exists():
            begin = f"{of}not" if of else "Not"
            blocks.append(Text([f"{begin} measured. Run salign analyse {run.path.name}, and make this page again."]))
            continue
        agreement = read_figures(folder / "agreement.csv", ("set", "id", "label", "predicted"))
        if len(agreement):
            means = agreement.groupby("set", sort=False)[["cc", "energy", "iou", "auc_judd"]].mean()
            rows = means.map(_cell).rename(columns=LABELS).reset_index()
            caption = f"{of}agreement of the model's maps with people's, mean over {len(agreement)} images."
            blocks.append(Table(caption, rows, names=1))
        blocks += _region_test(folder, of)
        blocks += robustness_blocks(run, of)
    return Section("Where it looks and what it uses", blocks)


def _region_test(folder: Path, of: str) -> list[Block]:
    relied = read_figures(folder / "reliance.csv", ("set", "kept", "fill", "metric", "note"))
    rows = []
    for split, part in relied.groupby("set", sort=False):
        values = part.set_index(["kept", "fill", "metric"])["value"]
        row: dict[str, str] = {"set": str(split), "accuracy, untouched": f"{values['all', '', 'accuracy']:.3f}"}
        for side, words in (("inside", "region kept"), ("outside", "region replaced")):
            for metric, what in (("accuracy", "accuracy"), ("flipped", "answers that change")):
                row[f"{what}, {words}"] = f"{values[side, 'other', metric]:.3f}"
        rows.append(row)
    caption = (
        f"{of}region test: the rest of the image, or the human region, is replaced by another image's background. A "
        "model that uses the region keeps its answers when the region is kept, and loses them when it is replaced."
    )
    return [Table(caption, pd.DataFrame(rows), names=1)] if rows else []


def _cell(value: float, low: float = np.nan, high: float = np.nan) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3f}" if np.isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"
