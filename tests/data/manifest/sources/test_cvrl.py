"""The layout of CVRL's public code: headerless lines, paths appended to a folder, heat maps of equal file names."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.sources import SOURCES, from_cvrl
from salign.errors import SalignError

REAL, FAKE = "/train/original_data/0_real/p1_1.png", "/train/original_data/1_fake/p1_2.png"


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(path)


@pytest.fixture
def data(tmp_path):
    for name in (REAL, FAKE, "/test/0_real/p1_1.png"):
        put(tmp_path / "Data" / name.lstrip("/"))
    put(tmp_path / "heatmaps" / "p1_1.png")
    lines = [f"train,Real,{REAL}", f"train,Synthetic,{FAKE}", "test,Real,/test/0_real/p1_1.png"]
    (tmp_path / "original.csv").write_text("\n".join(lines))
    return tmp_path


def test_the_published_layout_is_read(data):
    manifest = SOURCES["cvrl"](data / "original.csv", data / "Data", data / "heatmaps")
    table = manifest.table
    assert manifest.root == data
    assert table["path"].tolist() == [f"Data{REAL}", f"Data{FAKE}", "Data/test/0_real/p1_1.png"]
    assert table["label"].tolist() == ["Real", "Synthetic", "Real"]
    assert table["split"].tolist() == ["train", "train", "val"]
    assert table["saliency"].fillna("").tolist() == ["heatmaps/p1_1.png", "", ""]  # a test image of that name has none
    assert table["id"][0] == REAL.lstrip("/")
    assert len(Manifest.read(manifest.write(data / "manifest.csv"))) == 3


def test_splits_may_keep_their_names_and_maps_be_absent(data):
    manifest = from_cvrl(data / "original.csv", data / "Data", splits={})
    assert manifest.splits == ("test", "train")
    assert manifest.root == data / "Data"
    assert manifest.table["saliency"].isna().all()


def test_a_map_may_be_the_fourth_cell(data):
    put(data / "Data/maps/one.png")
    (data / "four.csv").write_text(f"train,Real,{REAL},maps/one.png\ntest,Real,{FAKE},\n")
    manifest = from_cvrl(data / "four.csv", data / "Data")
    assert manifest.table["saliency"].fillna("").tolist() == ["maps/one.png", ""]


def test_two_training_images_of_one_map_are_refused(data):
    put(data / "Data/other/p1_1.png")
    (data / "original.csv").write_text(f"train,Real,{REAL}\n\ntrain,Real,/other/p1_1.png\n")
    with pytest.raises(SalignError, match=r"rows 1 and 3 are both called p1_1\.png"):
        from_cvrl(data / "original.csv", data / "Data", data / "heatmaps")


def test_faults_have_their_lines(data):
    with (data / "original.csv").open("a") as stream:
        stream.write("\ntrain,Real,/gone.png\n")
    with pytest.raises(ManifestError, match=r"row 4, path: .*gone\.png"):
        from_cvrl(data / "original.csv", data / "Data")
    with (data / "original.csv").open("a") as stream:
        stream.write("train;Real;/x.png\n")
    with pytest.raises(ManifestError, match="row 5, line: expected split,Class,path"):
        from_cvrl(data / "original.csv", data / "Data")


def test_a_path_cannot_leave_the_folder(data):
    put(data.parent / "outside.png")
    (data / "original.csv").write_text("train,Real,../../outside.png\n")
    with pytest.raises(ManifestError, match="leaves the root"):
        from_cvrl(data / "original.csv", data / "Data")


def test_the_wrong_folder_of_maps_is_noticed(data):
    with pytest.raises(SalignError, match="is it the right folder"):
        from_cvrl(data / "original.csv", data / "Data", data / "Data" / "test")
    with pytest.raises(SalignError, match="no such folder"):
        from_cvrl(data / "original.csv", data / "Data", data / "gone")
    (data / "empty.csv").write_text("\n")
    with pytest.raises(ManifestError, match="no line"):
        from_cvrl(data / "empty.csv", data / "Data")
