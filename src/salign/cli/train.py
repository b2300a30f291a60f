"""The command `salign train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import Verify, run_path
from salign.location import quote


def _losses(value: bool) -> None:
    if value:
        from salign.cli.show import losses_table

        losses_table()
        raise typer.Exit


def train(
    recipe: Annotated[
        Path, typer.Argument(help="The recipe, as YAML; recipes/ has some, and docs/training.md explains the keys.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one value of the recipe, e.g. loss.alpha=0.25; repeat."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run's own folder is made in this folder.")] = Path("runs"),
    init: Annotated[
        Path | None,
        typer.Option(
            parser=run_path,
            metavar="RUN",
            help=("Start from what this run pretrained (task maps or pretrain) instead of model.weights."),
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bars.")] = False,
    verify: Verify = False,
    losses: Annotated[
        bool,
        typer.Option("--losses", callback=_losses, is_eager=True, help="List the losses with their options, and stop."),
    ] = False,
) -> None:
    """Train a classifier with or without human saliency, and report on every test set.

    Writes OUT/NAME-HASH: weights, figures of every epoch, an answer per image, and evaluation.csv. The hash is that of
    the recipe's content, so the same recipe never trains twice. Ctrl-C keeps what is done.
    """
    from salign.data.manifest.verdict import forget_verdicts
    from salign.files import check_output
    from salign.train.recipe import Recipe

    built = Recipe.read(recipe, overrides, files=True)
    check_output(out, folder=True)
    if verify:
        forget_verdicts(built.data.manifest)
    from salign.cli.show import run_figures  # imports torch, so after the recipe is checked
    from salign.runs.fit import fit
    from salign.runs.folder import RunFolder
    from salign.train.world import follows

    if init is not None:
        built = built.with_values({"model": {"weights": str(RunFolder.open(init).path.resolve())}})
    try:
        run = fit(built, out, resume=resume, progress=not quiet, say=typer.echo)
    except KeyboardInterrupt:
        typer.secho("stopped. Run the same command with --resume to go on after the last whole epoch.", err=True)
        raise typer.Exit(130) from None
    if follows():  # the first process prints the rest
        return
    if built.task == "pretrain":
        typer.echo(f"wrote {run.path}. Next: salign train RECIPE --init {quote(run.path)}")
        return
    if built.task == "maps":
        typer.echo(f"wrote {run.path}. Next: salign saliency evaluate {quote(run.path)}")
        return
    run_figures(run)
    typer.echo(f"wrote {run.path}. Next: salign explain {quote(run.path)}")
