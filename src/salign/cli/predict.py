"""The command `salign predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import (
    ActorsOption,
    BlockOption,
    ModelArgument,
    RayAddressOption,
    RayOption,
    ThresholdOption,
    check_ray_options,
)
from salign.limits import LARGEST_BATCH, MOST_WORKERS
from salign.location import quote


def predict(
    run: ModelArgument,
    images: Annotated[Path, typer.Argument(help="Folder of images, with all folders in it; or one image.")],
    out: Annotated[Path, typer.Option(help="Write the table to this .csv or .parquet.")] = Path("predictions.csv"),
    maps: Annotated[
        Path | None, typer.Option(help="Also write the predicted class's map of every image into this folder, as PNG.")
    ] = None,
    overlays: Annotated[
        Path | None, typer.Option(help="Also write every image with that map laid over into this folder, as PNG.")
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, max=LARGEST_BATCH, help="The network takes so many images at a time; fewer need less memory."
        ),
    ] = 32,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_WORKERS, help="So many processes read images (default: by the number of CPUs)."),
    ] = None,
    threshold: ThresholdOption = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out-faulty", help="Name the images that cannot be read, and go on without them.")
    ] = False,
    ray: RayOption = False,
    ray_address: RayAddressOption = None,
    actors: ActorsOption = None,
    block: BlockOption = None,
) -> None:
    """Predict any number of images, at constant memory.

    Writes one table with a row per image: predicted class, logits and probabilities. Where a threshold was chosen on
    validation, predicted_at_threshold is the class by it. Where images may have several labels, the predicted classes
    are joined by `;`. A file of `salign export` answers without torch.
    """
    from salign.class_names import no_threshold
    from salign.data.manifest.image_files import check_images
    from salign.errors import SalignError, check_installed, one_of
    from salign.files import check_output
    from salign.models.config import describe_model, description_file
    from salign.runs.find import runs_below
    from salign.runs.folder import RunFolder

    one_of(out.suffix.lower() or ".csv", (".csv", ".parquet"), f"--out {out}: ending")
    check_ray_options(ray, ray_address, actors, block)
    if run.suffix != ".onnx":
        if not description_file(run).is_file() and any(known.path.name == images.name for known in runs_below(".")):
            right = f"salign predict {quote(images)} {quote(run)}"
            raise SalignError(f"{run} holds no model; first the run, then the images: {right}")
        described = describe_model(run)
        if threshold is not None and "threshold" not in described:
            raise SalignError(no_threshold(described["classes"]))
    for folder in (maps, overlays):
        check_images(images, folder)
    check_output(out)

    on_onnx = run.suffix == ".onnx"
    if ray:
        from salign.runs.blocks import BLOCK, check_blocks
        from salign.runs.predict_blocks import PredictBlocks, cut, predict_on_ray, threshold_of

        check_installed("predict --ray", "ray", "ray")
        job = PredictBlocks(
            run.absolute(),
            images.absolute(),
            out.absolute(),
            maps=maps and maps.absolute(),
            overlays=overlays and overlays.absolute(),
            block=block or BLOCK,
            batch_size=batch_size,
            workers=workers or 0,
            threshold=threshold,
            leave_out=leave_out,
        )
        parts = cut(job.images, job.block)
        check_blocks(job, parts)
        called = threshold_of(run, threshold)
        count, faults = predict_on_ray(job, parts, address=ray_address, actors=actors, progress=True)
    else:
        from salign.runs.predict_blocks import open_model

        predicting, model = open_model(run, threshold)
        called = model.threshold
        count, faults = predicting(
            model,
            images,
            out,
            maps=maps,
            overlays=overlays,
            batch_size=batch_size,
            workers=workers if workers is not None else 4 if on_onnx else "auto",
            leave_out=leave_out,
            progress=True,
        )
    for fault in faults:
        typer.secho(f"left out: {fault}", fg="yellow", err=True)
    if called:
        typer.echo(f"predicted_at_threshold: {called}")
    written = [f", {what} in {folder}" for what, folder in (("maps", maps), ("overlays", overlays)) if folder]
    follow = "" if on_onnx or not RunFolder(run).done else f", or salign explain {quote(run)}"
    typer.echo(f"wrote {out} ({count} images{''.join(written)}). Next: open it{follow}")
