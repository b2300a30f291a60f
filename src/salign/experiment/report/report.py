"""The report of a study: one page that opens offline, with the tables behind it as files beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from pandas.api.types import is_numeric_dtype
from pyarrow.csv import WriteOptions, write_csv

from salign.data.manifest.text_table import for_spreadsheets
from salign.experiment.question import question_in_words, without_folders
from salign.experiment.report import curves, evidence, makers, steps
from salign.experiment.report.arm_words import explain_arm, recipe_of_arm
from salign.experiment.report.by_group import groups_of_images
from salign.experiment.report.doubts import training_doubts
from salign.experiment.report.evidence import telling_images
from salign.experiment.report.groups import Group, arm_order, groups_of, heading
from salign.experiment.report.networks import network_costs
from salign.experiment.report.selection import selection, selection_table
from salign.experiment.report.summary import Finding, findings, headline, verdict
from salign.experiment.report.tables import (
    BESIDES,
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
from salign.experiment.run_table import write_run_table
from salign.experiment.store import PLACE
from salign.experiment.study import ALL_IMAGES, Study
from salign.files import check_output, replace_csv, replace_text, replacing
from salign.pages.plots import Interval, Styles, forest, looks
from salign.pages.sheet import Block, Columns, Folded, Plots, Section, Table, Text, write_sheet
from salign.progress import Bar


class Report(NamedTuple):
    """The page that was written, and its findings."""

    page: Path
    findings: list[Finding]
    """The findings of the page, one for each data set and network."""


_DETAILS = {
    "How many training images is guidance worth?": curves.over_images,
    "How many annotations does it need?": curves.over_annotations,
    "How do the arms part in the training?": steps.over_steps,
    "How good must the maps be?": worse_maps,
    "Maps of people and of machines": makers.people_and_machines,
    "Do models that look where people look generalize better?": evidence.agreement,
    "Do independent runs look at the same places?": evidence.consistency,
    "What do the models use?": evidence.reliance,
    "How do the groups fare?": groups_of_images,
    "What do the networks cost?": network_costs,
    "Images on which the arms differ most": evidence.gallery,
    "Which arm would a rule of selection choose?": selection,
}
"""Heading of a folded section -> the function that makes its blocks: `(study, groups, runs, styles) -> blocks`."""


def write_report(
    study: Study, results: pd.DataFrame, runs: pd.DataFrame, out: Path, *, missing: int = 0, progress: bool = False
) -> Report:
    """Write `report.html`, and its tables beside it.

    `results.csv` holds every figure, and `runs.csv` has a row per run. The main table is in `table.csv`, `table.tex`
    and `table.md`. `pairs.csv` compares every arm with the baseline and with its own controls, `sets.csv` has every arm
    on every set, and `selection.csv` has what each rule of selection would choose. In the last three and `table.csv`, a
    name like a formula has an apostrophe before it; `results.csv` and `runs.csv` have names unchanged, because programs
    read them.

    The page contains no path and no speed, and no date but that of `question.json`. All random draws are seeded, so
    that equal results give equal bytes.

    Args:
        study: the study.
        results: a row per figure: dataset, network, arm, images, annotated, seed, set, metric, value.
        runs: a row per finished cell: dataset, network, arm, images, annotated, seed, path, hash, seconds.
        out: folder to write into.
        missing: number of cells that are not finished.
        progress: show a bar.

    Returns:
        The page, and its findings.

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
        results_of_groups = findings(study, groups, runs)
        bar.advance()
        details: dict[str, list[Block]] = {
            "What the verdict rests on": [
                Text(finding.sentences, finding.title, f"{study.guided} − {study.baseline}: {finding.target}")
                for finding in results_of_groups
            ],
            "All comparisons": [*_pairs(study, groups, pairs), *_other_sets(study, groups, sets)],
            f"Differences to {study.baseline}": _differences(study, groups, styles),
        }
        for title, blocks in _DETAILS.items():
            details[title] = blocks(study, groups, runs, styles)
            bar.advance()
    details["What was run"] = _what_was_run(study, runs, out)
    pictures = details["Images on which the arms differ most"]
    first = _first_screen(study, groups, runs, results_of_groups, table, pictures, styles, missing)
    sections = [Section("In short", [*first, Text(question_in_words(study, out))])]
    sections += [Section(title, blocks, folded=True) for title, blocks in details.items()]
    _write_figures(out / "results.csv", results)
    write_run_table(runs, out)
    choices = selection_table(study, groups)
    for name, numbers in (("table", table), ("pairs", pairs), ("sets", sets), ("selection", choices)):
        replace_csv(out / f"{name}.csv", for_spreadsheets(numbers))
    words = describe_main_table(study, table)
    replace_text(out / "table.md", to_markdown(words))
    replace_text(out / "table.tex", to_latex(words))
    page = write_sheet(out / "report.html", study.title or study.name, sections, intro=study.question)
    return Report(page, results_of_groups)


def _write_figures(path: Path, results: pd.DataFrame) -> None:
    """Write the long table of figures, sorted.

    It can have millions of rows, so it is neither converted to text columns nor held in memory as one text.
    """
    keys = [*PLACE, "set", "metric"]
    names = {name: results[name].astype("category") for name in keys if not is_numeric_dtype(results[name])}
    ordered = results.assign(
        **{name: column.cat.set_categories(sorted(column.cat.categories)) for name, column in names.items()}
    )
    table = pa.Table.from_pandas(ordered.sort_values(keys)[[*keys, "value"]], preserve_index=False)
    with replacing(path) as partial:
        write_csv(table, partial, WriteOptions(quoting_style="needed"))


def _first_screen(
    study: Study,
    groups: Sequence[Group],
    runs: pd.DataFrame,
    results: Sequence[Finding],
    table: pd.DataFrame,
    pictures: Sequence[Block],
    styles: Styles,
    missing: int,
) -> list[Block]:
    """Make the first screen: the verdict, a plot of the differences, three images, the main table, and doubts."""
    sentences = Text(headline(study, results, len(runs), missing))
    blocks: list[Block] = [
        Text([verdict(study, results, missing)], lead=True),
        Columns([sentences, *_differences(study, groups, styles, roles=("target",))]),
        *telling_images(pictures),
    ]
    for group in groups:
        here = table[(table["dataset"] == group.dataset) & (table["network"] == group.network)]
        words = describe_main_table(study, here).drop(columns=["data set", "network"])
        words.insert(1, "what it is", [explain_arm(study, arm) for arm in here["arm"]])
        blocks.append(Table(group.title, words, names=2))
    if groups:
        blocks.append(Text([_reading(study, groups, table)]))
    return [*blocks, *training_doubts(runs)]


def _reading(study: Study, groups: Sequence[Group], table: pd.DataFrame) -> str:
    """Explain how to read the main table, and name the arms whose adjusted p is below .05.

    The guided arm is judged by its interval alone and the other arms by their adjusted p, so that no two sentences
    about an arm contradict each other.
    """
    further = table[(table["arm"] != study.guided) & table["p"].notna()]
    text = (
        f"{study.metric} in points of 100: mean ± standard deviation over seeds, and the difference to "
        f"{study.baseline}, paired by seed under the same condition, with its 95 % t interval. The study asks about "
        f"{study.guided}, and the interval of its difference on {study.target} decides. p: paired t test of that "
        f"difference. P(better): probability that a run of the arm beats one of {study.baseline}."
    )
    if table[[f"{name}_mean" for name, _ in BESIDES.values()]].notna().any(axis=None):
        text += (
            f" Worst class and ECE are those on {study.target}: the lowest accuracy among the images of one class, and "
            "the calibration error."
        )
    if len(further):
        text += (
            f" Nobody asked beforehand about the other arms: their p (Holm) is adjusted for {len(further)} "
            f"comparisons, and below .05 they differ from {study.baseline}: {_below(groups, further)}."
        )
    return text


def _other_sets(study: Study, groups: Sequence[Group], sets: pd.DataFrame) -> list[Block]:
    blocks: list[Block] = []
    for group in groups:
        rest = other_sets(study, sets[(sets["dataset"] == group.dataset) & (sets["network"] == group.network)])
        if len(rest):
            blocks.append(Table(f"{group.title}, on sets that are neither target nor reference.", rest, names=1))
    return blocks


def _below(groups: Sequence[Group], table: pd.DataFrame) -> str:
    """Name the arms whose adjusted p is below .05, each with "better" or "worse"."""
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


def _differences(
    study: Study, groups: Sequence[Group], styles: Styles, roles: Collection[str] = ("target", "reference")
) -> list[Block]:
    svgs = []
    for number, group in enumerate(groups):
        for role, test_set in [pair for pair in reversed(set_roles(study)) if pair[0] in roles]:
            comparisons = [(arm, group.compare(arm, study.baseline, test_set, study.metric)) for arm in group.arms]
            lines = [
                Interval(arm, *(100 * value for value in (comparison.difference, comparison.low, comparison.high)))
                for arm, comparison in comparisons
                if comparison is not None and arm != study.baseline
            ]
            label = f"{study.metric} on {test_set} minus {study.baseline}'s, points"
            if lines:
                svgs.append(
                    forest(
                        lines, styles, label, title=heading(groups, group), name=f"forest-{len(roles)}-{number}-{role}"
                    )
                )
    caption = (
        "Mean paired difference and its 95 % t interval over seeds. No line: one seed, which says nothing about chance."
    )
    return [Plots(caption, svgs)] if svgs else []


def _what_was_run(study: Study, runs: pd.DataFrame, out: Path) -> list[Block]:
    arms = arm_order(study, runs["arm"].astype(str).unique())
    lines = pd.DataFrame([{"arm": arm, "what it changes in the recipe": recipe_of_arm(study, arm)} for arm in arms])
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
    names = [Path(path).name for path in runs["path"].astype(str)]
    files = [(name, f"runs/{name}/page/index.html") for name in names]
    pages = [(name, file) for name, file in files if (out / file).exists()]
    if pages:
        blocks.append(Text([], "Pages of single runs", links=pages))
    blocks.append(Folded("The study", yaml.safe_dump(without_folders(study.model_dump(mode="json")), sort_keys=False)))
    if len(runs):
        blocks.append(Folded("Seeds, and the hash of each run's recipe", _hashes(runs)))
    return blocks


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
