"""The command `salign dfr`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import RunArgument


def dfr(
    run: RunArgument,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="The values of this column of the manifest, crossed with the class, are the groups; repeat for "
            "several. By default the columns in data.groups of the run's recipe."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The new run folder goes into this folder; by default beside RUN.")
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, max=1000, help="The head is the mean of those that learned from so many draws.")
    ] = 20,
    seed: Annotated[
        int | None, typer.Option(min=0, help="This number decides all that is drawn; by default that of the run.")
    ] = None,
    device: Annotated[str, typer.Option(help="This device computes: auto, cpu, cuda, cuda:1, mps, ...")] = "auto",
) -> None:
    """Make a new run whose head learned anew from as many validation images of every group (arXiv 2204.02937).

    It needs validation images that the shortcut misleads, and a column that says which they are. The linear head alone
    changes, so that a class activation map still adds up to the answer. Every command takes the new run as any other;
    its figures on validation images are those of images that it learned from.
    """
    from salign.config import merge, read_values
    from salign.runs.folder import RunFolder
    from salign.train.recipe import Recipe

    source = RunFolder.open(run).recipe_file  # reports mistakes before torch is imported
    options: dict[str, object] = {"name": "dfr", "draws": draws, "seed": seed}
    values = {"posthoc": {**options, "run": str(run)}} | ({"data": {"groups": group}} if group else {})
    Recipe.alone(merge(read_values(source, None, "recipe", "name and data"), values), str(source), torch=False)
    from salign.cli.show import make_and_show

    make_and_show(run, options, out, device, groups=group)
