"""The studies in recipes/studies: their sets can be prepared, and every cell of theirs is a sound recipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from salign.data.manifest import Manifest
from salign.experiment.study import Study, expand
from salign.train.prepare import prepare

FOLDER = Path(__file__).parents[1] / "recipes" / "studies"
pytestmark = pytest.mark.slow


def prepared(out: Path, *arguments: str) -> pd.DataFrame:
    subprocess.run([sys.executable, FOLDER / "prepare.py", *arguments, out], check=True, capture_output=True)
    return Manifest.read(out / "manifest.csv").table


def cells_are_sound(name: str, folder: Path, manifest: str = "manifest.csv") -> None:
    """Every arm, at its first seed, finds its images and maps."""
    study = Study.read(FOLDER / f"{name}.yaml", [f"recipe.data.manifest={folder / manifest}"])
    cells = expand(study)
    assert len({cell.place for cell in cells}) == len(cells) >= 9
    for cell in cells:
        if cell.seed == 0:
            assert len(prepare(cell.recipe.data).train) > 100
    assert {study.target, study.reference} <= set(study.recipe["data"]["test"])
    chosen_on = {split for split in study.recipe["data"]["test"] if split.startswith("val")}
    assert not chosen_on, "what settings were chosen on is not reported as a test"


def test_digits(tmp_path: Path) -> None:
    table = prepared(tmp_path / "digits", "digits")
    agrees = (table["label"] == table["decoy"]).groupby(table["split"]).mean()
    assert agrees[["train", "val", "test_iid"]].tolist() == [1, 1, 1]
    assert agrees[["val_ood", "test_ood"]].max() < 0.2
    cells_are_sound("digits", tmp_path / "digits")


def test_digits_machine(tmp_path: Path) -> None:
    prepared(tmp_path / "digits", "digits")
    recipe = tmp_path / "maps.yaml"
    text = (FOLDER.parent / "digits_maps.yaml").read_text().replace("epochs: 30", "epochs: 1")
    recipe.write_text(text.replace("data/digits/manifest.csv", str(tmp_path / "digits" / "manifest.csv")))
    command = [sys.executable, FOLDER / "prepare.py", "machine", tmp_path / "digits" / "manifest.csv", recipe]
    subprocess.run(command, check=True, capture_output=True)
    table = Manifest.read(tmp_path / "digits" / "machine.csv").table
    train = table[table["split"] == "train"]
    assert train[["people", "machine", "mixed"]].notna().sum().tolist() == [100, 1000, 1000]
    known = train["people"].notna()
    assert (train["mixed"] == train["people"].where(known, train["machine"])).all()
    assert (train["people"] == train["saliency"])[known].all()
    assert table[table["split"] != "train"][["people", "machine", "mixed"]].isna().all(axis=None)
    cells_are_sound("digits_machine", tmp_path / "digits", "machine.csv")


def test_busi(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "busi", "busi", str(shared_data / "busi_ultrasound"))
    agrees = (table["label"] == table["shortcut"]).groupby(table["split"]).mean()
    assert agrees["train"] == pytest.approx(0.95, abs=0.03)
    assert agrees["test_reversed"] == agrees["val_reversed"] == 0
    assert table[table["split"] == "test_clean"]["shortcut"].isna().all()
    counts = table["split"].value_counts()
    assert counts[["test_iid", "test_random", "test_reversed", "test_clean"]].tolist() == [189] * 4
    cells_are_sound("busi", tmp_path / "busi")


def test_cxr_view(shared_data: Path, tmp_path: Path) -> None:
    table = prepared(tmp_path / "view", "cxr-view", str(shared_data / "cxr_pneumonia"))
    seen = table[table["split"].isin(["train", "val", "test_iid"])]
    assert (seen["label"].eq("pneumonia") == seen["view"].eq("AP")).all()
    target = table[table["split"] == "test_conflicting"]
    assert (target["label"].eq("pneumonia") == target["view"].eq("PA")).all()
    assert table[table["split"] == "train"]["saliency"].notna().sum() == 25
    cells_are_sound("cxr_view", tmp_path / "view")


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
