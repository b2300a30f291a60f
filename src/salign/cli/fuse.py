"""The command `salign fuse`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import RunArgument


def fuse(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(help="The new run folder goes into this folder; by default beside RUN.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="Epochs are weighed in this way: fusion; or, to compare it with, best, last, all or jumps: the best "
            "epoch, the mean of the last ones, of all, or of some at even distances."
        ),
    ] = "fusion",
    count: Annotated[
        int | None, typer.Option(min=1, help="The methods last and jumps take so many epochs; by default a tenth.")
    ] = None,
    window: Annotated[int, typer.Option(min=0, help="So many epochs before and after an epoch are fused with it.")] = 1,
    device: Annotated[str, typer.Option(help="This device computes: auto, cpu, cuda, cuda:1, mps, ...")] = "auto",
) -> None:
    """Fuse epochs of one training into a new run, which answers right what the last epoch has forgotten.

    The run must have snapshots of its weights, which train.snapshots keeps. Its validation images alone choose the
    epochs and how much each counts. The new run is predicted and evaluated, and every command takes it as any other.
    """
    from salign.runs.folder import RunFolder

    RunFolder.open(run)  # reports a folder without a run before torch is imported
    from salign.cli.show import make_and_show

    make_and_show(run, {"name": "fuse", "method": method, "count": count, "window": window}, out, device)
