"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.errors import SalignError
from salign.limits import MOST_WORKERS


def run_path(text: str) -> Path:
    """The folder of a run, from what was typed."""
    from salign.runs.find import find_run

    return find_run(text)


def model_path(text: str) -> Path:
    """An exported file as it was typed, or the folder of a run."""
    return Path(text) if text.endswith(".onnx") else run_path(text)


RUN_HELP = "Run folder; or its name, the beginning of its name, or `last` (see `salign runs`)"
RunArgument = Annotated[Path, typer.Argument(parser=run_path, metavar="RUN", help=f"{RUN_HELP}.")]
"""A run that `salign train` or a study wrote."""
ModelArgument = Annotated[
    Path, typer.Argument(parser=model_path, metavar="RUN", help=f"{RUN_HELP}; or a file of `salign export`.")
]
"""A run, or what was exported of it."""
RunsArgument = Annotated[list[Path], typer.Argument(parser=run_path, metavar="RUN...", help=f"{RUN_HELP}; repeat.")]
"""Several of them."""
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Call the positive class from this probability on, not from that chosen on validation."
    ),
]
"""The probability that takes the place of a model's threshold."""
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_WORKERS, help="So many runs train at a time (default: one per GPU, or per CPU)."),
]
"""How many runs a command trains at a time."""
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_WORKERS, help="Each run has so many CPU threads (default: an equal share)."),
]
"""How many threads each of them has."""
Root = Annotated[
    Path | None, typer.Option(help="The manifest's paths are relative to this folder (default: its own folder).")
]
"""Where the paths of a manifest begin."""
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Look at every file again, also of a large manifest that was sound and has not changed since."
    ),
]
"""Whether a large manifest is validated anew; see `salign.data.manifest.verdict`."""
RayOption = Annotated[
    bool,
    typer.Option("--ray", help="Work on Ray, block by block; the same command goes on after an interruption."),
]
"""Whether Ray does the work; see `salign.runs.blocks`."""
RayAddressOption = Annotated[
    str | None,
    typer.Option(help="Ray: use this cluster; `auto` means the one that this machine belongs to (default: here)."),
]
"""Which cluster does it."""
ActorsOption = Annotated[
    int | None, typer.Option(min=1, help="Ray: so many copies of the model, each on a CPU (default: one per CPU).")
]
"""How many processes of it."""
BlockOption = Annotated[int | None, typer.Option(min=1, help="Ray: so many images make a block (default: 1024).")]
"""How much is done again if one of them dies."""


def check_ray_options(ray: bool, address: str | None, actors: int | None, block: int | None) -> None:
    """Refuse options of Ray where it is not asked for."""
    if not ray and (address or actors or block):
        raise SalignError("--ray-address, --actors and --block belong to --ray; add that.")
