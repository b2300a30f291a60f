"""The studies in recipes/studies: their sets can be prepared, and every cell of theirs is a sound recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from command import script
from salign.data.manifest import Manifest
from salign.experiment.study import Study, expand
from salign.train.prepare import prepare
from salign.train.recipe import MapsRecipe

FOLDER = Path(__file__).parents[2] / "recipes" / "studies"
pytestmark = pytest.mark.slow


def prepared(out: Path, *arguments: str) -> pd.DataFrame:
    script(FOLDER / "prepare.py", *arguments, out)
    return Manifest.read(out / "manifest.csv").table


def cells_are_sound(name: str, folder: Path, manifest: str = "manifest.csv") -> None:
    """Every arm, at its first seed, finds its images and maps."""
    study = Study.read(FOLDER / f"{name}.yaml", [f"recipe.data.manifest={folder / manifest}"])
    cells = expand(study)
    assert len({cell.place for cell in cells}) == len(cells) >= 9
    for data in {cell.recipe.data.model_dump_json(): cell.recipe.data for cell in cells if cell.seed == 0}.values():
        assert len(prepare(data).train) > 100
    assert {study.target, study.reference} <= set(study.recipe["data"]["test"])
    chosen_on = {split for split in study.recipe["data"]["test"] if split.startswith("val")}
    assert not chosen_on, "what settings were chosen on is not reported as a test"


def test_digits(tmp_path: Path) -> None:
    table = prepared(tmp_path / "digits", "digits")
    agrees = (table["label"] == table["decoy"]).groupby(table["split"]).mean()
    assert agrees[["train", "val", "test_iid"]].tolist() == [1, 1, 1]
    assert agrees[["val_ood", "test_ood"]].max() < 0.2
    cells_are_sound("digits", tmp_path / "digits")
    cells_are_sound("arena", tmp_path / "digits")
    cells_are_sound("arena_maps", tmp_path / "digits")


def made_by_machines(*arguments: object) -> None:
    script(FOLDER / "machines.py", *arguments)


def quick_recipe(name: str, manifest: Path, out: Path) -> Path:
    """The recipe of that name for a manifest elsewhere, at one epoch."""
    text = (FOLDER.parent / f"{name}.yaml").read_text()
    text = re.sub(r"epochs: \d+", "epochs: 1", text)
    out.write_text(re.sub(r"manifest: .*", f"manifest: {manifest}", text))
    return out


def test_digits_machine(tmp_path: Path) -> None:
    """A net and a guided teacher mark what a tenth of the people do not; each map says whose it is."""
    prepared(tmp_path / "digits", "digits")
    manifest = tmp_path / "digits" / "manifest.csv"
    net = quick_recipe("digits_maps", manifest, tmp_path / "net.yaml")
    teacher = quick_recipe("digits_teacher", manifest, tmp_path / "teacher.yaml")
    made_by_machines("maps", manifest, net, "--teacher", teacher, "--masks", 2)
    read = Manifest.read(tmp_path / "digits" / "machine-0.csv")
    train = read.table[read.table["split"] == "train"]
    columns = ["people10", "machine10", "mixed10", "taught_cam10", "taught_rise10"]
    assert train[columns].notna().sum().tolist() == [100, 1000, 1000, 1000, 1000]
    known = train["people10"].notna()
    assert (train["people10"] == train["saliency"])[known].all()
    for column in ("mixed10", "taught_cam10", "taught_rise10"):
        assert (train[column] == train["saliency"])[known].all()
        makers = read.select(["train"]).with_maps(column).makers
        assert (makers.people, makers.machines, makers.unknown) == (100, 900, 0)
    assert (train["mixed10"] == train["machine10"])[~known].all()
    assert read.table[read.table["split"] != "train"][columns].isna().all(axis=None)
    for share in (5, 25):  # the study has them, too
        for column in ("people", "mixed"):
            read.table[f"{column}{share}"] = read.table[f"{column}10"]
    Manifest.of(read.table.drop(columns="row"), read.root).write(tmp_path / "digits" / "machine-0.csv")
    cells_are_sound("digits_machine", tmp_path / "digits", "machine-{seed}.csv")
    cells_are_sound("digits_machine_swap", tmp_path / "digits", "machine-{seed}.csv")


def test_busi_mentor(shared_data: Path, tmp_path: Path) -> None:
    """Three encoders per seed."""
    table = prepared(tmp_path / "busi", "busi-plain", str(shared_data / "busi_ultrasound"))
    assert table["split"].value_counts().loc[["train", "test"]].tolist() == [385, 189]
    recipe = quick_recipe("busi_mentor", tmp_path / "busi" / "manifest.csv", tmp_path / "net.yaml")
    made_by_machines("encoders", recipe, tmp_path / "encoders")
    encoders = {path.stem: path.read_bytes() for path in (tmp_path / "encoders" / "0").glob("*.safetensors")}
    assert sorted(encoders) == ["image", "maps", "shuffled"]
    assert len(set(encoders.values())) == 3


@pytest.mark.parametrize(
    ("name", "plain", "encoders"),
    [
        ("busi_mentor", {"ce": None}, "data/busi/encoders/3"),
        ("busi_mentor_imagenet", {"ce": "imagenet", "nothing": None}, "data/busi/imagenet/3"),
    ],
)
def test_arms_start_from_the_encoders(name: str, plain: dict[str, str | None], encoders: str, digits: Path) -> None:
    study = Study.read(FOLDER / f"{name}.yaml", [f"recipe.data.manifest={digits}"])
    weights = {cell.arm: cell.recipe.model.weights for cell in expand(study) if cell.seed == 3}
    assert weights == {
        **plain,
        "longer": plain["ce"],
        "mentor": f"{encoders}/maps.safetensors",
        "reconstruction": f"{encoders}/image.safetensors",
        "shuffled_maps": f"{encoders}/shuffled.safetensors",
    }
    net = MapsRecipe.read(FOLDER.parent / f"{name}.yaml", [f"data.manifest={digits}"])
    assert net.model.backbone == study.recipe["model"]["backbone"]
    assert net.model.weights == study.recipe["model"]["weights"]


@pytest.mark.parametrize(
    ("study", "data", "source", "net", "options"),
    [
        ("busi_machine", "busi", "busi_ultrasound", "busi_maps", []),
        ("cxr_machine", "cxr-fewshot", "cxr_pneumonia", "cxr_maps", ["--share", 1, "--label", "pneumonia"]),
    ],
)
def test_machines_on_real_sets(
    study: str, data: str, source: str, net: str, options: list[object], shared_data: Path, tmp_path: Path
) -> None:
    prepared(tmp_path / "set", data, str(shared_data / source))
    recipe = quick_recipe(net, tmp_path / "set" / "manifest.csv", tmp_path / "net.yaml")
    recipe.write_text(re.sub(r"image_size: \d+", "image_size: 32", recipe.read_text()))
    made_by_machines("maps", tmp_path / "set" / "manifest.csv", recipe, *options)
    cells_are_sound(study, tmp_path / "set", "machine-{seed}.csv")


def test_busi(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "busi", "busi", str(shared_data / "busi_ultrasound"))
    agrees = (table["label"] == table["shortcut"]).groupby(table["split"]).mean()
    assert agrees["train"] == pytest.approx(0.95, abs=0.03)
    assert agrees["test_reversed"] == agrees["val_reversed"] == 0
    assert table[table["split"] == "test_clean"]["shortcut"].isna().all()
    counts = table["split"].value_counts()
    assert counts[["test_iid", "test_random", "test_reversed", "test_clean"]].tolist() == [189] * 4
    cells_are_sound("busi", tmp_path / "busi")
    cells_are_sound("arena_busi", tmp_path / "busi")


def test_cxr_view(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "view", "cxr-view", str(shared_data / "cxr_pneumonia"))
    seen = table[table["split"].isin(["train", "val", "test_iid"])]
    assert (seen["label"].eq("pneumonia") == seen["view"].eq("AP")).all()
    target = table[table["split"] == "test_conflicting"]
    assert (target["label"].eq("pneumonia") == target["view"].eq("PA")).all()
    assert table[table["split"] == "train"]["saliency"].notna().sum() == 25
    cells_are_sound("cxr_view", tmp_path / "view")
    cells_are_sound("arena_cxr_view", tmp_path / "view")


def test_cxr_source(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "source", "cxr-source", str(shared_data / "cxr_pneumonia"))
    train = table[table["split"] == "train"]
    assert (train["label"].eq("pneumonia") == train["source"].ne("nih_chestxray14")).all()
    assert table[table["split"] == "test_iid"]["source"].unique().tolist() == ["nih_chestxray14"]
    foreign = train[train["label"] == "pneumonia"]["source"].iloc[0]
    roles = table[table["source"] == foreign].groupby("patient")["split"].nunique()
    assert roles.max() == 1, "a patient is in one split alone"
    cells_are_sound("cxr_source", tmp_path / "source")


def test_magnetic(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "magnetic", "magnetic", str(shared_data / "magnetic_tile"))
    exposure = table["exposure"].astype(int)
    assert exposure[table["split"].isin(["train", "val", "test_iid"])].min() >= 3
    assert exposure[table["split"].isin(["ood_dark_exposure", "val_dark"])].max() <= 2
    tiles = table.groupby("tile")["tile_split"].nunique()
    assert tiles.max() == 1
    cells_are_sound("magnetic", tmp_path / "magnetic")
    cells_are_sound("arena_magnetic", tmp_path / "magnetic")
