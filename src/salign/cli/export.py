"""The command `salign export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.cli.arguments import RunArgument
from salign.location import quote

if TYPE_CHECKING:
    from salign.runs.run import Run


def export(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(help="Write this file; by default RUN/export/model.onnx, or the like.")
    ] = None,
    format: Annotated[str, typer.Option(help="onnx, or pt2: the program of torch.export.")] = "onnx",
    precision: Annotated[
        str, typer.Option(help="float32, float16 or int8; what the fewer bits cost is measured and printed.")
    ] = "float32",
    maps: Annotated[
        str, typer.Option(help="answered gives the map of the predicted class; all those of every class; none no map.")
    ] = "answered",
    pixels: Annotated[
        str, typer.Option(help="The file takes uint8 pictures; or float32 in [0, 1], for more than 8 bits.")
    ] = "uint8",
    images: Annotated[int, typer.Option(min=1, help="Compare with torch on so many validation images.")] = 64,
) -> None:
    """Write a run's model as one file that answers without salign, and compare it with torch on validation images.

    A net that draws maps becomes RUN/export/net.onnx, whose one output is the map.

    Writes RUN/export/model.onnx: uint8 pictures in, probabilities and the map of the evidence out, with classes,
    threshold and hashes in its metadata; and model.onnx.json with the comparison. A float32 file that departs from
    torch is not written.
    """
    from salign.errors import check_installed, one_of
    from salign.files import check_output
    from salign.runs.folder import RunFolder

    for name, value, known in (
        ("--format", format, ("onnx", "pt2")),
        ("--precision", precision, ("float32", "float16", "int8")),
        ("--maps", maps, ("answered", "all", "none")),
        ("--pixels", pixels, ("uint8", "float32")),
    ):
        one_of(value, known, name)
    RunFolder.open(run)
    if format == "onnx":
        check_installed("salign export", "onnx", "onnx", "onnxruntime")
    if out is not None:
        check_output(out)

    from salign.runs.export import export_run
    from salign.runs.run import Run
    from salign.train.recipe import MapsRecipe

    finished = Run.open(run)
    if isinstance(finished.recipe, MapsRecipe):
        _export_net(finished, out, format=format, precision=precision, maps=maps, pixels=pixels, images=images)
        return
    path, compared = export_run(
        finished,
        out,
        format=format,  # type: ignore[arg-type]  # it was checked above
        precision=precision,  # type: ignore[arg-type]
        maps=maps,  # type: ignore[arg-type]
        pixels=pixels,  # type: ignore[arg-type]
        images=images,
        progress=True,
    )
    size = path.stat().st_size / 1e6
    typer.echo(f"compared with torch on {compared.images} validation images:")
    typer.echo(f"  largest difference of a probability  {compared.probability:.2g}")
    typer.echo(f"  same answer                          {compared.same_answer} of {compared.images}")
    if compared.map_correlation is not None:
        lowest, mean = compared.map_correlation, compared.mean_map_correlation
        typer.echo(f"  correlation of maps                  {lowest:.6f} or more, mean {mean:.6f}")
    typer.echo(
        f"  accuracy                             {compared.accuracy_torch:.4f} torch, {compared.accuracy_file:.4f} file"
    )
    if compared.same_answer < 0.95 * compared.images:
        other = compared.images - compared.same_answer
        typer.secho(
            f"warning: to {other} of {compared.images} images the file answers otherwise than the run, so that figures "
            "of the run do not speak for it. --precision float16 is nearer.",
            fg="yellow",
            err=True,
        )
    follow = f"salign predict {quote(path)} IMAGES" if format == "onnx" else "torch.export.load reads it"
    typer.echo(f"wrote {path} ({size:.1f} MB) and {path.name}.json. Next: {follow}")


def _export_net(
    run: Run, out: Path | None, *, format: str, precision: str, maps: str, pixels: str, images: int
) -> None:
    from salign.errors import SalignError
    from salign.runs.export_net import export_net

    if (format, maps) != ("onnx", "answered"):
        raise SalignError(
            f"{run.path} is a net that draws maps: its file is ONNX with one map; leave --format and --maps out."
        )
    path, compared = export_net(
        run,
        out,
        precision=precision,  # type: ignore[arg-type]  # `export_net` checks it
        pixels=pixels,  # type: ignore[arg-type]
        images=images,
        progress=True,
    )
    least = "" if compared.map_correlation is None else f", correlation {compared.map_correlation:.6f} or more"
    typer.echo(
        f"compared with torch on {compared.images} validation images: largest difference of a value "
        f"{compared.difference:.2g}{least}"
    )
    typer.echo(
        f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB) and {path.name}.json. Next: salign "
        f"saliency predict {quote(path)} IMAGES"
    )
