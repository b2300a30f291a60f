"""The commands `salign maps aggregate` and `salign maps granularity`, which write a manifest with other maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.location import quote

if TYPE_CHECKING:
    from salign.data.manifest import Manifest

Given = Annotated[Path, typer.Argument(help="manifest.csv or .parquet.")]
Out = Annotated[
    Path | None, typer.Option(help="Write the new manifest here; its maps go into a folder of its name beside it.")
]
Root = Annotated[
    Path | None, typer.Option(help="The manifest's paths are relative to this folder (default: its own folder).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier call wrote.")]


def aggregate(
    manifest: Given,
    method: Annotated[
        str, typer.Option(help="Several maps become one by union, mean, majority, staple or weighted.")
    ] = "mean",
    maps: Annotated[
        Path | None, typer.Option(help="This folder has a folder of maps for each person, named like the images.")
    ] = None,
    pattern: Annotated[
        str, typer.Option(help="With --maps: pattern of the paths in it, e.g. {image}_{annotator}.")
    ] = "{annotator}/{image}",
    column: Annotated[
        list[str] | None,
        typer.Option(help="Column with one person's maps; repeat (default: all that are called saliency_WHO)."),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help=("weighted: WHO=NUMBER gives a person a weight; repeat (default: agreement with the others).")
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help=(
                "weighted: people count by how often they were right in this table, such as "
                "annotations.csv of an export."
            )
        ),
    ] = None,
    sigma: Annotated[
        float, typer.Option(help="Smooth the result by a Gaussian with this standard deviation in pixels; 0 does not.")
    ] = 0.0,
    degrees: Annotated[float | None, typer.Option(help="The same as --sigma, in degrees of visual angle.")] = None,
    per_degree: Annotated[
        float | None, typer.Option(help="With --degrees: one degree spans so many pixels of the image.")
    ] = None,
    out: Out = None,
    root: Root = None,
    overwrite: Overwrite = False,
) -> None:
    """Make one map per image out of several people's.

    union: what anybody marked. mean: the share who did. majority: more than half. staple: the probability that it is
    truly salient, given how good everybody is (Warfield et al. 2004). weighted: a mean in which some count more. Prints
    how well each person agrees with the others; the mean of it is what to compare a model with.

    Example: `salign maps aggregate manifest.csv --method staple`, then train with `manifest-staple.csv`.
    """
    from salign.annotations.combine import aggregate_maps, mean_of, people_of, weights_by_answers, with_folder
    from salign.data.manifest import Manifest
    from salign.errors import SalignError
    from salign.maps.smooth import sigma_in_pixels

    if (weight or answers) and method != "weighted":
        raise SalignError(f"weights are for --method weighted, not {method}")
    if weight and answers:
        raise SalignError("weights come from --weight or from --answers; give one of them")
    if degrees is not None and (per_degree is None or sigma):
        raise SalignError("--degrees needs --per-degree, and goes without --sigma")
    if degrees is not None and per_degree is not None:
        sigma = sigma_in_pixels(degrees, per_degree)
    read = Manifest.read(manifest, root)
    if maps is not None:
        read = with_folder(read, maps, pattern)
    people = people_of(read, column)
    weights = None
    if weight:
        weights = _weights(weight, {person.name: person.column for person in people})
    elif answers is not None:
        weights = weights_by_answers(answers, people, max(2, len(read.classes)))
    target = _target(manifest, out, method)
    combined = aggregate_maps(read, target, method, people, weights=weights, sigma=sigma, overwrite=overwrite)
    rates = ["sensitivity", "specificity"] if method == "staple" else ["weight"] if method == "weighted" else []
    typer.echo(f"{'person':<32}{'maps':>8}{'agreement':>12}" + "".join(f"{name:>13}" for name in rates))
    for person in people:
        figures = {
            "weight": person.weight if person.weight is not None else float("nan"),
            "sensitivity": mean_of(person.sensitivities),
            "specificity": mean_of(person.specificities),
        }
        line = f"{person.name:<32}{person.maps:>8}{person.agreement:>12.3f}"
        typer.echo(line + "".join(f"{figures[name]:>13.3f}" for name in rates))
    ceiling = mean_of(value for person in people for value in person.agreements)
    typer.echo(f"{'all (leave one out, soft Dice)':<40}{ceiling:>12.3f}")
    _report(combined, target)


def granularity(
    manifest: Given,
    grain: Annotated[
        str,
        typer.Option(help=("The marks become boundary (boxes around them), area (filled) or features (as painted).")),
    ],
    together: Annotated[
        bool, typer.Option("--together", help="boundary: draw one box around everything, not one around each region.")
    ] = False,
    column: Annotated[str, typer.Option(help="Take the maps of this column.")] = "saliency",
    out: Out = None,
    root: Root = None,
    overwrite: Overwrite = False,
) -> None:
    """Make the maps coarser, to find out how finely people have to mark.

    After "Grains of Saliency" (Crum et al. 2024). What is marked is what has at least half of the map's maximum.

    Example: `salign maps granularity manifest.csv --grain boundary`, then train with `manifest-boundary.csv`.
    """
    from salign.annotations.combine import coarsen_maps
    from salign.data.manifest import Manifest
    from salign.errors import SalignError

    if together and grain != "boundary":
        raise SalignError(f"--together is for --grain boundary, not {grain}")
    target = _target(manifest, out, grain)
    read = Manifest.read(manifest, root).with_maps(column)
    _report(coarsen_maps(read, target, grain, together=together, overwrite=overwrite), target)


def _target(manifest: Path, out: Path | None, name: str) -> Path:
    from salign.errors import SalignError
    from salign.files import check_output

    target = out or manifest.with_name(f"{manifest.stem}-{name}{manifest.suffix}")
    if target.resolve() == manifest.resolve():
        raise SalignError(f"--out {target} is the manifest that is read; give another name")
    check_output(target)
    check_output(target.with_suffix(""), folder=True)
    return target


def _weights(texts: list[str], columns: dict[str, str]) -> dict[str, float]:
    from salign.errors import SalignError, nearest

    weights: dict[str, float] = {}
    for pair in texts:
        name, _, text = pair.rpartition("=")
        if name not in columns:
            raise SalignError(
                f"--weight {pair}: expected WHO=NUMBER, WHO one of {', '.join(columns)}{nearest(name, columns)}"
            )
        try:
            weights[columns[name]] = float(text)
        except ValueError as error:
            raise SalignError(f"--weight {pair}: {text!r} is no number") from error
    return weights


def _report(manifest: Manifest, target: Path) -> None:
    from salign.data.manifest.root import root_option

    count = int(manifest.table["saliency"].notna().sum())
    apart = root_option(target, manifest.root)
    check = f"salign data check {quote(target)}{apart}"
    typer.echo(f"wrote {count} maps for {len(manifest)} images, and {target}: look at them with `{check}`")
