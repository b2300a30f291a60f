"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
