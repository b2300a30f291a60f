"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.errors import SalignError
from salign.limits import MOST_WORKERS


def run_path(text: str) -> Path:
    """Return the run folder that a typed name stands for; see `salign.runs.find.find_run`."""
    from salign.runs.find import find_run

    return find_run(text)


def model_path(text: str) -> Path:
    """Return the path of an exported file (`.onnx`) as it was typed, or the run folder that a name stands for."""
    return Path(text) if text.endswith(".onnx") else run_path(text)


RUN_HELP = "Run folder; or its name, the beginning of its name, or `last` (see `salign runs`)"
RunArgument = Annotated[Path, typer.Argument(parser=run_path, metavar="RUN", help=f"{RUN_HELP}.")]
"""A run of `salign train` or of a study."""
ModelArgument = Annotated[
    Path, typer.Argument(parser=model_path, metavar="RUN", help=f"{RUN_HELP}; or a file of `salign export`.")
]
"""A run, or a file that `salign export` wrote."""
RunsArgument = Annotated[list[Path], typer.Argument(parser=run_path, metavar="RUN...", help=f"{RUN_HELP}; repeat.")]
"""Several runs."""
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Call the positive class from this probability on, not from that chosen on validation."
    ),
]
"""The probability that replaces the model's threshold."""
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_WORKERS, help="So many runs train at a time (default: one per GPU, or per CPU)."),
]
"""How many runs a command trains at a time."""
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_WORKERS, help="Each run has so many CPU threads (default: an equal share)."),
]
"""How many CPU threads each run has."""
Root = Annotated[
    Path | None, typer.Option(help="The manifest's paths are relative to this folder (default: its own folder).")
]
"""The folder that the paths in a manifest are relative to."""
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Look at every file again, also of a large manifest that was sound and has not changed since."
    ),
]
"""Whether a large manifest is validated again; see `salign.data.manifest.verdict`."""
RayOption = Annotated[
    bool,
    typer.Option("--ray", help="Work on Ray, block by block; the same command goes on after an interruption."),
]
"""Whether Ray does the work; see `salign.runs.blocks`."""
RayAddressOption = Annotated[
    str | None,
    typer.Option(help="Ray: use this cluster; `auto` means the one that this machine belongs to (default: here)."),
]
"""The address of the Ray cluster."""
ActorsOption = Annotated[
    int | None, typer.Option(min=1, help="Ray: so many copies of the model, each on a CPU (default: one per CPU).")
]
"""How many Ray processes do the work."""
BlockOption = Annotated[int | None, typer.Option(min=1, help="Ray: so many images make a block (default: 1024).")]
"""The number of images in a block; if a process dies, its block is done again."""


def check_ray_options(ray: bool, address: str | None, actors: int | None, block: int | None) -> None:
    """Refuse options of Ray without `--ray`.

    Raises:
        SalignError: such an option is given.
    """
    if not ray and (address or actors or block):
        raise SalignError("--ray-address, --actors and --block belong to --ray; add that.")
