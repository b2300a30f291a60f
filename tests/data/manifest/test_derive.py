"""Rows of one manifest among those of another: which win, what stays, and that every path still leads to its file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.manifest.derive import with_new_maps, with_rows
from salign.data.reading.image import read_saliency
from salign.errors import SalignError


@pytest.fixture
def both(tmp_path):
    """An older manifest of three images with a column of maps of its own; a newer one of two of them, elsewhere."""
    for name in ("old/a.png", "old/b.png", "old/c.png", "old/net.png", "new/m.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), len(name), np.uint8)).save(tmp_path / name)
    (tmp_path / "old" / "manifest.csv").write_text(
        "id,path,label,split,saliency,site,net,net_provenance\n"
        "a,a.png,cat,train,net.png,x,net.png,model:n@1\nb,b.png,dog,val,,y,,\nc,c.png,dog,train,,z,net.png,\n"
    )
    (tmp_path / "new.csv").write_text(
        "id,path,label,split,saliency,saliency_Ann,provenance\n"
        "c,old/c.png,dog,train,new/m.png,new/m.png,human:Ann\na,old/a.png,cat,train,,,\n"
    )
    return Manifest.read(tmp_path / "old" / "manifest.csv"), Manifest.read(tmp_path / "new.csv")


def test_newer_rows_win_and_the_others_stay(both, tmp_path):
    whole = with_rows(*both, tmp_path / "whole.csv")
    assert whole.root == tmp_path.resolve()
    read = Manifest.read(tmp_path / "whole.csv")  # every path is looked for
    assert read.table.drop(columns="row").fillna("").to_dict("list") == {
        "id": ["a", "b", "c"],
        "path": ["old/a.png", "old/b.png", "old/c.png"],
        "label": ["cat", "dog", "dog"],
        "split": ["train", "val", "train"],
        "saliency": ["", "", "new/m.png"],
        "site": ["x", "y", "z"],
        "net": ["old/net.png", "", "old/net.png"],
        "net_provenance": ["model:n@1", "", ""],
        "saliency_Ann": ["", "", "new/m.png"],
        "provenance": ["", "", "human:Ann"],
    }
    assert read.with_maps("net").machine_made.tolist() == [True, False, False]


def test_rows_of_elsewhere_are_refused(both, tmp_path):
    old, new = both
    with pytest.raises(SalignError, match=r"manifest\.csv|new\.csv: 1 images are not in"):
        with_rows(new, old, tmp_path / "whole.csv")
    assert not (tmp_path / "whole.csv").exists()


def test_new_maps_never_lie_where_the_old_ones_do(both, tmp_path):
    """The maps of `new.csv` go into `new`, where a map of the manifest is; those of `ne.csv` into `ne`."""
    _, manifest = both
    grey = lambda i: torch.full((8, 8), 0.5)  # noqa: E731
    before = (tmp_path / "new" / "m.png").read_bytes()
    for overwrite in (False, True):
        with pytest.raises(SalignError, match="would replace those they are made of"):
            with_new_maps(manifest, tmp_path / "new.parquet", grey, overwrite=overwrite)
    assert (tmp_path / "new" / "m.png").read_bytes() == before
    made = with_new_maps(manifest, tmp_path / "ne.csv", grey)  # the folder's name begins like that of the old maps
    assert made.table["saliency"].tolist() == ["ne/c.png", "ne/a.png"]
    assert [float(read_saliency(made.saliency_path(i)).mean()) for i in (0, 1)] == pytest.approx([0.5, 0.5], abs=1e-4)
    assert (tmp_path / "new" / "m.png").read_bytes() == before


def test_maps_and_manifest_stay_if_the_new_ones_cannot_be_written(both, tmp_path, monkeypatch):
    _, manifest = both
    with_new_maps(manifest, tmp_path / "ne.csv", lambda i: torch.full((8, 8), 0.5))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(manifest, path):
        raise OSError("no space")

    monkeypatch.setattr(Manifest, "write", full)
    with pytest.raises(OSError, match="no space"):
        with_new_maps(manifest, tmp_path / "ne.csv", lambda i: torch.ones(8, 8), overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_manifest_below_its_root_is_not_replaced_by_its_own_maps(both, tmp_path):
    """Where a root is recorded, the manifest does not lie there; it is known by the file that was read."""
    old, _ = both
    below = tmp_path / "old" / "below" / "manifest.csv"
    old.write(below)
    before = below.read_bytes()
    manifest = Manifest.read(below)
    assert manifest.root == tmp_path / "old"
    grey = lambda i: torch.full((8, 8), 0.5)  # noqa: E731
    with pytest.raises(SalignError, match="would replace those they are made of"):
        with_new_maps(manifest, below, grey, overwrite=True)
    assert below.read_bytes() == before
    assert [path.name for path in below.parent.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_marks_of_other_maps_are_never_taken_for_those_of_new_ones(both, tmp_path, overwrite):
    """They are what people drew, so that they are not deleted either."""
    _, manifest = both
    shapes = tmp_path / "marks-shapes.json"
    shapes.write_text("{}")
    grey = lambda i: torch.full((8, 8), 0.5)  # noqa: E731
    with pytest.raises(SalignError, match=r"marks-shapes\.json has the marks behind other maps, .* of marks\.csv"):
        with_new_maps(manifest, tmp_path / "marks.csv", grey, overwrite=overwrite)
    assert shapes.read_text() == "{}"
    assert not (tmp_path / "marks.csv").exists()
    assert len(with_new_maps(manifest, tmp_path / "fine.csv", grey)) == 2


def test_new_maps_of_other_makers_have_no_confidence_of_the_old_ones(both, tmp_path):
    _, manifest = both
    manifest = Manifest.of(manifest.table.assign(confidence="0.9"), manifest.root, manifest.source)
    grey = lambda i: torch.full((8, 8), 0.5)  # noqa: E731
    combined = with_new_maps(manifest, tmp_path / "combined.csv", grey, lambda i: "human:ann+ben")
    assert combined.table["provenance"].tolist() == ["human:ann+ben"] * 2
    assert "confidence" not in combined.table
    coarser = with_new_maps(manifest, tmp_path / "coarser.csv", grey)
    assert coarser.table["confidence"].tolist() == ["0.9", "0.9"]
