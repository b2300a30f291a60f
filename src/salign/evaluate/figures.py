"""From a table of predictions to a table of figures per split and group, each with its interval and its caveats."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from salign.errors import SalignError
from salign.evaluate import classification, pad
from salign.evaluate.confusion import RATES, about_rate, rates, rates_by_class
from salign.evaluate.constant import constant_note
from salign.evaluate.images import Images, named, prepare, require
from salign.evaluate.ranking import Array, Ranking
from salign.evaluate.statistics import bootstrap_counts, percentile_interval
from salign.progress import track

COLUMNS = ("split", "group_column", "group", "metric", "value", "low", "high", "n", "note")
TEXT = ("split", "group_column", "group", "metric", "note")
"""Columns that hold text."""
Line = tuple[str, float, float, float, int, str]
"""Metric, value, low, high, n and note: a row of the table of figures without its split and group."""
OF_ANSWERS = ("accuracy", "balanced_accuracy", "worst_class_accuracy")
"""Figures that judge the answers by the highest probability."""
APCER_TARGETS = (1, 5, 10)
"""Targets in percent, which give BPCER100, BPCER20 and BPCER10 of ISO/IEC 30107-3."""


def evaluate_predictions(
    table: pd.DataFrame,
    classes: Sequence[str],
    *,
    positive: str | None = None,
    threshold: float | None = None,
    species_column: str | None = None,
    group_columns: Sequence[str] = (),
    resamples: int = 1000,
    confidence: float = 0.95,
    generator: np.random.Generator,
    progress: bool = False,
) -> pd.DataFrame:
    """Compute every figure for every split and, within it, for every value of the group columns.

    With two classes the figures are:

    - `auroc` (by the softmax), `auroc_logit` (by the positive logit alone), `ap`, `eer`, `brier` and `ece`
    - by the highest probability: `accuracy`, `balanced_accuracy` and `worst_class_accuracy`
    - at `threshold`: `accuracy_at_threshold`, the `rates` `sensitivity`, `specificity`, `ppv`, `npv` and `f1`, and
      `apcer` (also `apcer[species]`), `bpcer` and `acer`
    - `bpcer_at_apcer1`, `bpcer_at_apcer5` and `bpcer_at_apcer10`

    With more classes the figures are:

    - the one-vs-rest means `auroc_macro`, `auroc_logit_macro`, `ap_macro`, `eer_macro` and `brier_macro`
    - by the highest probability: `accuracy`, `balanced_accuracy`, `worst_class_accuracy` and `ece`
    - for each class that occurs: `auroc[CLASS]`, and the `rates` by the highest probability (`f1[CLASS]`), whose means
      over classes are given, too (`f1_macro`)

    The intervals are those of a percentile bootstrap over images, drawn within each class and attack species
    (`bootstrap_counts`). A figure that is not defined for the images at hand is NaN, and its note says why.

    Args:
        table: predictions, see `salign.evaluate.predictions`; every row must have a label.
        classes: class names in the order of the logits.
        positive: the class to detect (the attack), by default the last of two classes. It is refused for more classes.
        threshold: probability of `positive` from which an image is called positive, fixed on validation
            (`choose_threshold`); None takes 0.5, and the notes say so.
        species_column: free column with the attack instrument species.
        group_columns: free columns for whose values the figures are computed separately.
        resamples: number of bootstrap resamples; 0 for no intervals.
        confidence: level of the intervals, in (0, 1).
        generator: source of randomness.
        progress: whether to show a progress bar.

    Returns:
        A row per figure, with the columns `split, group_column, group, metric, value, low, high, n, note`.
        `group_column` and `group` are empty for a whole split. `n` is the number of images that the figure is about
        (for APCER, of attacks).

    Raises:
        SalignError: the table is empty or not valid, or an argument names a class or a column that is not there.
    """
    images, note = prepare(table, classes, positive, threshold, species_column)
    require(table, group_columns)
    values_of, about = (_two_class, _about_two) if len(images.classes) == 2 else (_many_class, _about_many)

    def lines_of(positions: Array) -> list[Line]:
        part = images.take(positions)
        return figure_lines(
            functools.partial(values_of, part), about(part, note), part.strata, resamples, confidence, generator
        )

    return by_part(table, group_columns, lines_of, progress=progress)


def choose_threshold(
    table: pd.DataFrame,
    classes: Sequence[str],
    positive: str | None = None,
    rule: str = "eer",
    *,
    species_column: str | None = None,
) -> float:
    """Choose, on validation predictions, the probability of `positive` from which an image is called positive.

    Args:
        table: predictions of the validation images only.
        classes: the two class names.
        positive: as in `evaluate_predictions`.
        rule: "eer", the threshold at which the two error rates are nearest to each other; or "apcer<percent>", such as
            "apcer5", the highest threshold at which the worst species' APCER is 5 % or less.
        species_column: free column with the attack instrument species.

    Raises:
        SalignError: the rule is unknown, there are more than two classes, or only one of the two has images.
    """
    images, _ = prepare(table, classes, positive, 0.5, species_column)
    if len(images.classes) != 2:
        raise SalignError(f"a threshold needs two classes; got {len(images.classes)}: {', '.join(images.classes)}")
    scores = images.probabilities[:, images.positive]
    share = read_rule(rule)
    if share is None:
        return pad.threshold_at_eer(scores, images.attack)
    return pad.threshold_at_apcer(scores, images.attack, share, images.species)


def read_rule(rule: str) -> float | None:
    """Return the APCER that a rule of `choose_threshold` allows, such as 0.05 for "apcer5"; None for "eer".

    Raises:
        SalignError: the rule is unknown.
    """
    match = re.fullmatch(r"apcer(\d+(?:\.\d+)?)", rule)
    if match is None and rule != "eer":
        raise SalignError(f"unknown rule {rule!r}; expected 'eer' or 'apcer<percent>', for instance 'apcer5'")
    return None if match is None else float(match[1]) / 100


def by_part(
    table: pd.DataFrame, group_columns: Sequence[str], lines_of: Callable[[Array], list[Line]], *, progress: bool
) -> pd.DataFrame:
    """Make the table of figures: for every split, and for every group within it, the lines that `lines_of` returns.

    Args:
        table: predictions.
        group_columns: free columns whose values are the groups.
        lines_of: positions of images -> the lines of these images, see `figure_lines`.
        progress: whether to show a progress bar.
    """
    rows: list[tuple[object, ...]] = []
    parts = list(_parts(table, group_columns))
    for part, positions in track(parts, "figures", show=progress):
        rows += [(*part, *line) for line in lines_of(positions)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _parts(table: pd.DataFrame, group_columns: Sequence[str]) -> Iterator[tuple[tuple[str, str, str], Array]]:
    """Yield every split, and every group within it: (split, group column, group) and the positions of its images."""
    splits = named(table, "split")
    for split in pd.unique(splits):
        members = np.flatnonzero(splits == split)
        yield (split, "", ""), members
        for column in group_columns:
            groups = named(table, column)[members]
            for group in sorted(set(groups)):
                yield (split, column, group), members[groups == group]


def figure_lines(
    values_of: Callable[[Array], dict[str, Array]],
    about: Callable[[str], tuple[int, list[str]]],
    strata: Array,
    resamples: int,
    confidence: float,
    generator: np.random.Generator,
) -> list[Line]:
    """Compute the lines `(metric, value, low, high, n, note)` of one set of images.

    Args:
        values_of: `(R, N)` bootstrap counts -> `(R,)` values of each metric.
        about: metric -> the number of images it is about, and its notes; the reason why a metric is NaN comes first.
        strata: `(N,)` strata, within which the bootstrap draws.
        resamples: number of bootstrap resamples; 0 for no intervals. The interval of a metric leaves out the resamples
            in which the metric is NaN.
        confidence: level of the intervals, in (0, 1).
        generator: source of randomness.
    """
    values = {name: float(estimates[0]) for name, estimates in values_of(np.ones((1, len(strata)))).items()}
    _, sizes = np.unique(strata, return_counts=True)
    lone = bool(sizes.max() == 1)
    resampled_values: dict[str, list[Array]] = {name: [] for name in values}
    if resamples and not lone:
        for weights in bootstrap_counts(strata, resamples, generator):
            for name, estimates in values_of(weights).items():
                resampled_values[name].append(estimates)
    lines = []
    for name, value in values.items():
        n, notes = about(name)
        low = high = float("nan")
        if np.isnan(value):
            notes = notes[:1]
        elif lone:
            notes.append("no interval: one image of each kind cannot be resampled")
        elif resamples:
            resampled = np.concatenate(resampled_values[name])
            defined = resampled[~np.isnan(resampled)]
            if len(defined):
                low, high = percentile_interval(defined, confidence)
            if len(defined) < len(resampled):
                notes.append(f"interval without {len(resampled) - len(defined)} resamples that lack one kind of image")
            if low == high:
                notes.append("all resamples agree: the interval cannot speak of answers that did not occur here")
            elif sizes.min() == 1:
                notes.append("a class or species has one image, which the interval takes as certain")
        lines.append((name, value, low, high, n, "; ".join(notes)))
    return lines


def _two_class(images: Images, weights: Array) -> dict[str, Array]:
    attack, species, threshold = images.attack, images.species, images.threshold
    scores = images.probabilities[:, images.positive]
    ranking = Ranking.of(scores, attack, weights)
    called = np.where(scores >= threshold, images.positive, 1 - images.positive)
    values = {
        "auroc": classification.auroc_of(ranking),
        "auroc_logit": classification.auroc(images.logits[:, images.positive], attack, weights),
        "ap": classification.average_precision_of(ranking),
        "eer": pad.eer_of(ranking),
        "accuracy": classification.accuracy(images.predicted, images.labels, weights),
        "balanced_accuracy": classification.balanced_accuracy(images.predicted, images.labels, weights),
        "worst_class_accuracy": classification.worst_class_accuracy(images.predicted, images.labels, weights),
        "accuracy_at_threshold": classification.accuracy(called, images.labels, weights),
        **rates(called == images.positive, attack, weights),
        "brier": classification.brier(scores, attack, weights),
        "ece": classification.ece(images.probabilities, images.labels, weights),
        "apcer": pad.apcer(scores, attack, threshold, species, weights),
        "bpcer": pad.bpcer(scores, attack, threshold, weights),
        "acer": pad.acer(scores, attack, threshold, species, weights),
    }
    if species is not None:
        by_species = pad.apcer_per_species(scores, attack, threshold, species, weights)
        values |= {f"apcer[{name}]": rate for name, rate in by_species.items()}
    for percent in APCER_TARGETS:
        values[f"bpcer_at_apcer{percent}"] = pad.bpcer_at_apcer(scores, attack, percent / 100, species, weights)
    return values


def _about_answers(images: Images, metric: str) -> list[str]:
    """Return the notes on a figure that judges the answers by the highest probability."""
    note = constant_note(images.probabilities, images.labels, images.classes) if metric in OF_ANSWERS else ""
    return [note] if note else []


def _about_two(images: Images, threshold_note: str) -> Callable[[str], tuple[int, list[str]]]:
    """Return a function: metric -> the number of images it is about, and its notes; a reason for NaN comes first."""
    attack = images.attack
    counts = {True: int(attack.sum()), False: int((~attack).sum())}
    names = {True: images.classes[images.positive], False: images.classes[1 - images.positive]}
    absent = [f"no image of class {names[kind]}" for kind in (True, False) if not counts[kind]]
    scores = images.probabilities[:, images.positive]
    by_species = pad.apcer_per_species(scores, attack, images.threshold, images.species)
    species = np.full(len(images), pad.ONE_SPECIES) if images.species is None else images.species
    sizes = dict(zip(*np.unique(species[attack].astype(str), return_counts=True), strict=True))
    called = int((scores >= images.threshold).sum())

    def about(metric: str) -> tuple[int, list[str]]:
        if metric.startswith("apcer["):
            return int(sizes[metric[6:-1]]), [threshold_note]
        if metric == "apcer":
            worst = (
                []
                if len(by_species) < 2
                else [f"worst of {len(by_species)} species: {max(by_species, key=lambda s: by_species[s])}"]
            )
            pooled = ["all attacks taken as one species"] if images.species is None else []
            return counts[True], [*absent[: not counts[True]], threshold_note, *worst, *pooled]
        if metric == "bpcer":
            return counts[False], [*([] if counts[False] else absent[-1:]), threshold_note]
        if metric in RATES:
            n, reason = about_rate(metric, names[True], counts[True], called, len(images))
            return n, [*reason, threshold_note]
        if metric.startswith("bpcer_at_apcer"):
            if absent:
                return counts[False], absent[:1]
            target = int(metric.removeprefix("bpcer_at_apcer"))
            reached = pad.reached_apcer(scores, attack, target / 100, images.species)
            least = min(sizes.values())
            coarse = [f"{target} % is finer than one of {least} attacks"] if least * target < 100 else []
            return counts[False], [*coarse, f"taken at APCER {100 * reached:.3g} %, found on these images"]
        if metric == "acer":
            return len(images), [*absent[:1], threshold_note]
        if metric == "accuracy_at_threshold":
            return len(images), [threshold_note]
        alike = _about_answers(images, metric)
        return len(images), alike if metric in ("accuracy", "brier", "ece") else [*absent[:1], *alike]

    return about


def _many_class(images: Images, weights: Array) -> dict[str, Array]:
    labels, present = images.labels, np.unique(images.labels)
    metrics: dict[str, list[Array]] = {"auroc_macro": [], "auroc_logit_macro": [], "ap_macro": [], "eer_macro": []}
    for k in present:  # as `one_vs_rest`, with one sort for all figures
        ranking = Ranking.of(images.probabilities[:, k], labels == k, weights)
        metrics["auroc_macro"].append(classification.auroc_of(ranking))
        metrics["auroc_logit_macro"].append(classification.auroc(images.logits[:, k], labels == k, weights))
        metrics["ap_macro"].append(classification.average_precision_of(ranking))
        metrics["eer_macro"].append(pad.eer_of(ranking))
    is_class, called = (numbers[:, None] == present for numbers in (labels, images.predicted))
    present_names = tuple(images.classes[k] for k in present)
    areas = {f"auroc[{name}]": area for name, area in zip(present_names, metrics["auroc_macro"], strict=True)}
    return {
        **{name: np.mean(per_class, axis=0) for name, per_class in metrics.items()},
        "brier_macro": classification.brier_macro(images.probabilities, labels, weights),
        "accuracy": classification.accuracy(images.predicted, labels, weights),
        "balanced_accuracy": classification.balanced_accuracy(images.predicted, labels, weights),
        "worst_class_accuracy": classification.worst_class_accuracy(images.predicted, labels, weights),
        "ece": classification.ece(images.probabilities, labels, weights),
        **rates_by_class(called, is_class, present_names, weights),
        **areas,
    }


def _about_many(images: Images, threshold_note: str) -> Callable[[str], tuple[int, list[str]]]:
    del threshold_note  # these figures depend on no threshold
    present = np.unique(images.labels)
    absent = [name for k, name in enumerate(images.classes) if k not in present]

    def about(metric: str) -> tuple[int, list[str]]:
        alike = _about_answers(images, metric)
        if metric in ("accuracy", "brier_macro", "ece"):
            return len(images), alike
        kind, _, name = metric.partition("[")
        if name:
            k = images.classes.index(name[:-1])
            having, called = (int((numbers == k).sum()) for numbers in (images.labels, images.predicted))
            if kind == "auroc":
                return len(images), [f"only images of class {name[:-1]}"] if having == len(images) else []
            return about_rate(kind, name[:-1], having, called, len(images))
        if len(present) < 2:
            return len(images), [f"only images of class {images.classes[present[0]]}", *alike]
        partial = [f"mean over the classes present; no image of {', '.join(absent)}"] if absent else []
        return len(images), [*partial, *alike]

    return about
