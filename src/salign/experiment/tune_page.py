"""The results of a search as files: a table, a page with one picture, and the chosen recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from salign.data.manifest.text_table import for_spreadsheets
from salign.experiment.rules import RULES, Rule, surroundings_decide
from salign.experiment.space import ARM
from salign.experiment.tune import BASELINE, Tried, Tuning, choose, trials_table
from salign.files import replace_csv, replace_text
from salign.pages.plots import Cloud, looks, scatter
from salign.pages.sheet import Block, Folded, Plots, Section, Table, Text, write_sheet
from salign.train.recipe import Recipe

BEST, TABLE, PAGE = "best.yaml", "trials.csv", "tune.html"
NOTHING = "–"


def write_results(tuning: Tuning, tried: Sequence[Tried], folder: Path, *, again: str) -> Tried | None:
    """Write `trials.csv` and, where a trial can be chosen, `best.yaml` and `tune.html`.

    Args:
        tuning: settings of the search.
        tried: its trials.
        folder: folder to write into.
        again: the command of the search, which the files name.

    Returns:
        The chosen trial; None where none can be chosen.
    """
    best = choose(tried, tuning.rule)
    table = trials_table(tried)
    replace_csv(folder / TABLE, for_spreadsheets(table))
    if best is None or best.run is None:
        return None
    recipe = Recipe.read(best.run.recipe_file)
    head = [
        f"# Chosen by: {again}",
        f"# Trial {best.number} of {len(tried)}, by the rule {tuning.rule}: {figures_in_words(tuning, best)}.",
        f"# Its run is {best.run.path.name}, which salign train finds below {folder / 'runs'}.",
    ]
    replace_text(folder / BEST, "\n".join([*head, recipe.to_yaml()]))
    sections = [
        Section("In short", [Text([in_short(tuning, tried, best)], lead=True), *_picture(tuning, tried, best)]),
        Section("By each rule", [_by_rule(tuning, tried)]),
        Section("All trials", [_all(tuning, table)]),
        Section("The chosen recipe", [Folded(BEST, recipe.to_yaml())]),
    ]
    write_sheet(folder / PAGE, f"Search from {tuning.recipe.name}", sections, intro=f"Command: {again}")
    return best


def in_short(tuning: Tuning, tried: Sequence[Tried], best: Tried) -> str:
    """Say which trial was chosen and why, how good plain cross-entropy is, and how many trials failed."""
    text = f"Trial {best.number} of {len(tried)} is the best by the rule {tuning.rule}: {values_in_words(best)}. "
    text += f"It has {figures_in_words(tuning, best)}." + (f" {tuning.reason}" if tuning.reason else "")
    if tuning.rule == "region" and tuning.metric == "auroc" and surroundings_decide(best.figures["region"]):
        text += (
            " Surroundings decide the answers of this trial, too: do not expect any trial to hold where they mean "
            "something else. More marked images may help, by people or by a net (salign autoannotate)."
        )
    known = [trial for trial in tried if not trial.collapsed and trial.figures[tuning.rule] > best.figures[tuning.rule]]
    if higher := max(known, key=lambda trial: trial.figures[tuning.rule], default=None):
        text += (
            f" Trial {higher.number} has region {_figure(higher.figures[tuning.rule])} ± {_figure(higher.spread)} over "
            "draws of the surroundings: another draw might have put any trial within that first; of these the best on "
            "validation is taken."
        )
    plain = choose([trial for trial in tried if trial.values.get(ARM) == BASELINE], tuning.rule)
    if plain is not None and plain is not best:
        text += f" The best plain cross-entropy has {figures_in_words(tuning, plain)}."
    if collapsed := sum(bool(trial.collapsed) for trial in tried):
        text += f" {collapsed} of the trials collapsed or could not be run."
    return text


def values_in_words(trial: Tried) -> str:
    """Give the values of the open keys in a trial, such as `swap, loss.dose 0.5, train.lr 0.1`."""
    return ", ".join(str(value) if key == ARM else f"{key} {_number(value)}" for key, value in trial.values.items())


def figures_in_words(tuning: Tuning, trial: Tried) -> str:
    """Give the figure of each rule: `validation 0.910 (auroc), worst 0.800 (accuracy), region 0.850 (auroc)`."""
    units = {rule: "accuracy" if rule == "worst" else tuning.metric for rule in RULES}
    return ", ".join(f"{rule} {_figure(trial.figures[rule])} ({units[rule]})" for rule in RULES)


def table_in_words(tuning: Tuning, table: pd.DataFrame, *, spread: bool = True) -> pd.DataFrame:
    """Return the table of trials as text.

    Each key is named by its last part, unless two keys would have the same name. There is a column of notes only if a
    trial has a note.

    Args:
        tuning: settings of the search.
        table: see `trials_table`.
        spread: whether the figures of the region test have their standard deviation over draws beside them.
    """
    keys = [name for name in tuning.space if name in table]
    last = [key.rpartition(".")[2] for key in keys]
    names: dict[str, str] = dict(zip(keys, last, strict=True)) if len({*last}) == len(last) else {}
    figures = table[list(RULES)].map(_figure)
    if spread:
        sds = [f" ± {sd:.3f}" if sd > 0 else "" for sd in table["region_sd"]]
        figures["region"] = [figure + sd for figure, sd in zip(figures["region"], sds, strict=True)]
    parts = [table[["trial", *keys]].map(_number), figures, table[["chosen_by"]]]
    if table["note"].any():
        parts.append(table[["note"]].map(_brief))
    return pd.concat(parts, axis=1).rename(columns={"chosen_by": "best by", **names})


def _number(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return NOTHING
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _figure(value: float) -> str:
    return NOTHING if np.isnan(value) else f"{value:.3f}"


def _brief(note: str) -> str:
    """Return the first words of the reason why a trial cannot be chosen."""
    return note.partition(":")[0].partition(",")[0]


def _name(trial: Tried) -> str:
    return str(trial.values.get(ARM, trial.values.get("loss.name", "trials")))


def _picture(tuning: Tuning, tried: Sequence[Tried], best: Tried) -> list[Block]:
    """Draw a point per trial: its figure on validation, and that by the rule, or by `worst` for `validation` itself."""
    rule: Rule = tuning.rule if tuning.rule != "validation" else "worst"
    known = [trial for trial in tried if not trial.collapsed and trial.figures[rule] == trial.figures[rule]]
    if not known:
        return []
    names = list(dict.fromkeys([BASELINE, *map(_name, known)]))
    clouds = []
    for name in names:
        figures = [trial.figures for trial in known if _name(trial) == name and trial is not best]
        if figures:
            x, y = (np.array([100 * each[which] for each in figures]) for which in ("validation", rule))
            clouds.append(Cloud(name, x, y))
    chosen = Cloud("chosen", *(np.array([100 * best.figures[which]]) for which in ("validation", rule)))
    styles = looks(names)
    styles["chosen"] = styles[_name(best)]._replace(marker="*", size=160)
    axes = (f"{tuning.metric} on validation, points", f"{rule}, points")
    caption = f"Every trial that came to its end, by its arm: {RULES[rule]}. The star is the chosen one."
    return [Plots(caption, [scatter([*clouds, chosen], styles, axes, title=f"{rule} and validation", name="trials")])]


def _by_rule(tuning: Tuning, tried: Sequence[Tried]) -> Table:
    rows = []
    for rule in RULES:
        best = choose(tried, rule)
        figures = {str(name): _figure(best.figures[name]) if best else NOTHING for name in RULES}
        what = f"trial {best.number}: {values_in_words(best)}" if best else NOTHING
        rows.append({"rule": rule, "its best trial": what, **figures})
    meanings = "; ".join(f"{rule}, {meaning}" for rule, meaning in RULES.items())
    caption = f"What each rule would have chosen. The search drew its trials by {tuning.rule}. The rules: {meanings}."
    return Table(caption, pd.DataFrame(rows), names=2)


def _all(tuning: Tuning, table: pd.DataFrame) -> Table:
    return Table(
        f"All trials; trials.csv has them with every digit. Metric: {tuning.metric}.", table_in_words(tuning, table)
    )
