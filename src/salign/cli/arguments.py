"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run_path(text: str) -> Path:
    """The folder of a run, from what was typed."""
    from salign.runs.find import find_run

    return find_run(text)


RUN_HELP = "Run folder; or its name, the beginning of its name, or `last` (see `salign runs`)"
RunArgument = Annotated[Path, typer.Argument(parser=run_path, metavar="RUN", help=f"{RUN_HELP}.")]
"""A run that `salign train` or a study wrote."""
RunsArgument = Annotated[list[Path], typer.Argument(parser=run_path, metavar="RUN...", help=f"{RUN_HELP}; repeat.")]
"""Several of them."""
Root = Annotated[
    Path | None, typer.Option(help="The manifest's paths are relative to this folder (default: its own folder).")
]
"""Where the paths of a manifest begin."""
