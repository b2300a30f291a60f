"""Printing of figures, tables and messages that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from salign.location import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from salign.data.checks.check import Report
    from salign.data.manifest import Manifest
    from salign.evaluate.verdicts import Verdict
    from salign.experiment.store import Results
    from salign.experiment.study import Study
    from salign.runs.run import Run

GROUPED = 3
"""How many of the main figures are printed by group."""
MOST_CLASSES = 20
"""The largest number of classes whose single figures are printed; the CSV file has all of them."""


def run_figures(run: Run) -> None:
    """Print a run's main figures with a column per set, its figures by group and by class, and its threshold."""
    from rich.console import Console

    from salign.evaluate.names import main_figures
    from salign.models import Threshold
    from salign.models.config import describe_model
    from salign.runs.verdicts import run_verdicts

    figures = run.figures()
    console = Console()
    whole = figures[figures["group_column"] == ""]
    main = main_figures(whole["metric"], attacks=run.recipe.data.attacks)
    for title, part, metrics in (
        ("value, and bootstrap interval over images", whole, main),
        ("by group", figures.drop(whole.index), main[:GROUPED]),
    ):
        if len(part):
            console.print(_table(title, part, metrics))
    if 2 < len(run.classes) <= MOST_CLASSES or run.multi_label:
        for name in run.sets:
            console.print(_class_table(name, whole[whole["split"] == name], run.classes))
    undefined = whole[whole["value"].isna() & whole["metric"].isin(main)]
    rounded = whole[whole["metric"] == "bpcer"]["note"].head(1)
    if threshold := describe_model(run.path).get("threshold"):  # old runs did not store it
        typer.echo(f"threshold: {Threshold(**threshold)}")
        rounded = rounded.head(0)
    print_verdicts(run_verdicts(run))
    for note in dict.fromkeys([*rounded, *undefined["note"]]):
        console.print(f"  {note}", style="dim")


def make_and_show(source: Path, options: Mapping[str, object], out: Path | None, device: str, **more: Any) -> None:
    """Make a run from a finished one, print its figures and its folder; see `salign.runs.posthoc.make_run`."""
    from salign.runs.posthoc import make_run

    new = make_run(source, options, out, device=device, say=typer.echo, **more)
    run_figures(new)
    typer.echo(f"wrote {new.path}. Next: salign explain {quote(new.path)}")


def print_verdicts(verdicts: Iterable[Verdict]) -> None:
    """Print the reasons not to take the figures at face value, a line each, with what to do about them."""
    for verdict in verdicts:
        typer.secho(f"⚠ {verdict}", fg="yellow")


def losses_table() -> None:
    """Print a line per loss: its name for `loss.name`, a summary, and its options with their defaults."""
    import inspect

    from rich.console import Console
    from rich.table import Table

    from salign.losses import LOSSES

    table = Table("loss.name", "what it is", "options, below `loss`", show_lines=True)
    for name, loss in LOSSES.items():
        options = [option for option in inspect.signature(loss).parameters.values() if option.name != "class_weights"]
        summary = (inspect.getdoc(loss) or "").partition("\n\n")[0]
        table.add_row(
            name, " ".join(summary.split()), "\n".join(f"{option.name}: {option.default}" for option in options)
        )
    Console().print(table)


def study_table(study: Study, results: Results) -> None:
    """Print a line per arm: the number of finished runs, and the study's metric as mean and spread over runs."""
    from rich.console import Console

    from salign.cli.text_table import text_table
    from salign.experiment.store import PLACE

    sets = list(dict.fromkeys(name for name in (study.reference, study.target) if name))
    keys = [name for name in PLACE if name != "seed" and (name == "arm" or results.runs[name].nunique() > 1)]
    rows: list[list[str]] = []
    figures = results.figures[(results.figures["metric"] == study.metric) & results.figures["set"].isin(sets)]
    for key, runs in results.runs.groupby(keys, sort=False, observed=True):
        chosen = figures[(figures[keys] == list(key)).all(axis=1)]
        values = [chosen[chosen["set"] == name]["value"] for name in sets]
        cells = [f"{part.mean():.3f} ± {part.std():.3f}" if len(part) > 1 else f"{part.mean():.3f}" for part in values]
        where = [f"{part:g}" if isinstance(part, float) else str(part) for part in key]
        rows.append([*where, str(len(runs)), *cells])
    title = f"{study.name}: {study.metric}, mean ± sd over runs"
    Console().print(text_table(title, [*keys, "runs", *sets], rows, left=("dataset", "network", "arm")))


def print_report(report: Report, console: Console | None = None) -> None:
    """Print the report of `salign data check`: coverage, faults and findings; a line each where nothing is wrong."""
    from rich.console import Console
    from rich.markup import escape

    from salign.cli.text_table import text_table
    from salign.data.checks.report import SHOWN, coverage, findings

    console, rows = console or Console(), coverage(report)
    title = f"{report.manifest.source}: {len(report.sound_rows)} images"
    console.print(
        text_table(title, list(rows[0]), [list(map(str, row.values())) for row in rows], left=("split", "label"))
    )
    for fault in report.faults[:SHOWN]:
        console.print(f"[red]{escape(str(fault))}[/red]")
    if len(report.faults) > SHOWN:
        console.print(f"[red]and {len(report.faults) - SHOWN} more[/red]")
    for bad, line in findings(report):
        console.print(f"[{'red' if bad else 'green'}]{'✗' if bad else '✓'}[/] {escape(line)}", highlight=False)


def coverage_table(manifest: Manifest) -> None:
    """Print how many images of each split and label have a map."""
    typer.echo(f"{'split':<24}{'label':<24}{'images':>8}{'with map':>10}{'share':>8}")
    for split, label, count, mapped, share in manifest.coverage().itertuples(index=False):
        typer.echo(f"{split:<24}{label:<24}{count:>8}{mapped:>10}{share:>8.0%}")


def split_table(manifest: Manifest) -> None:
    """Print how many images of each class are in each split."""
    from rich.console import Console

    from salign.cli.text_table import text_table

    counts = manifest.coverage().pivot(index="label", columns="split", values="images").fillna(0).astype(int)
    counts = counts[
        sorted(counts, key=lambda name: [not str(name).startswith(role) for role in ("train", "val", "test")])
    ]
    rows = [[str(label), *map(str, row), str(row.sum())] for label, row in counts.iterrows()]
    Console().print(text_table(f"{len(manifest)} images", ["class", *counts, "all"], rows, left=("class",)))


def pairs(texts: list[str]) -> dict[str, str]:
    """Parse options `NAME=VALUE` into a dictionary.

    Raises:
        SalignError: an option has no `=`.
    """
    from salign.errors import SalignError

    wrong = [pair for pair in texts if "=" not in pair]
    if wrong:
        raise SalignError(f"expected NAME=VALUE, got {', '.join(wrong)}")
    return {name.strip(): value.strip() for name, value in (pair.split("=", 1) for pair in texts)}


def _table(title: str, figures: pd.DataFrame, columns: tuple[str, ...]) -> Table:
    """Return a table of figures: with a column per set, or with a row per group, of which there may be many."""
    from salign.cli.text_table import text_table
    from salign.evaluate.names import name_of

    cells: dict[str, dict[str, str]] = {}
    for key, part in figures.groupby(["split", "group_column", "group"], sort=False):
        split, column, group = key
        name = f"{split}, {column} {group} ({part['n'].max()})" if column else f"{split} ({part['n'].max()})"
        for metric, *numbers in part[["metric", "value", "low", "high"]].itertuples(index=False):
            if metric in columns:
                cells.setdefault(name, {})[metric] = _cell(*numbers)
    metrics = [metric for metric in columns if any(metric in row for row in cells.values())]
    if (figures["group_column"] != "").any():
        by_group = [[name, *(row.get(metric, "") for metric in metrics)] for name, row in cells.items()]
        return text_table(title, ["", *map(name_of, metrics)], by_group)
    rows = [[name_of(metric), *(row.get(metric, "") for row in cells.values())] for metric in metrics]
    return text_table(title, ["", *cells], rows)


def _class_table(title: str, figures: pd.DataFrame, classes: Sequence[str]) -> Table:
    """Return a table with a row per class, and a column per metric that compares one class with the rest."""
    from salign.cli.text_table import text_table
    from salign.evaluate.names import OF_A_CLASS, name_of

    values = dict(zip(figures["metric"], figures["value"], strict=True))
    metrics = [metric for metric in OF_A_CLASS if any(f"{metric}[{name}]" in values for name in classes)]
    rows = [[name, *(_cell(values.get(f"{metric}[{name}]", float("nan"))) for metric in metrics)] for name in classes]
    return text_table(f"{title}, each class against the rest", ["", *map(name_of, metrics)], rows)


def _cell(value: float, low: float = float("nan"), high: float = float("nan")) -> str:
    if value != value:
        return "-"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if low == low else f"{value:.3f}"
