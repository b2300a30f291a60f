"""A table under other names becomes a manifest; nothing in it is lost."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from salign.data.manifest import Manifest, ManifestError
from salign.data.manifest.sources import SOURCES, from_csv
from salign.errors import SalignError


@pytest.fixture
def table(tmp_path):
    for name in ("a.png", "b.png", "m.png"):
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "index.csv").write_text("split,class,path,mask,group\ntrain,x,a.png,m.png,7\ntest,y,b.png,,8\n")
    return tmp_path / "index.csv"


NAMES = {"label": "class", "saliency": "mask"}


def test_columns_are_renamed_and_the_others_stay(table):
    manifest = SOURCES["csv"](table, columns=NAMES)
    assert list(manifest.table.columns) == ["id", "path", "label", "split", "saliency", "group", "row"]
    assert manifest.table["id"].tolist() == ["a.png", "b.png"]
    assert manifest.table["label"].tolist() == ["x", "y"]
    assert manifest.saliency_path(0) == table.parent / "m.png"
    assert manifest.saliency_path(1) is None
    again = Manifest.read(manifest.write(table.parent / "manifest.csv"))
    assert again.table["group"].tolist() == ["7", "8"]


def test_one_column_may_serve_twice_and_an_old_name_gives_way(table):
    manifest = from_csv(table, columns={"id": "group", "label": "split", "split": "class"})
    assert manifest.table["id"].tolist() == ["7", "8"]
    assert manifest.table["label"].tolist() == ["train", "test"]
    assert manifest.table["split"].tolist() == ["x", "y"]
    both = from_csv(table, columns={"id": "class", "label": "class"})
    assert both.table["id"].tolist() == both.table["label"].tolist() == ["x", "y"]


def test_the_split_may_be_named(table):
    assert from_csv(table, columns=NAMES, split="all").splits == ("all",)


def test_without_a_map_column_nobody_looked(table):
    assert from_csv(table, columns={"label": "class"}).table["saliency"].isna().all()


def test_unknown_columns_name_those_there(table):
    with pytest.raises(SalignError, match="no column klass; it has split, class, path"):
        from_csv(table, columns={"label": "klass"})
    with pytest.raises(SalignError, match="there is no mask"):
        from_csv(table, columns={"mask": "mask"})


def test_faults_have_the_rows_of_the_file_read(table):
    table.write_text(table.read_text() + "test,y,gone.png,,9\n")
    with pytest.raises(ManifestError, match=r"row 4, path: .*gone\.png"):
        from_csv(table, columns=NAMES)


def test_a_root_elsewhere(table, tmp_path_factory):
    moved = tmp_path_factory.mktemp("lists") / "index.csv"
    moved.write_text(table.read_text())
    manifest = from_csv(moved, table.parent, columns=NAMES)
    assert manifest.image_path(0) == table.parent / "a.png"


def test_real_sets(shared_data):
    manifest = from_csv(shared_data / "cxr_pneumonia" / "index.csv", columns=NAMES)
    counts = manifest.coverage().set_index(["split", "label"])
    assert counts.loc[("ood_positive_covidcxr", "pneumonia"), "with_map"] == 95
    assert counts["images"].sum() == 1143


@pytest.fixture
def several(table):
    lines = ["path,split,nodule,fluid", "a.png,train,1,yes", "b.png,train,0.0,True", "m.png,test,,No"]
    table.write_text("\n".join(lines) + "\n")
    return table


def test_a_column_per_label_becomes_names_in_one_cell(several):
    manifest = from_csv(several, labels=["nodule", "fluid"])
    assert manifest.table["label"].fillna("").tolist() == ["fluid;nodule", "fluid", ""]
    assert list(manifest.table.columns) == ["id", "path", "label", "split", "saliency", "row"]
    assert manifest.classes == ("fluid", "nodule")
    written = manifest.write(several.parent / "manifest.csv")
    assert Manifest.read(written, multi_label=True).table["label"].equals(manifest.table["label"])


def test_what_says_neither_yes_nor_no_is_a_fault_with_its_row(several):
    several.write_text(several.read_text().replace("0.0,True", "-1.0,maybe"))
    with pytest.raises(ManifestError) as raised:
        from_csv(several, labels=["nodule", "fluid"])
    assert [(fault.row, fault.column) for fault in raised.value.faults] == [(3, "nodule"), (3, "fluid")]
    assert "expected 1, or 0 or an empty cell, got '-1.0'" in str(raised.value)


def test_names_joined_by_something_else(table):
    table.write_text("path,split,label\na.png,train,x | w\nb.png,train,Nothing here\nm.png,test,w\n")
    manifest = from_csv(table, separator="|", none="Nothing here")
    assert manifest.table["label"].fillna("").tolist() == ["w;x", "", "w"]
    assert from_csv(table, separator="|").classes == ("Nothing here", "w", "x")
    table.write_text("path,split,label\na.png,train,x|x\n")
    with pytest.raises(ManifestError, match=r"row 2, label: 'x;x' has a name twice"):
        from_csv(table, separator="|")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"labels": ["nodule"], "separator": "|"}, "give one of the two"),
        ({"labels": ["nodule"], "columns": {"label": "fluid"}}, "give one of the two"),
        ({"none": "No Finding"}, "goes with what joins several"),
        ({"labels": ["lump"]}, "no column lump; it has path, split, nodule, fluid"),
        ({"columns": {"label": "fluid"}, "separator": "|"}, "'a;b' has a ';'"),
    ],
)
def test_labels_told_in_two_ways_or_none(several, given, said):
    several.write_text(several.read_text().replace("yes", "a;b"))
    with pytest.raises(SalignError, match=said):
        from_csv(several, **given)


def test_findings_of_real_radiographs(shared_data):
    source = shared_data / "cxr_pneumonia" / "index.csv"
    manifest = from_csv(source, columns={"label": "labels", "saliency": "mask"}, separator="|", none="No Finding")
    counts = manifest.coverage().groupby("label")["images"].sum()
    assert counts["Infiltration"] == 187
    assert counts["(none)"] == 500
