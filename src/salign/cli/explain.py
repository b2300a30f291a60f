"""The command `salign explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import RunArgument
from salign.limits import LARGEST_SEED


def explain(
    run: RunArgument,
    beside: Annotated[
        Path | None, typer.Option(help="Show this run beside it, image by image: a folder, a name, or last.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Show images of this set, val or a test set (default: all).")
    ] = None,
    method: Annotated[str, typer.Option(help="Method of the maps: cam, grad_cam or rise.")] = "cam",
    images: Annotated[int, typer.Option(min=1, help="Show so many images of a set, drawn with the seed.")] = 300,
    of: Annotated[str, typer.Option(help="Show the evidence for the predicted or for the true class.")] = "predicted",
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the draw, and of the masks of rise.")] = 0,
) -> None:
    """Make the page of a run: what to mind, figures and curves, and its images with human and model maps.

    Writes RUN/page/index.html, or with --beside RUN/page/beside-NAME.html, which open without a network.
    """
    from salign.errors import one_of
    from salign.explain import EXPLAINERS
    from salign.runs.find import find_run
    from salign.runs.folder import RunFolder

    one_of(method, EXPLAINERS, "method")
    one_of(of, ("predicted", "true"), "of")
    RunFolder.open(run).check_sets(sets)  # reports mistakes before torch is imported
    second = None if beside is None else RunFolder.open(find_run(str(beside)))
    from salign.runs.explain import explain_run
    from salign.runs.run import Run

    page = explain_run(
        Run.open(run),
        beside=None if second is None else Run.open(second.path),
        sets=sets,
        method=method,
        images=images,
        of=of,
        seed=seed,
        progress=True,
    )
    typer.echo(f"wrote {page}. Next: open it in a browser")
