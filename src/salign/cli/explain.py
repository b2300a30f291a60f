"""`salign explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from salign.cli.arguments import RunArgument
from salign.limits import LARGEST_SEED


def explain(
    run: RunArgument,
    split: Annotated[
        str | None, typer.Option("--set", help="Show this set, val or a test set (default: the first test set).")
    ] = None,
    method: Annotated[str, typer.Option(help="Method of the maps: cam, grad_cam or rise.")] = "cam",
    images: Annotated[int, typer.Option(min=1, help="Show so many images, drawn at random with the seed.")] = 48,
    of: Annotated[str, typer.Option(help="Show the evidence for the predicted or for the true class.")] = "predicted",
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the draw, and of the masks of rise.")] = 0,
) -> None:
    """Make a page of pictures: image, human map, model map, true and predicted class.

    Writes RUN/explain/SET_METHOD.html, one file that opens without a network.
    """
    from salign.runs.folder import RunFolder

    RunFolder.open(run)  # a folder that holds no run is told before torch is imported
    from salign.runs.explain import explain_run
    from salign.runs.run import Run

    page = explain_run(Run.open(run), split=split, method=method, images=images, of=of, seed=seed, progress=True)
    typer.echo(f"wrote {page}. Next: open it in a browser")
