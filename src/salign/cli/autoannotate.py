"""The command `salign autoannotate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import (
    ActorsOption,
    BlockOption,
    RayAddressOption,
    RayOption,
    RunsArgument,
    check_ray_options,
)
from salign.limits import LARGEST_BATCH
from salign.location import quote


def autoannotate(
    manifest: Annotated[
        Path, typer.Argument(help="manifest.csv or .parquet. Its maps stay; images without a map get one.")
    ],
    runs: RunsArgument,
    out: Annotated[
        Path | None,
        typer.Option(help=("The maps go into this new folder, inside of the manifest's root (default: ROOT/machine).")),
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Mark the images of this split only; repeat (default: train).")
    ] = None,
    method: Annotated[str, typer.Option(help="Method that makes maps of a classifier: cam, grad_cam or rise.")] = "cam",
    of: Annotated[
        str, typer.Option(help="With a classifier, take the map of the true or of the predicted class.")
    ] = "true",
    masks: Annotated[int, typer.Option(min=1, help="RISE tries so many random masks for each image.")] = 1000,
    below: Annotated[
        float, typer.Option(min=0, max=1, help="Maps with less confidence (0 to 1) become drafts for people to review.")
    ] = 0.0,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, max=LARGEST_BATCH, help="The network takes so many images at a time; fewer need less memory."
        ),
    ] = 16,
    root: Annotated[Path | None, typer.Option(help="The manifest's paths are relative to this folder.")] = None,
    ray: RayOption = False,
    ray_address: RayAddressOption = None,
    actors: ActorsOption = None,
    block: BlockOption = None,
) -> None:
    """Let a machine mark the images that have no human map; several runs make an ensemble.

    Writes maps and a manifest whose columns provenance and confidence say which model made a map and how sure it was;
    with --below also a manifest of drafts, least sure first, which `salign annotate --mode review` shows to people.
    """
    from salign.data.manifest import Manifest
    from salign.errors import check_installed, one_of
    from salign.files import check_output
    from salign.machine.options import CLASSES, METHODS, check_maker, rows_to_mark, unknown_classes

    check_ray_options(ray, ray_address, actors, block)
    one_of(method, METHODS, "--method")
    one_of(of, CLASSES, "--of")
    for run in runs:
        check_maker(run)
    if ray:
        from salign.runs.blocks import check_blocks
        from salign.runs.mark_blocks import MarkBlocks, count_images, cut_rows, draw_maps_on_ray

        check_installed("autoannotate --ray", "ray", "ray")
        size = count_images(block, batch_size)
    read = Manifest.read(manifest, root)
    folder = out or read.root / "machine"
    target, drafts = (read.root / f"{folder.name}{end}.csv" for end in ("", "-drafts"))
    check_output(target)
    check_output(drafts)
    if ray:
        places = tuple(run.absolute() for run in runs)
        job = MarkBlocks(places, folder.resolve(), method, of, masks, size, batch_size)
    positions = rows_to_mark(read, folder, splits or ["train"], begun=ray and job.is_begun)
    if ray:
        parts = cut_rows(read.take(positions), job.block)
        check_blocks(job, parts)

    import shutil

    import numpy as np
    import torch

    from salign.machine.annotate import auto_annotate, fill_cells
    from salign.machine.makers import maker_of_runs

    device = "cuda" if torch.cuda.is_available() and not ray else "cpu"
    maker = maker_of_runs(runs, method=method, of=of, masks=masks, device=device)
    rows = read.take(positions)
    if strange := unknown_classes(rows, maker.classes, of):
        count = int(rows.table["label"].isin(strange).sum())
        typer.secho(
            f"{count} images are of classes that {maker.name} does not know ({', '.join(strange)}): they are marked by "
            "the class that it takes them for",
            fg="yellow",
            err=True,
        )
    if ray:
        drawings = draw_maps_on_ray(job, parts, address=ray_address, actors=actors, progress=True)
        done = fill_cells(read, positions, drawings, below=below)
    else:
        done = auto_annotate(
            read,
            maker,
            folder,
            splits=splits or ["train"],
            below=below,
            batch_size=batch_size,
            device=device,
            progress=True,
        )
    done.manifest.write(target)
    if done.drafts is not None:
        done.drafts.write(drafts)
    if ray:
        shutil.rmtree(job.folder)
    people, machines, unknown = done.manifest.makers
    rest = f" ({unknown} of unknown origin)" if unknown else ""
    typer.echo(
        f"{maker.name}: {done.count} images marked; {target} has {people} maps of people and {machines} of machines"
        f"{rest}"
    )
    low, half, high = np.quantile(done.sureness, [0, 0.5, 1])
    typer.echo(f"sure of them (0 to 1): from {low:.2f} to {high:.2f}, half of them less than {half:.2f}")
    if done.drafts is None:
        typer.echo(
            f"wrote {folder} and {target}. Next: salign data check {quote(target)}, and look at the maps; or "
            f"again with --below {half:.2f} and another --out, and people judge the less sure half"
        )
        return
    review = read.root / f"{folder.name}-review"
    typer.echo(
        f"wrote {folder}, {target} and {drafts} ({len(done.drafts)} maps that are less sure than {below:g}). Next: "
        f"salign annotate {quote(read.root)} --manifest {quote(drafts)} --mode review --out {quote(review)}"
    )
