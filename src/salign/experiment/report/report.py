"""The report of a study: one page that opens offline, for people who doubt, and its tables beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from pandas.api.types import is_numeric_dtype
from pyarrow.csv import WriteOptions, write_csv

from salign.data.manifest.text_table import for_spreadsheets
from salign.experiment.arms import arm_changes, times
from salign.experiment.report import curves, evidence, makers
from salign.experiment.report.groups import Group, arm_order, groups_of, heading
from salign.experiment.report.summary import findings, headline
from salign.experiment.report.tables import (
    describe_main_table,
    difference_in_words,
    main_table,
    other_sets,
    p_in_words,
    pairs_table,
    set_roles,
    sets_table,
    to_latex,
    to_markdown,
)
from salign.experiment.report.worse_maps import worse_maps
from salign.experiment.store import PLACE
from salign.experiment.study import ALL_IMAGES, Study
from salign.files import check_output, replace_text, replacing
from salign.pages.plots import Interval, Styles, forest, looks
from salign.pages.sheet import Block, Folded, Plots, Section, Table, Text, write_sheet
from salign.progress import Bar

_DETAILS = {
    "How many training images is guidance worth?": curves.over_images,
    "How many annotations does it need?": curves.over_annotations,
    "How good must the maps be?": worse_maps,
    "Maps of people and of machines": makers.people_and_machines,
    "Do models that look where people look generalize better?": evidence.agreement,
    "Do independent runs look at the same places?": evidence.consistency,
    "What do the models use?": evidence.reliance,
    "Images on which the arms differ most": evidence.gallery,
}
"""Heading -> what of the evidence is below it: `(study, groups, runs, styles) -> blocks`."""


def write_report(
    study: Study, results: pd.DataFrame, runs: pd.DataFrame, out: Path, *, missing: int = 0, progress: bool = False
) -> Path:
    """Write `report.html`, and its tables beside it.

    `results.csv` holds every figure; the main table is `table.csv`, `table.tex` and `table.md`; `pairs.csv` has every
    arm against the baseline and its own controls, `sets.csv` every arm on every set. A name like a formula has an
    apostrophe before it in these, but not in `results.csv`, which programs read.
    Holds no date, time, path or speed, and draws nothing at random: equal results give equal bytes.

    Args:
        study: what was asked.
        results: a row per figure: dataset, network, arm, images, annotated, seed, set, metric, value.
        runs: a row per finished cell: dataset, network, arm, images, annotated, seed, path, hash.
        out: folder to write into.
        missing: cells that are not finished.
        progress: show a bar.

    Returns:
        Path of the page.

    Raises:
        SalignError: the predictions of a run are gone or not valid.
    """
    check_output(out / "report.html")
    groups = groups_of(study, results)
    styles = looks(arm_order(study, {arm for group in groups for arm in group.arms}))
    with Bar("reporting", len(_DETAILS) + 2, show=progress) as bar:
        table, sets = main_table(study, groups), sets_table(study, groups)
        pairs = pairs_table(study, groups, runs)
        bar.advance()
        sections = [
            Section("In short", _summary(study, groups, runs, missing)),
            Section("All arms", [*_arms(study, groups, table, sets), *_pairs(study, groups, pairs)]),
            Section(f"Differences to {study.baseline}", _differences(study, groups, styles)),
        ]
        bar.advance()
        for title, blocks in _DETAILS.items():
            sections.append(Section(title, blocks(study, groups, runs, styles)))
            bar.advance()
    sections.append(Section("What was run", _what_was_run(study, runs)))
    _write_figures(out / "results.csv", results)
    for name, numbers in (("table", table), ("pairs", pairs), ("sets", sets)):
        replace_text(out / f"{name}.csv", for_spreadsheets(numbers).to_csv(index=False))
    words = describe_main_table(study, table)
    replace_text(out / "table.md", to_markdown(words))
    replace_text(out / "table.tex", to_latex(words))
    return write_sheet(out / "report.html", study.title or study.name, sections, intro=study.question)


def _write_figures(path: Path, results: pd.DataFrame) -> None:
    """The long table, sorted; millions of rows, so neither converted to text nor held as one."""
    keys = [*PLACE, "set", "metric"]
    names = {name: results[name].astype("category") for name in keys if not is_numeric_dtype(results[name])}
    ordered = results.assign(
        **{name: column.cat.set_categories(sorted(column.cat.categories)) for name, column in names.items()}
    )
    table = pa.Table.from_pandas(ordered.sort_values(keys)[[*keys, "value"]], preserve_index=False)
    with replacing(path) as partial:
        write_csv(table, partial, WriteOptions(quoting_style="needed"))


def _summary(study: Study, groups: Sequence[Group], runs: pd.DataFrame, missing: int) -> list[Block]:
    results = findings(study, groups, runs)
    return [
        Text(headline(study, results, len(runs), missing)),
        *(
            Text(finding.sentences, finding.title, f"{study.guided} − {study.baseline}: {finding.target}")
            for finding in results
        ),
    ]


def _arms(study: Study, groups: Sequence[Group], table: pd.DataFrame, sets: pd.DataFrame) -> list[Block]:
    """One table per group, arms first, so that it can be read on a phone."""
    blocks: list[Block] = []
    if groups:
        blocks.append(
            Text(
                [
                    f"{study.metric} in points of 100: mean ± standard deviation over seeds, and the difference to "
                    f"{study.baseline}, paired by seed under the same condition, with its 95 % t interval. p: paired t "
                    f"test of the difference on {study.target}; Holm: adjusted for all {table['p'].notna().sum()} "
                    "comparisons in these tables. P(better): probability that a run of the arm beats one of "
                    f"{study.baseline}. Below .05 after the adjustment: {_below(groups, table)}."
                ]
            )
        )
    for group in groups:
        here, sets_here = (
            rows[(rows["dataset"] == group.dataset) & (rows["network"] == group.network)] for rows in (table, sets)
        )
        blocks.append(
            Table(group.title, describe_main_table(study, here).drop(columns=["data set", "network"]), names=1)
        )
        rest = other_sets(study, sets_here)
        if len(rest):
            blocks.append(Table(f"{group.title}, on sets that are neither target nor reference.", rest, names=1))
    return blocks


def _below(groups: Sequence[Group], table: pd.DataFrame) -> str:
    """Name the differences that stay significant, and their direction."""
    titles = {(group.dataset, group.network): heading(groups, group) for group in groups}
    names = []
    for row in table[table["p_holm"] < 0.05].to_dict("records"):
        where = titles[row["dataset"], row["network"]]
        side = "better" if row["target_difference"] > 0 else "worse"
        names.append(f"{row['arm']}{f' ({where})' if where else ''}, {side}")
    return "; ".join(names) or "none"


def _pairs(study: Study, groups: Sequence[Group], pairs: pd.DataFrame) -> list[Block]:
    titles = {(group.dataset, group.network): group.title for group in groups}
    rows = []
    for row in pairs.to_dict("records"):
        intervals = [(row[f"{kind}low"], row[f"{kind}high"]) for kind in ("", "boot_", "nested_")]
        first, *rest = [difference_in_words(row["difference"], *ends) for ends in intervals]
        rows.append(
            {
                "pair": f"{row['first']} − {row['second']}",
                "data": titles[row["dataset"], row["network"]],
                "seeds": str(row["seeds"]),
                "difference, t interval": first,
                "bootstrap: seeds": rest[0].partition(" ")[2],
                "bootstrap: seeds and images": rest[1].partition(" ")[2],
                "effect d_z": "–" if np.isnan(row["effect"]) else f"{row['effect']:.2f}",
                "p, sign flips": p_in_words(row["permutation_p"]),
            }
        )
    caption = (
        f"Every arm on {study.target} against {study.baseline} and against its own controls: those that differ from it "
        f"in their maps alone, and of {study.guided} those that the study names. The t interval speaks of other seeds; "
        "the last of the intervals draws seeds and test images again, and so speaks of other test images as well. With "
        "few seeds the bootstrap is too narrow."
    )
    return [Table(caption, pd.DataFrame(rows), names=2)] if rows else []


def _differences(study: Study, groups: Sequence[Group], styles: Styles) -> list[Block]:
    svgs = []
    for number, group in enumerate(groups):
        for role, test_set in reversed(set_roles(study)):
            comparisons = [(arm, group.compare(arm, study.baseline, test_set, study.metric)) for arm in group.arms]
            lines = [
                Interval(arm, *(100 * value for value in (comparison.difference, comparison.low, comparison.high)))
                for arm, comparison in comparisons
                if comparison is not None and arm != study.baseline
            ]
            label = f"{study.metric} on {test_set} minus {study.baseline}'s, points"
            if lines:
                svgs.append(forest(lines, styles, label, title=heading(groups, group), name=f"forest-{number}-{role}"))
    caption = (
        "Mean paired difference and its 95 % t interval over seeds. No line: one seed, which says nothing about chance."
    )
    return [Plots(caption, svgs)] if svgs else []


def _what_was_run(study: Study, runs: pd.DataFrame) -> list[Block]:
    arms = arm_order(study, runs["arm"].astype(str).unique())
    lines = pd.DataFrame([{"arm": arm, "what it changes in the recipe": _arm_in_words(study, arm)} for arm in arms])
    blocks: list[Block] = [
        Text(
            [
                f"{len(runs)} finished cells. Commands: salign experiment {study.name}.yaml, and then "
                f"salign report {study.name}.yaml."
            ]
        )
    ]
    if len(lines):
        blocks.append(Table("The arms. All else is the same for all of them.", lines, names=2))
    blocks.append(Folded("The study", yaml.safe_dump(_without_folders(study.model_dump(mode="json")), sort_keys=False)))
    if len(runs):
        blocks.append(Folded("Seeds, and the hash of each run's recipe", _hashes(runs)))
    return blocks


def _arm_in_words(study: Study, arm: str) -> str:
    changes = arm_changes(arm, guided=study.guided, own=study.arms)
    words = [f"{key}: {value}" for key, value in _flat(_without_folders(changes))]
    if times(arm) != 1:
        words.append(f"{times(arm):g} times the training images")
    return "; ".join(words) or "nothing"


def _flat(values: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        pairs += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(above + key, value)]
    return pairs


def _without_folders(value: Any) -> Any:
    """Absolute paths by their last name: where a machine keeps its files is nobody's business."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _hashes(runs: pd.DataFrame) -> str:
    keys = ["dataset", "network", "arm", "images", "annotated"]
    lines = []
    for (dataset, network, arm, images, annotated), rows in runs.astype(dict.fromkeys(keys[:3], str)).groupby(
        keys, sort=True
    ):
        size = "all images" if images == ALL_IMAGES else f"{images} images"
        ordered = rows.sort_values("seed")
        cells = [f"{seed}:{name}" for seed, name in zip(ordered["seed"], ordered["hash"], strict=True)]
        head = f"{dataset}, {network}, {arm}, {size}, {100 * float(str(annotated)):g} % of the maps"
        lines.append(f"{head}\n{textwrap.fill('  '.join(cells), 110, initial_indent='  ', subsequent_indent='  ')}")
    return "\n".join(lines)
