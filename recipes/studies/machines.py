"""What the studies of machine annotators and of pretraining start from: once per seed, so that its chance counts too.

    python recipes/studies/machines.py maps data/digits/manifest.csv recipes/digits_maps.yaml
    python recipes/studies/machines.py encoders recipes/digits_few_maps.yaml data/digits_few/encoders

What is there already is not made again, so a command that was stopped goes on, and two can share the seeds.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from salign.data.controls import keep_maps
from salign.data.manifest import PROVENANCE, Manifest
from salign.data.reading.image import read_saliency
from salign.evaluate.agreement import pearson
from salign.machine.annotate import auto_annotate
from salign.machine.makers import Maker, maker_of
from salign.maps import resize
from salign.runs.fit import fit
from salign.train.recipe import MapsRecipe, Recipe

app = typer.Typer(no_args_is_help=True, help="Make machine maps and pretrained encoders for the studies.")
Seeds = Annotated[str, typer.Option(help="FIRST:END, the seeds FIRST to END - 1")]


@app.command()
def maps(
    manifest: Annotated[Path, typer.Argument(help="Of a prepared set with people's maps")],
    recipe: Annotated[Path, typer.Argument(help="Of a net that predicts maps")],
    share: Annotated[list[float], typer.Option(help="Of people's maps that are kept; may be repeated")] = [0.1],  # noqa: B006
    teacher: Annotated[Path | None, typer.Option(help="Recipe of a guided classifier that marks, too")] = None,
    taught: Annotated[list[float], typer.Option(help="Shares at which the teacher marks")] = [0.1],  # noqa: B006
    label: Annotated[str | None, typer.Option(help="Mark images of this class only")] = None,
    masks: Annotated[int, typer.Option(help="Of RISE")] = 200,
    seeds: Seeds = "0:1",
) -> None:
    """Write machine-SEED.csv beside the manifest: for every share, columns of maps for the training images.

    At a share of 10 %: `people10` (what people keep), `machine10` (a net's for all), `mixed10` (people's, the net's for
    the rest) and, with a teacher, `taught_cam10` and `taught_rise10` (people's, the teacher's for the rest). A column
    NAME_provenance beside each says whose a map is. Nets and teachers see no map that is not kept.
    """
    whole = Manifest.read(manifest)
    for seed in seeds_of(seeds):
        target = whole.root / f"machine-{seed}.csv"
        if target.exists():
            continue
        table = whole.table.drop(columns="row")
        for part in share:
            for name, cells in _columns(
                whole, recipe, teacher if part in taught else None, part, label, masks, seed
            ).items():
                table[name] = table["id"].map(cells)
        Manifest.of(table, whole.root).write(target)
        typer.echo(f"wrote {target}")


def _columns(
    whole: Manifest, recipe: Path, teacher: Path | None, share: float, label: str | None, masks: int, seed: int
) -> dict[str, pd.Series]:
    """Column -> cells by id, for one share and seed."""
    percent = f"{100 * share:g}"
    few = pd.concat([keep_maps(whole.select([name]), share, seed=seed).table for name in ("train", "val")])
    rest = whole.table[~whole.table["split"].isin(["train", "val"])].assign(saliency="")
    folder = whole.root / "machines" / f"{seed}"
    path = folder / f"few{percent}.csv"
    folder.mkdir(parents=True, exist_ok=True)
    Manifest.of(pd.concat([few, rest]).drop(columns="row"), whole.root).write(path)
    changes = [f"data.manifest={path}", f"data.root={whole.root}", "data.test=[]", f"seed={seed}"]
    train = few[few["split"] == "train"].set_index("id")
    people = train["saliency"]
    asked = whole.select(["train"])
    if label is not None:
        asked = asked.take((asked.table["label"] == label).to_numpy().nonzero()[0])
    net = maker_of(fit(MapsRecipe.read(recipe, changes), folder, resume=True, progress=False).path)
    makers: dict[str, Maker] = {"machine": net}
    if teacher is not None:
        taught = fit(Recipe.read(teacher, [*changes, f"data.seed={seed}"]), folder, resume=True, progress=False)
        makers["taught_cam"] = maker_of(taught.path)
        makers["taught_rise"] = maker_of(taught.path, method="rise", masks=masks, seed=seed)
    columns = {f"people{percent}": people, f"people{percent}_{PROVENANCE}": _said(people, "human:people")}
    for name, maker in makers.items():
        wanted = asked.table["id"].isin(people.index[people.isna()]) | (name == "machine")
        made = _made(asked.take(wanted.to_numpy().nonzero()[0]), maker, folder / f"{name}{percent}")
        _tell(whole, made[people.reindex(made.index).isna()], f"seed {seed}: {name}{percent}")
        by = _said(made, maker.name)
        if name == "machine":
            columns |= {f"machine{percent}": made, f"machine{percent}_{PROVENANCE}": by}
        mixed = "mixed" if name == "machine" else name
        columns[f"{mixed}{percent}"] = people.fillna(made)
        columns[f"{mixed}{percent}_{PROVENANCE}"] = _said(people, "human:people").fillna(by)
    return columns


def _made(rows: Manifest, maker: Maker, out: Path) -> pd.Series:
    """Mark these images; map paths by id."""
    shutil.rmtree(out, ignore_errors=True)  # of a command that was stopped
    bare = Manifest(rows.table.assign(saliency=rows.table["saliency"].where([False] * len(rows))), rows.root, "all")
    return auto_annotate(bare, maker, out).manifest.table.set_index("id")["saliency"]


def _said(cells: pd.Series, whose: str) -> pd.Series:
    return cells.where(cells.isna(), whose)


def _tell(whole: Manifest, made: pd.Series, what: str) -> None:
    """Say how well the maps agree with those of people that were kept back."""
    kept_back = whole.table.set_index("id")["saliency"].reindex(made.index).dropna()
    found = []
    for name, theirs in kept_back.items():
        human = read_saliency(whole.root / theirs)[None]
        machine = resize(read_saliency(whole.root / made[name])[None], (human.shape[1], human.shape[2]))
        found.append(float(pearson(machine, human)))
    if found:
        values = pd.Series(found)
        typer.echo(f"{what}: correlation with people's maps {values.mean():.3f} over {values.notna().sum()} images")


@app.command()
def encoders(
    recipe: Annotated[Path, typer.Argument(help="Of the pretraining on people's maps")],
    out: Annotated[Path, typer.Argument(help="Folder to write SEED/KIND.safetensors into")],
    seeds: Seeds = "0:1",
) -> None:
    """Pretrain as MENTOR does on people's maps, and the controls: shuffled maps, and giving back the image."""
    kinds = {"maps": [], "shuffled": ["data.maps=shuffled"], "image": ["loss.target=image"]}
    for seed in seeds_of(seeds):
        for kind, changes in kinds.items():
            target = out / f"{seed}" / f"{kind}.safetensors"
            if target.exists():
                continue
            asked = MapsRecipe.read(recipe, [*changes, f"seed={seed}", f"data.seed={seed}"])
            run = fit(asked, out / f"{seed}" / "runs", resume=True, progress=False)
            (run.path / "encoder.safetensors").replace(target)
            typer.echo(f"wrote {target}")


def seeds_of(given: str) -> range:
    """`"2:5"` -> 2, 3, 4."""
    first, _, end = given.partition(":")
    return range(int(first), int(end))


if __name__ == "__main__":
    app()
