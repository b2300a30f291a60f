"""The command `salign tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from salign.cli.arguments import ThreadsOption, WorkersOption
from salign.limits import LARGEST_SEED
from salign.location import command_of, quote

if TYPE_CHECKING:
    from salign.experiment.tune import Tried, Tuning


def tune(
    recipe: Annotated[Path, typer.Argument(help="The recipe to search from, as YAML; docs/tune.md explains how.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe before; repeat."),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="Leave this key open: KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C; the key arm takes arms of "
            "studies. Repeat (default: the loss, its dose and the learning rate are open).",
        ),
    ] = None,
    select: Annotated[
        str,
        typer.Option(
            help="Choose by this rule: validation, worst (class or group), region, the region test, or auto: region "
            "where people marked validation images and surroundings decide the answers of plain cross-entropy, else "
            "worst with data.groups and validation without."
        ),
    ] = "auto",
    metric: Annotated[str, typer.Option(help="The rules validation and region measure auroc or accuracy.")] = "auroc",
    trials: Annotated[
        int, typer.Option(min=1, max=10_000, help="Run so many trials, those that ran before included.")
    ] = 20,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of what is drawn; that of training stands in the recipe.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="The search's own folder is made in this folder.")] = Path("tunes"),
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    show: Annotated[bool, typer.Option("--list", help="Only show the trials that are done.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Search loss, dose, learning rate and what else is open, and choose without an image of the target.

    Writes OUT/NAME/best.yaml, which salign train takes, tune.html and trials.csv. A trial is an ordinary run in
    OUT/NAME/runs and never runs twice: a search that was stopped or gets more trials goes on with the same command.
    """
    from salign.errors import SalignError, one_of
    from salign.experiment.space import check_arms, default_space, parse_space
    from salign.files import check_output

    one_of(metric, ("auroc", "accuracy"), "--metric")
    space = parse_space(search or [])
    check_arms(space)
    from salign.data.manifest import Manifest
    from salign.experiment.rules import Metric, choose_rule, judged_classes, training_maps
    from salign.train.recipe import ClassifyRecipe, Recipe

    base = Recipe.read(recipe, overrides, files=True)
    if not isinstance(base, ClassifyRecipe) or base.posthoc is not None or base.data.multi_label:
        raise SalignError(f"{recipe}: a search compares trained classifiers with one class per image.")
    check_output(out / base.name, folder=True)
    manifest = Manifest.read(base.data.manifest, base.data.root)
    rule = choose_rule(select, judged_classes(manifest, base.data), base.data.groups)
    from salign.experiment.tune import Tuning, read_trials  # imports torch, so after the checks

    space = space or default_space(base, guided=training_maps(manifest, base.data) > 0)
    tuning = Tuning(base, space, rule, cast(Metric, metric), trials, seed)
    words = ["salign", "tune", str(recipe), *(word for value in overrides or [] for word in ("--set", value))]
    words += [word for value in search or [] for word in ("--search", value)]
    words += ["--select", rule, "--metric", metric, "--trials", str(trials), "--seed", str(seed), "--out", str(out)]
    again = command_of(words)
    folder = out / base.name
    if not show:
        _run(tuning, folder, again, workers, threads, quiet)
    _print(tuning, read_trials(tuning, folder), folder, again=again, show=show)


def _run(tuning: Tuning, folder: Path, again: str, workers: int | None, threads: int | None, quiet: bool) -> None:
    """Run the unfinished trials; Ctrl-C or SIGTERM stops and prints the command that continues."""
    import signal

    from salign.experiment.runner import LocalExecutor
    from salign.experiment.tune import run_tuning

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_tuning(tuning, folder, LocalExecutor(workers, threads), progress=not quiet)
    except KeyboardInterrupt:
        typer.secho(f"stopped. Go on with: {again}", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(tuning: Tuning, tried: list[Tried], folder: Path, *, again: str, show: bool) -> None:
    """Print the table of trials and the choice, write the files, and print what to do next."""
    from rich.console import Console

    from salign.cli.text_table import text_table
    from salign.experiment.tune import trials_table, with_plain
    from salign.experiment.tune_page import in_short, table_in_words, write_results

    if not tried:
        typer.echo(f"no trial is done yet. Begin with: {again}")
        return
    tuning = with_plain(tuning, folder)
    words = table_in_words(tuning, trials_table(tried), spread=False)
    title = f"{tuning.recipe.name}: trials, {tuning.metric}, by the rule {tuning.rule}"
    left = ("arm", "name", "best by", "note")
    Console().print(text_table(title, list(words.columns), words.to_numpy().tolist(), left=left))
    best = write_results(tuning, tried, folder, again=again)
    if best is None or best.run is None:
        typer.echo(f"wrote {folder}; no trial can be chosen: all of them collapsed.")
        return
    typer.echo(in_short(tuning, tried, best))
    typer.echo(f"wrote {folder}. Next: open {folder / 'tune.html'}; then salign explain {quote(best.run.path)}")
