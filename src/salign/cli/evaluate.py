"""The command `salign evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from salign.cli.arguments import RunArgument
from salign.limits import LARGEST_SEED
from salign.location import quote


def evaluate(
    run: RunArgument,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Also report figures for each value of this column of the manifest; repeat."),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            help=(
                "Rule that fixes the threshold on validation: eer (equal error rates), or apcer1, "
                "apcer5, ... (APCER of 1 %, 5 %, ...)."
            )
        ),
    ] = "eer",
    species: Annotated[
        str | None, typer.Option(help="Column with the kind of attack; APCER is then that of the worst kind.")
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=0, help="Intervals come from so many bootstrap resamples; 0 shows none.")
    ] = 1000,
    confidence: Annotated[float, typer.Option(help="Confidence level of the intervals, e.g. 0.95.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Recompute the figures of a run from its saved predictions, for instance by group or at another threshold.

    Writes RUN/evaluation.csv anew, and the threshold into RUN/model.json. It is fixed on validation; test images never
    choose anything.
    """
    from salign.checks import number
    from salign.evaluate.figures import read_rule
    from salign.runs.folder import RunFolder

    RunFolder.open(run)
    read_rule(threshold)
    number("--confidence", confidence, "(0, 1)")  # reports mistakes before torch is imported
    from salign.cli.show import run_figures
    from salign.runs.card import refresh_cards
    from salign.runs.evaluate import evaluate_run
    from salign.runs.run import Run

    folder = Run.open(run)
    evaluate_run(
        folder,
        rule=threshold,
        species=species,
        groups=group,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        progress=True,
    )
    refresh_cards(folder, typer.echo)
    run_figures(folder)
    typer.echo(f"wrote {folder.evaluation}. Next: salign explain {quote(run)}")
