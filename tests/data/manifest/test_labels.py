"""Cells with several labels, or none."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from command import salign
from salign.data.controls import keep_maps, shuffled, subset
from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.labels import keep_classes, multi_hot, name_sets, sort_names, wrong_cells
from salign.data.manifest.text_table import TEXT
from salign.data.reading.datamodule import class_balance
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.data.shortcuts.plant import plant_shortcut
from salign.errors import SalignError

CELLS = ["b;a", "", "c", "a;b", "b"]


def cells(*texts: str | None) -> pd.Series:
    return pd.Series([text or pd.NA for text in texts], dtype=TEXT)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Five images of different grey, the first three with a map."""
    rows = []
    for k, label in enumerate(CELLS):
        Image.new("RGB", (8, 8), (50 * k, 50 * k, 50 * k)).save(tmp_path / f"{k}.png")
        Image.linear_gradient("L").resize((8, 8)).save(tmp_path / f"map{k}.png")
        rows.append((str(k), f"{k}.png", label, "train", f"map{k}.png" if k < 3 else ""))
    path = tmp_path / "manifest.csv"
    pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"]).to_csv(path, index=False)
    return path


def test_the_order_of_names_means_nothing() -> None:
    assert sort_names(cells("b;a", "a;b", None, "c")).tolist() == ["a;b", "a;b", pd.NA, "c"]
    assert name_sets(cells("b;a", None)).tolist() == ["a;b", "(none)"]
    assert sort_names(cells(None)).tolist() == [pd.NA]
    assert keep_classes(cells("a;b", "c", None), ["b", "a"]).tolist() == ["a;b", pd.NA, pd.NA]


def test_every_wrong_cell_is_named() -> None:
    found = dict(wrong_cells(cells("a;b", "a;;b", None, "a; b", "a;b;a", ";", "a;b")))
    assert sorted(found) == [1, 3, 4, 5]
    assert "'a;;b' has an empty name" in found[1]
    assert found[3] == "'a; b' has spaces around a name; write 'a;b'"
    assert found[4] == "'a;b;a' has a name twice; write 'a;b'"


def test_multi_hot_says_which_names_are_strange() -> None:
    found, strange = multi_hot(cells("b;a", None, "d;a"), ["a", "b", "c"])
    assert found.tolist() == [[True, True, False], [False] * 3, [True, False, False]]
    assert strange == [(2, "d")]


def test_a_manifest_counts_each_name(manifest: Path) -> None:
    read = Manifest.read(manifest, multi_label=True)
    assert read.classes == ("a", "b", "c")
    assert read.take([3, 1]).multi_label
    assert read.coverage()[["label", "images", "with_map"]].to_numpy().tolist() == [
        ["(none)", 1, 1],
        ["a", 2, 1],
        ["b", 3, 1],
        ["c", 1, 1],
    ]
    chosen = read.select(classes=["c", "a"])
    assert chosen.table["label"].tolist() == ["a", pd.NA, "c", "a", pd.NA]
    with pytest.raises(SalignError, match="no row has label 'a;b'"):
        read.select(classes=["a;b"])
    with pytest.raises(ManifestError, match=r"row 3, label: the cell is empty\n.*data\.multi_label: true"):
        Manifest.read(manifest)
    table = pd.read_csv(manifest, dtype=str).assign(label=["a;a", "b;", "a", "a", "b"])
    table.to_csv(manifest, index=False)
    with pytest.raises(ManifestError) as caught:
        Manifest.read(manifest, multi_label=True)
    assert [fault.row for fault in caught.value.faults] == [2, 3]


def test_a_dataset_gives_zeros_and_ones(manifest: Path) -> None:
    read = Manifest.read(manifest, multi_label=True)
    dataset = SaliencyDataset(read, ["c", "a", "b"], build_transform(8))
    dataset.partners = 1.0
    assert dataset.labels.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert dataset.labels.dtype == dataset[0].labels.dtype == torch.float32
    assert torch.equal(dataset.take([3, 2])[1].labels, dataset.labels[2])
    # the partner is the only other image of a and b, which is lighter
    assert dataset[0, 5].images.max() == 0
    assert dataset[0, 5].partner.max() == pytest.approx(150 / 255)
    for lender, lightness in (("other_class", {50, 100, 200}), ("any", {50, 100, 150, 200})):
        dataset.lender = lender
        assert {round(255 * float(dataset[0, seed].partner.max())) for seed in range(40)} == lightness
    dataset.lender = "same_class"
    with pytest.raises(ManifestError, match="row 4, label: unknown class 'c'"):
        SaliencyDataset(read, ["a", "b"], build_transform(8))


def test_subsets_are_drawn_from_all_alike(manifest: Path) -> None:
    read = Manifest.read(manifest, multi_label=True)
    chosen = {tuple(subset(read, 2, seed).table["id"]) for seed in range(60)}
    assert len(chosen) == 10  # every pair of five
    kept_maps = {tuple(keep_maps(read, 0.34, seed).table["saliency"].notna()) for seed in range(30)}
    assert len(kept_maps) == 3
    assert shuffled(read, 0).multi_label
    with pytest.raises(SalignError, match=r"these may have several.*class_weights: balanced"):
        class_balance(torch.zeros(4, 2))


def test_check_counts_sets_of_labels(manifest: Path) -> None:
    assert "the cell is empty" in salign("data", "check", manifest, code=1).out
    said = salign("data", "check", manifest, "--multi-label").out
    assert "(none)" in said
    assert "a;b" in said
    assert "b;a" not in said


def test_a_shortcut_names_one_class(manifest: Path, tmp_path: Path) -> None:
    table = pd.read_csv(manifest, dtype=str).fillna({"label": "c"})
    table.to_csv(manifest, index=False)
    with pytest.raises(SalignError, match=r"'a;b' in manifest\.csv joins several"):
        plant_shortcut(Manifest.read(manifest), tmp_path / "out", kind="patch", correlation={"train": 1.0}, seed=0)
