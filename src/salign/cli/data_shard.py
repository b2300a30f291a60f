"""The command `salign data shard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import Root


def shard(
    manifest: Annotated[Path, typer.Argument(help="manifest.csv or .parquet.")],
    to: Annotated[Path, typer.Option(help="The shards, their manifest and their index go into this folder.")],
    size: Annotated[int, typer.Option(min=1, help="Rows in a shard.")] = 1000,
    root: Root = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Images may have several labels, or none.")
    ] = False,
) -> None:
    """Write a set as a few large files instead of many small ones: tar files in the layout of WebDataset.

    Writes TO/SPLIT-000000.tar and so on, with images, maps and rows together, TO/manifest.parquet, which every command
    reads as any manifest, and TO/shards.json, the size and SHA-256 of each shard. A training on shards is the same, to
    the last digit, as one on the files.
    """
    from salign.data.manifest import Manifest
    from salign.files import check_output

    check_output(to, folder=True)
    read = Manifest.read(manifest, root, multi_label=multi_label)
    from salign.data.shards import write_shards  # imports torch, so after the checks

    written = write_shards(read, to, size, progress=True)
    typer.echo(f"wrote {written}: {len(read):,} rows. Next: data.manifest: {written} in a recipe")
