"""The command `salign analyse`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from salign.cli.arguments import RunsArgument
from salign.limits import LARGEST_SEED
from salign.location import quote

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def analyse(
    runs: RunsArgument,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", "--sets", help="Analyse this set, val or a test set; repeat (default: all)."),
    ] = None,
    images: Annotated[
        int, typer.Option(min=1, help="Analyse so many images of each set, drawn at random with the seed.")
    ] = 200,
    of: Annotated[str, typer.Option(help="Take the map of the predicted or of the true class.")] = "predicted",
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            help=("Seed of the drawn images and of what replaces a region; the same seed gives the same figures."),
        ),
    ] = 0,
    draws: Annotated[
        int, typer.Option(min=1, help="Draw what replaces a region so many times; figures are means over the draws.")
    ] = 1,
    attack: Annotated[
        bool,
        typer.Option(
            "--attack",
            help="Also attack the answers everywhere, outside and inside of people's maps: adds robustness.csv and "
            "robustness.html. This takes much longer than the rest.",
        ),
    ] = False,
    epsilon: Annotated[
        list[float] | None,
        typer.Option(
            help="Radius of the attack in units of 1/255. Repeat for several; without it they are 1, 2, 4 and 8."
        ),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(
            help="The radius bounds the largest change of a value (linf, the default) or the Euclidean length of the "
            "change (l2)."
        ),
    ] = None,
    attack_steps: Annotated[
        int | None, typer.Option(min=1, help="Gradient steps of each attack; without it 20.")
    ] = None,
    restarts: Annotated[int | None, typer.Option(min=1, help="Attacks on each image; without it 4.")] = None,
) -> None:
    """Measure where runs look (their maps against people's) and what they use (answers without the human region).

    Several runs are also compared with each other. Writes RUN/analysis: agreement.csv, reliance.csv, maps.npz.
    """
    from salign.errors import one_of
    from salign.runs.folder import RunFolder

    one_of(of, ("predicted", "true"), "of")
    options = _attack_options(attack, epsilon, norm, attack_steps, restarts)
    for run in runs:
        RunFolder.open(run).check_sets(sets)  # reports mistakes before torch is imported
    from rich.console import Console

    from salign.cli.show import print_verdicts
    from salign.runs.analyse import analyse_run
    from salign.runs.card import refresh_cards
    from salign.runs.compare import compare_aurocs, compare_runs, read_maps
    from salign.runs.run import Run
    from salign.runs.verdicts import run_verdicts

    folders = [Run.open(run) for run in runs]
    console = Console()
    for folder in folders:
        tables = analyse_run(folder, sets=sets, images=images, of=of, seed=seed, draws=draws, progress=True)
        if len(folders) > 1:
            console.print(folder.path.name, style="bold", highlight=False)
        if tables["agreement"].empty:
            console.print("no image of these sets has a human map with something marked: only maps were written")
        else:
            console.print(_agreement_table(tables["agreement"]))
            for name, part in tables["reliance"].groupby("set", sort=False):
                console.print(_reliance_table(f"what the answers on {name} rely on", part))
        if attack:
            from salign.runs.robustness import attack_run

            figures = attack_run(folder, sets=sets, images=images, seed=seed, progress=True, **options)
            for name, part in figures.groupby("set", sort=False):
                console.print(_attack_table(str(name), part))
        refresh_cards(folder, typer.echo)
        print_verdicts(run_verdicts(folder, list(read_maps(folder))))
    if len(folders) > 1:
        console.print(_consistency_table(compare_runs(folders)))
        if len(areas := compare_aurocs(folders)):
            console.print(_auroc_table(areas))
    for folder in folders:
        if attack:
            typer.echo(f"wrote {folder.path / 'analysis' / 'robustness.html'}")
        typer.echo(f"wrote {folder.path / 'analysis'}. Next: salign explain {quote(folder.path)}")


def _attack_options(
    attack: bool, epsilon: list[float] | None, norm: str | None, steps: int | None, restarts: int | None
) -> dict[str, Any]:
    """Return the given options of the attack as keyword arguments of `attack_run`.

    Raises:
        SalignError: an option of the attack is given without `--attack`, or has a wrong value.
    """
    from salign.checks import number
    from salign.errors import SalignError, one_of

    named = {"epsilons": epsilon or None, "norm": norm, "steps": steps, "restarts": restarts}
    options = {name: value for name, value in named.items() if value is not None}
    if options and not attack:
        raise SalignError("--epsilon, --norm, --attack-steps and --restarts describe an attack; add --attack.")
    if norm is not None:
        one_of(norm, ("linf", "l2"), "norm")
    for radius in epsilon or ():
        number("epsilon", radius, "(0, inf)")
    return options


def _attack_table(name: str, figures: pd.DataFrame) -> Table:
    """Return a table with a row per radius, and a column per attacked part of the image."""
    from salign.cli.text_table import text_table
    from salign.runs.robustness import table_by_radius

    frame, norm = table_by_radius(figures), figures["norm"].iloc[0]
    unit = {"linf": "largest change of a value", "l2": "length of the change"}[norm]
    title = f"right answers of {name} under attack, by its radius ({unit}, in 1/255)"
    return text_table(title, list(frame.columns), frame.to_numpy().tolist())


def _agreement_table(agreement: pd.DataFrame) -> Table:
    """Return a table of the means over images, with a row per metric and a column per set."""
    from salign.cli.text_table import text_table
    from salign.evaluate.agreement import HIGHER_IS_BETTER, LABELS

    means = agreement.groupby("set", sort=False)[list(LABELS)].mean()
    counts = agreement.groupby("set", sort=False).size()
    notes = {metric: "" if metric in HIGHER_IS_BETTER else ", lower is better" for metric in LABELS}
    rows = [[f"{metric}: {label}{notes[metric]}", *map(_cell, means[metric])] for metric, label in LABELS.items()]
    headings = ["", *(f"{name} ({counts[name]})" for name in means.index)]
    return text_table("agreement of the maps with people's, mean over images", headings, rows)


def _reliance_table(title: str, reliance: pd.DataFrame) -> Table:
    """Return a table with a row per way to replace a part of the images, and a column per metric."""
    from salign.cli.text_table import text_table

    headings = ["kept", "rest replaced by", *dict.fromkeys(reliance["metric"])]
    cells = reliance.assign(cell=[_spread(*figures) for figures in zip(reliance["value"], reliance["sd"], strict=True)])
    values = cells.set_index(["kept", "fill", "metric"])["cell"].unstack(sort=False)
    lines = values.sort_index(level="kept", sort_remaining=False).reset_index().astype(str).to_numpy().tolist()
    return text_table(f"{title} ({reliance['images'].max()} images)", headings, lines, left=headings[:2])


def _consistency_table(consistency: pd.DataFrame) -> Table:
    """Return a table with a row per set."""
    from salign.cli.text_table import text_table

    rows = [
        [str(name), str(runs), str(images), _cell(maps), _cell(answers)]
        for name, runs, images, maps, answers, _ in consistency.itertuples(index=False)
    ]
    headings = ["set", "runs", "images", "correlation of maps", "equal answers"]
    return text_table("consistency: mean over pairs of these runs", headings, rows, left=("set",))


def _auroc_table(areas: pd.DataFrame) -> Table:
    """Return a table with a row per set and run."""
    from salign.cli.text_table import text_table

    headings = ["set (images)", "run", "AUROC", f"AUROC of {areas['reference'].iloc[0]}", "difference [95 %]", "p"]
    rows = []
    for row in areas.to_dict("records"):
        difference = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        numbers = (_cell(row["auc_first"]), _cell(row["auc_second"]), difference, _cell(row["p"]))
        rows.append([f"{row['set']} ({row['images']})", row["run"], *numbers])
    title = "area under the ROC curve on the same images, by DeLong's test"
    return text_table(title, headings, rows, left=headings[:2])


def _spread(value: float, sd: float) -> str:
    """Format a figure, with its standard deviation if it was drawn several times."""
    return _cell(value) if sd != sd else f"{value:.3f} ± {sd:.3f}"


def _cell(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
