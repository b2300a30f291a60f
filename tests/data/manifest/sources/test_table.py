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


# ---- tables: findings, and manifests


FINDINGS = {"columns": {"path": "Image Index", "label": "Finding Labels"}, "separator": "|", "none": "No Finding"}
HEAD = "Image Index,Finding Labels,split\n"

LABELS = {
    "L1 findings joined by a bar, and none": (
        f"{HEAD}a.png,Mass|Effusion,train\nb.png,No Finding,train\n", FINDINGS, ["Effusion;Mass", ""],
    ),
    "L2 ones and zeros with a point, and an empty cell": (
        "path,split,Edema,Mass\na.png,train,1.0,0.0\nb.png,train,,1\n",
        {"labels": ["Edema", "Mass"]}, ["Edema", "Mass"],
    ),
    "L3 true and false in any letters": (
        "path,split,E\na.png,train,True\nb.png,train,FALSE\n", {"labels": ["E"]}, ["E", ""],
    ),
    "L4 classes that are numbers": ("path,label,split\na.png,0,train\nb.png,1,train\n", {}, ["0", "1"]),
    "L5 words that pandas takes for nothing": (
        "path,label,split\na.png,NA,train\nb.png,None,train\n", {}, ["NA", "None"],
    ),
    "L6 an index without a name in front": (
        ",path,label,split\n0,a.png,x,train\n1,b.png,y,train\n", {}, ["x", "y"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_tables(name, beside_letters):
    text, options, expected = LABELS[name]
    assert from_csv(beside_letters(text), **options).table["label"].fillna("").tolist() == expected


LABEL_FAULTS = {
    "L7 a finding and none in one cell": (
        f"{HEAD}a.png,Mass|No Finding,train\n", FINDINGS,
        "row 2, label: 'Mass|No Finding' names a label, and says 'No Finding', that there is none: which is it?",
    ),
    "L8 uncertain": (
        "path,split,Edema\na.png,train,-1.0\n", {"labels": ["Edema"]},
        "row 2, Edema: expected 1, or 0 or an empty cell, got '-1.0'; write which it is",
    ),
    "L9 a finding twice in one cell": (f"{HEAD}a.png,Mass|Mass,train\n", FINDINGS, "label: 'Mass;Mass' has a name"),
    "L10 a bar too many": (f"{HEAD}a.png,Mass|,train\n", FINDINGS, "row 2, label: 'Mass;' has an empty name"),
    "L11 names without the ending of the files": (
        "path,label,split\na,x,train\n", {}, "row 2, path: no such file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LABEL_FAULTS)
def test_labels_of_tables_that_say_nothing_or_two_things(name, beside_letters):
    text, options, message = LABEL_FAULTS[name]
    with pytest.raises(SalignError) as caught:
        from_csv(beside_letters(text), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "asked"),
    [
        (("1", "1.0", "2"), ["label: '1' (1) and '1.0' (1)"]),  # M21: Excel
        (("007", "7", "70"), ["label: '007' (1) and '7' (1)"]),  # M22
        (("x\u200b", "x", "y"), ["label: 'x' (1) and 'x\\u200b' (1)"]),  # M23: what nobody sees
        (("1", "2", "10"), []),
        (("1a", "1 a", "a1"), ["label: '1 a' (1) and '1a' (1)"]),
    ],
)
def test_names_that_may_be_one_are_asked_about(labels, asked, beside_letters):
    rows = "".join(f"{k},{'abc'[k]}.png,{label},train\n" for k, label in enumerate(labels))
    questions = Manifest.read(beside_letters(f"id,path,label,split\n{rows}")).questions()
    assert [question.split(" differ by")[0] for question in questions] == asked
