"""The command `salign saliency`: nets that predict human maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salign.cli.arguments import ModelArgument, RunArgument
from salign.limits import LARGEST_BATCH, MOST_WORKERS
from salign.location import quote

app = typer.Typer(
    no_args_is_help=True,
    help="Train a net that predicts human maps, measure it on people it never saw, and let it mark images.",
)

METRICS = ("cc", "kl", "auc_judd", "energy")
"""The metrics that are printed; agreement.csv has all."""


Recipe = Annotated[Path, typer.Argument(help="The recipe, as YAML; docs/machine-annotators.md explains the keys.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe, e.g. loss.name=kl; repeat."),
]
Out = Annotated[Path, typer.Option(help="The run's own folder is made in this folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress bars.")]


@app.command("train")
def train_net(
    recipe: Recipe, overrides: Overrides = None, out: Out = Path("runs"), resume: Resume = False, quiet: Quiet = False
) -> None:
    """Train on the images that have a human map, and measure on those of validation and the test sets.

    Writes OUT/NAME-HASH: the net, agreement.csv, and encoder.safetensors, from which `salign train --init` starts.
    """
    run = _train(recipe, overrides, out, resume, quiet, preset=None)
    here = quote(run)
    typer.echo(
        f"wrote {run}. Next: salign saliency predict {here} IMAGES, or salign autoannotate {_manifest(run)} {here}"
    )


def pretrain(
    recipe: Recipe, overrides: Overrides = None, out: Out = Path("runs"), resume: Resume = False, quiet: Quiet = False
) -> None:
    """Pretrain a backbone on human maps, without labels (MENTOR): `salign saliency train` in the published setting.

    What the recipe says itself wins over that setting. Writes OUT/NAME-HASH, from which `salign train --init` starts.
    """
    run = _train(recipe, overrides, out, resume, quiet, preset="mentor")
    typer.echo(f"wrote {run}. Next: salign train RECIPE --init {quote(run)}")


@app.command("evaluate")
def evaluate_net(
    run: RunArgument,
    people: Annotated[
        Path | None,
        typer.Option(
            help=("Manifest with a row for each image and person, from `salign maps import ... --annotators each`.")
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="Figure that is compared with the agreement among people.")] = "cc",
) -> None:
    """Show how well a net agrees with people, beside predictors that see no image: the centre, and the mean map.

    With --people also as a share of how well people agree among themselves.
    """
    from salign.data.manifest import Manifest
    from salign.evaluate.tables import read_figures
    from salign.runs.folder import RunFolder
    from salign.runs.saliency_report import TEXT, share_of_ceiling

    _show(RunFolder.open(run).path)
    if people is not None:
        table = read_figures(run / "agreement.csv", TEXT)
        for row in share_of_ceiling(table, Manifest.read(people), run, metric).itertuples():
            typer.echo(
                f"{row.set}: {metric} with each of {row.people:.1f} people of {row.images} images: net {row.net:.3f}, "
                f"centre {row.centre:.3f}, people among themselves {row.ceiling:.3f}; the net reaches {row.share:.0%}"
            )
    typer.echo(f"read {run / 'agreement.csv'}: a row per image, with all metrics")


@app.command("predict")
def predict_net(
    run: ModelArgument,
    images: Annotated[Path, typer.Argument(help="Folder of images, with all folders in it; or one image.")],
    out: Annotated[
        Path, typer.Option(help="The maps go into this folder as 16-bit PNG, named like the images.")
    ] = Path("maps"),
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, max=LARGEST_BATCH, help="The network takes so many images at a time; fewer need less memory."
        ),
    ] = 16,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_WORKERS, help="So many processes read images (default: by the number of CPUs)."),
    ] = None,
) -> None:
    """Predict the human map of any number of images, at constant memory. A file of `salign export` needs no torch."""
    from salign.data.manifest.image_files import check_images
    from salign.files import check_output
    from salign.models.config import describe_net

    on_onnx = run.suffix == ".onnx"
    if not on_onnx:
        describe_net(run)
    check_images(images, out)
    check_output(out, folder=True)

    if on_onnx:
        from salign.runtime import load_net
        from salign.runtime.folder import draw_folder

        net = load_net(run)
        drawn_by = net.description["run"]
        count = draw_folder(
            net, images, out, batch_size=batch_size, workers=4 if workers is None else workers, progress=True
        )
    else:
        from salign.runs.saliency_report import predict_folder_maps

        drawn_by = run
        count = predict_folder_maps(
            run, images, out, batch_size=batch_size, workers="auto" if workers is None else workers, progress=True
        )
    typer.echo(
        f"wrote {count} maps into {out}. Next: look at them. To train with such maps: salign autoannotate MANIFEST "
        f"{drawn_by}, which says in the manifest whose they are"
    )


def _train(
    recipe: Path, overrides: list[str] | None, out: Path, resume: bool, quiet: bool, *, preset: str | None
) -> Path:
    from salign.train.recipe import MapsRecipe

    built = MapsRecipe.read(recipe, overrides, preset=preset, files=True)
    from salign.runs.fit import fit  # imports torch, so after the recipe is checked
    from salign.train.world import follows

    try:
        run = fit(built, out, resume=resume, progress=not quiet, say=typer.echo)
    except KeyboardInterrupt:
        typer.secho("stopped. Run the same command with --resume to go on after the last whole epoch.", err=True)
        raise typer.Exit(130) from None
    if follows():  # the first process prints the rest
        raise typer.Exit
    if built.loss.target == "map":
        _show(run.path)
    return run.path


def _manifest(run: Path) -> str:
    """Return the manifest that a net was trained with, and its `--root` if one was given, as words of a command."""
    from salign.runs.folder import RunFolder
    from salign.train.recipe import MapsRecipe

    data = MapsRecipe.read(RunFolder.open(run).recipe_file).data
    return quote(data.manifest) + (f" --root {quote(data.root)}" if data.root is not None else "")


def _show(run: Path) -> None:
    from rich.console import Console

    from salign.cli.text_table import text_table
    from salign.evaluate.agreement import LABELS
    from salign.evaluate.tables import read_figures
    from salign.runs.saliency_report import TEXT, summarise_agreement

    agreement = read_figures(run / "agreement.csv", TEXT)
    headings, rows = ["set (images)", "metric", "net", "minus centre", "minus mean map"], []
    for metric in METRICS:
        for name, part in summarise_agreement(agreement, metric).groupby("set", sort=False):
            gains = part.set_index("prior")
            differences = [f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]" for row in gains.itertuples()]
            of_net = f"{gains['net'].iloc[0]:.3f}"
            rows.append([f"{name} ({gains['images'].max()})", LABELS[metric], of_net, *differences])
    title = "agreement with people on held-out images; net minus what sees no image [95 %]"
    caption = "KL divergence: less is better; all else: more"
    Console().print(text_table(title, headings, rows, left=headings[:2], caption=caption))
