"""The command `salign rebalance`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import RunArgument


def rebalance(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(help="The new run folder goes into this folder; by default beside RUN.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="Features of rare classes are added in this way: eos, towards near images of other classes; smote, "
            "towards near ones of the own class; repeat, again as they are; or plain: none is added, for comparison."
        ),
    ] = "eos",
    neighbours: Annotated[
        int | None,
        typer.Option(min=1, help="So many nearest images count as near; by default 10 for eos, 5 for smote."),
    ] = None,
    reach: Annotated[
        float, typer.Option(help="eos goes this share of the way to another class at most, above 0; 1 is published.")
    ] = 1.0,
    epochs: Annotated[int, typer.Option(min=1, help="The fresh head sees each feature so many times.")] = 10,
    seed: Annotated[
        int | None, typer.Option(min=0, help="This number decides all that is drawn; by default that of the run.")
    ] = None,
    device: Annotated[str, typer.Option(help="This device computes: auto, cpu, cuda, cuda:1, mps, ...")] = "auto",
) -> None:
    """Make a new run whose head learned anew from as many features of every class, for classes with few images.

    The linear head alone changes, so that a class activation map still adds up to the answer. The new run is predicted
    and evaluated, and every command takes it as any other.
    """
    from salign.checks import number
    from salign.errors import one_of
    from salign.runs.folder import RunFolder

    RunFolder.open(run)  # reports mistakes before torch is imported
    number("--reach", reach, "(0, 1]")
    one_of(method, ["eos", "smote", "repeat", "plain"], "--method")
    from salign.cli.show import make_and_show

    options: dict[str, object] = {"name": "rebalance", "method": method, "neighbours": neighbours, "reach": reach}
    options |= {"epochs": epochs, "seed": seed}
    make_and_show(run, options, out, device)
