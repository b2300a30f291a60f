"""The command `salign demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.location import quote


def demo(
    out: Annotated[Path, typer.Option(help="Images, study and report go into this folder.")] = Path("demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Each arm is trained so many times, with other seeds.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Each run sees the training images so many times.")] = 12,
) -> None:
    """Train with and without human saliency on real digits beside a coloured decoy, and report what was seen.

    In training the decoy's colour names the digit; out of distribution it is random. A small study of five arms:
    cross-entropy; mixed_rand, which salign tune chose on other digits (people's regions in other surroundings); its
    control, with the maps of other images; swap; and CYBORG. Takes about seven minutes on two cores. Stopped half-way,
    the same command goes on.
    """
    from salign.cli.show import study_table
    from salign.experiment.demo import run_demo

    typer.echo(f"training 5 arms x {seeds} seeds on 1,000 embedded digits ...")
    result = run_demo(out, seeds=seeds, epochs=epochs)
    study_table(result.study, result.results)
    for sentence in result.verdict:
        typer.echo(sentence)
    typer.echo(f"wrote {result.page}: open it in a browser; the runs lie in {result.page.parent / 'runs'}.")
    typer.echo(
        f"Next: change {result.source} and run it with `salign experiment {quote(result.source)} --out {quote(out)}`; "
        "then your own images: salign init FOLDER"
    )
