"""The tables of a study: as numbers for programs (CSV), and as text for a page, Markdown and LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from salign.evaluate.comparison import holm
from salign.experiment.report.answers import nested_interval, read_answers
from salign.experiment.report.groups import Condition, Group, controls_of
from salign.experiment.study import ALL_IMAGES, Study

NOTHING = "–"
"""The text of a cell without a number."""
BESIDES = {"worst class": ("worst", "worst_class_accuracy"), "ECE": ("ece", "ece")}
"""Heading of a further figure on the target set -> the beginning of its columns in `main_table`, and its metric."""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--", "<": "$<$", ">": "$>$",
    "|": r"\textbar{}", "": "{}",
}  # fmt: skip
_IN_LATEX = re.compile("|".join([*filter(None, map(re.escape, _LATEX)), r"^(?=[\[*])"]))
"""What has a meaning in LaTeX. A `[` or `*` at the start of a row would be read as an option of the row before."""
_IN_MARKDOWN = re.compile(r"[\\`*|~$]|(?<!\w)_|_(?!\w)|\](?=[(\[])|<(?=[A-Za-z/!?])|&(?=#?\w+;)")
"""What Markdown reads as code, emphasis, the end of a cell, a formula, a link, a tag or an entity; `a_b` stays."""


def main_table(study: Study, groups: Sequence[Group]) -> pd.DataFrame:
    """Make the main table: a row for every arm of every group, compared with the baseline under the same condition.

    Returns:
        All figures are shares; NaN stands where there is no figure. The columns are:

        - dataset, network, arm, images (-1 = all), annotated;
        - seeds: the number of pairs with the baseline, or for the baseline itself the number of its runs;
        - for the reference and the target set: mean and sd (n - 1) over the runs, and the paired difference to the
          baseline with its 95 % t interval;
        - on the target set: mean and sd of the accuracy of the worst class (worst) and of the calibration error (ece);
        - p: paired t test of the difference on the target set;
        - p_holm: p of the guided arm unchanged, because the study asks about this arm; p of the other arms adjusted by
          Holm's method for their number in this table;
        - improvement: the probability that a run of the arm beats a run of the baseline, from two seeds on.
    """
    rows = [_row(study, group, arm) for group in groups for arm in group.arms]
    table = pd.DataFrame(rows)
    if not len(table):
        return table
    guided = table["arm"] == study.guided
    return table.assign(p_holm=np.where(guided, table["p"], holm(table["p"].mask(guided))))


def pairs_table(study: Study, groups: Sequence[Group], runs: pd.DataFrame) -> pd.DataFrame:
    """Compare every arm with the baseline and with its own controls, on the target set, by every interval and test.

    The guided arm comes first.

    Args:
        study: names the arms.
        groups: see `groups_of`.
        runs: columns dataset, network, arm, images, annotated, seed, path; the predictions of the runs are read.

    Returns:
        A row per pair of arms that share a seed. The columns are dataset, network, first, second, seeds, difference;
        intervals and tests named as in `Comparison`; and nested_low and nested_high, the interval over seeds and test
        images together.
    """
    rows = []
    for group in groups:
        arms = sorted(group.arms, key=lambda arm: arm != study.guided)
        rivals = {arm: [study.baseline, *controls_of(study, group, arm)] for arm in arms if arm != study.baseline}
        for pair in [(arm, other) for arm, comparison in rivals.items() for other in comparison]:
            comparison = group.compare(*pair, study.target, study.metric)
            if comparison is None:
                continue
            paths = [group.paths(runs, arm, group.shared(*pair)) for arm in pair]
            seeds = sorted(set(paths[0]) & set(paths[1]))
            first, second = (read_answers([each[seed] for seed in seeds], study.target) for each in paths)
            low, high = nested_interval(first, second, study.metric)
            names = ("difference", "low", "high", "boot_low", "boot_high", "effect", "paired_t_p", "permutation_p")
            rows.append(
                {"dataset": group.dataset, "network": group.network, "first": pair[0], "second": pair[1]}
                | {"seeds": comparison.n, **{name: getattr(comparison, name) for name in names}}
                | {"nested_low": low, "nested_high": high}
            )
    return pd.DataFrame(rows)


def sets_table(study: Study, groups: Sequence[Group]) -> pd.DataFrame:
    """Make a table with a row for every arm of every group on every set, also on other sets than target and reference.

    Returns:
        Columns dataset, network, arm, images (-1 = all), annotated, set; seeds, mean and sd (n - 1) of the runs; and
        difference, low, high: the paired difference to the baseline with its 95 % t interval. All figures are shares;
        NaN stands where there is no figure.
    """
    rows: list[dict[str, object]] = []
    for group in groups:
        for test_set in sorted({test_set for *_, test_set, metric in group.places if metric == study.metric}):
            for arm in group.arms:
                values = group.scores(arm, test_set, study.metric)
                row = _whose(group, arm) | {"set": test_set, "seeds": len(values)}
                row |= {"mean": values.mean(), "sd": values.std(ddof=1)}
                rows.append(row | _to_baseline(study, group, arm, test_set))
    return pd.DataFrame(rows)


def other_sets(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Put a group's part of `sets_table` into words, for the sets that are neither target nor reference.

    Returns:
        Text columns: arm, and for every such set its mean and the difference to the baseline. The table is empty where
        there is no such set.
    """
    lines: dict[str, dict[str, str]] = {}
    for row in table[~table["set"].isin([study.target, study.reference])].to_dict("records"):
        name = _with_condition(row)
        line = lines.setdefault(name, {"arm": name})
        line[row["set"]] = mean_in_words(row["mean"], row["sd"])
        ends = (row[name] for name in ("difference", "low", "high"))
        line[f"{row['set']} − {study.baseline}"] = difference_in_words(*ends)
    return pd.DataFrame(list(lines.values()))


def describe_main_table(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Put the main table into words: shares in points of 100, each mean with its sd, each difference with its interval.

    Returns:
        Text columns: data set, network, arm, seeds; the reference and target set; worst class and ECE (on the target
        set, where any run has them); the difference to the baseline on each set; p, p (Holm), P(better).
    """
    measured = set(table.columns[table.notna().any()])
    besides = {heading: name for heading, (name, _) in BESIDES.items() if f"{name}_mean" in measured}
    lines = []
    for row in table.to_dict("records"):
        line = {"data set": row["dataset"], "network": row["network"]}
        line |= {"arm": _with_condition(row), "seeds": str(row["seeds"])}
        for role, test_set in set_roles(study):
            line[test_set] = mean_in_words(row[f"{role}_mean"], row[f"{role}_sd"])
        line |= {key: mean_in_words(row[f"{name}_mean"], row[f"{name}_sd"]) for key, name in besides.items()}
        for role, test_set in set_roles(study):
            ends = (row[f"{role}_{name}"] for name in ("difference", "low", "high"))
            line[f"{test_set} − {study.baseline}"] = difference_in_words(*ends)
        line["p"], line["p (Holm)"] = p_in_words(row["p"]), p_in_words(row["p_holm"])
        line["P(better)"] = NOTHING if math.isnan(row["improvement"]) else f"{row['improvement']:.2f}"
        lines.append(line)
    return pd.DataFrame(lines)


def set_roles(study: Study) -> list[tuple[str, str]]:
    """Return the role, `reference` or `target`, and the name of the two sets; a study may have no reference."""
    roles = [("reference", study.reference), ("target", study.target)]
    return [(role, test_set) for role, test_set in roles if test_set is not None]


def to_markdown(table: pd.DataFrame) -> str:
    """Write a table of text as a Markdown pipe table."""
    head, *rows = _escaped(table, lambda cell: _IN_MARKDOWN.sub(r"\\\g<0>", cell))
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


def to_latex(table: pd.DataFrame) -> str:
    """Write a table of text as a LaTeX tabular with the rules of the booktabs package; all cells are escaped."""
    head, *rows = _escaped(table, lambda cell: _IN_LATEX.sub(lambda match: _LATEX[match[0]], cell))
    lines = [" & ".join(row) + r" \\" for row in (head, *rows)]
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{'l' * len(head)}}}", *body, r"\end{tabular}", ""])


def points(value: float, sign: bool = False) -> str:
    """Write a share as points of 100 with one decimal: .224 -> "22.4", or "+22.4" with `sign`; zero has no minus."""
    if math.isnan(value):
        return NOTHING
    return format(100 * value, "+z.1f" if sign else "z.1f").replace("-", "−")


def decimal(value: float) -> str:
    """Write a number with two decimals."""
    return NOTHING if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def mean_in_words(mean: float, sd: float) -> str:
    """Write a mean with its sd, both shares, for instance "54.2 ± 3.1"; the mean alone where the sd is NaN."""
    return points(mean) if math.isnan(sd) else f"{points(mean)} ± {points(sd)}"


def difference_in_words(value: float, low: float, high: float) -> str:
    """Write a difference of shares, for instance "+22.4 [+4.0, +40.9]"; without interval where `low` is NaN."""
    return (
        points(value, True) if math.isnan(low) else f"{points(value, True)} [{points(low, True)}, {points(high, True)}]"
    )


def p_in_words(p: float) -> str:
    """Write a p value with three decimals, such as ".042", or "< .001"."""
    return NOTHING if math.isnan(p) else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _escaped(table: pd.DataFrame, escape: Callable[[str], str]) -> list[list[str]]:
    """Return the header and the rows, with each cell in one line and escaped."""
    return [[escape(" ".join(str(cell).split())) for cell in row] for row in (table.columns, *table.to_numpy())]


def _whose(group: Group, arm: str) -> dict[str, object]:
    """Return the first columns of an arm's row: data set, network, arm, and the condition of its runs."""
    condition = group.conditions[arm]
    images = ALL_IMAGES if np.isinf(condition.images) else int(condition.images)
    row: dict[str, object] = {"dataset": group.dataset, "network": group.network, "arm": arm}
    return row | {"images": images, "annotated": condition.annotated}


def _with_condition(row: Mapping[Hashable, Any]) -> str:
    """Name the arm of a row, and its condition where that is not all images and all maps."""
    condition = Condition(np.inf if row["images"] == ALL_IMAGES else row["images"], row["annotated"]).words
    return f"{row['arm']} ({condition})" if condition else str(row["arm"])


def _to_baseline(study: Study, group: Group, arm: str, test_set: str) -> dict[str, float]:
    comparison = None if arm == study.baseline else group.compare(arm, study.baseline, test_set, study.metric)
    return {name: getattr(comparison, name, math.nan) for name in ("difference", "low", "high")}


def _row(study: Study, group: Group, arm: str) -> dict[str, object]:
    row = _whose(group, arm)
    row["seeds"] = len(group.scores(arm, study.target, study.metric))
    nan = float("nan")
    for role, test_set in set_roles(study):
        values = group.scores(arm, test_set, study.metric)
        row |= {f"{role}_mean": values.mean() if len(values) else nan, f"{role}_sd": values.std(ddof=1)}
    for name, figure in BESIDES.values():
        values = group.scores(arm, study.target, figure)
        row |= {f"{name}_mean": values.mean() if len(values) else nan, f"{name}_sd": values.std(ddof=1)}
    for role, test_set in set_roles(study):
        row |= {f"{role}_{name}": value for name, value in _to_baseline(study, group, arm, test_set).items()}
    comparison = None if arm == study.baseline else group.compare(arm, study.baseline, study.target, study.metric)
    if comparison is not None:
        row["seeds"] = comparison.n
    row |= {"p": comparison.paired_t_p if comparison else nan}
    row["improvement"] = comparison.improvement if comparison and comparison.n > 1 else nan
    return row
