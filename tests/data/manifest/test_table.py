from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from salign.data.manifest import COLUMNS, Fault, Manifest, ManifestError, faults as manifest_checks, map_columns
from salign.data.manifest.root import record_root, root_option
from salign.errors import SalignError

HEADER = "id,path,label,split,saliency,group\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abcd":
        Image.new("RGB", (4, 4)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def written(folder, body, header=HEADER):
    path = folder / "manifest.csv"
    path.write_text(header + body, encoding="utf-8")
    return path


GOOD = (
    "1,images/a.png,cat,train,images/d.png,g1\n"
    "2,images/b.png,dog,train,,g1\n"
    "3,images/c.png,cat,test,,NA\n"
    "4,images/d.png,dog,test,images/a.png,\n"
)


def faults(path, root=None):
    with pytest.raises(ManifestError) as caught:
        Manifest.read(path, root)
    return [(fault.row, fault.column, fault.message) for fault in caught.value.faults], str(caught.value)


def test_a_good_manifest_is_read_as_text(folder):
    manifest = Manifest.read(written(folder, GOOD))
    assert len(manifest) == 4
    assert manifest.classes == ("cat", "dog")
    assert manifest.splits == ("test", "train")
    assert manifest.image_path(1) == folder.resolve() / "images" / "b.png"
    assert manifest.saliency_path(1) is None
    assert manifest.saliency_path(3) == folder.resolve() / "images" / "a.png"
    assert manifest.where(2) == "manifest.csv row 4 (images/c.png)"
    assert manifest.table["id"].tolist() == ["1", "2", "3", "4"]
    assert manifest.table["group"].tolist() == ["g1", "g1", "NA", pd.NA]  # the text NA is no missing cell
    assert manifest.coverage().to_dict("records") == [
        {"split": "test", "label": "cat", "images": 1, "with_map": 0, "share": 0.0},
        {"split": "test", "label": "dog", "images": 1, "with_map": 1, "share": 1.0},
        {"split": "train", "label": "cat", "images": 1, "with_map": 1, "share": 1.0},
        {"split": "train", "label": "dog", "images": 1, "with_map": 0, "share": 0.0},
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_writing_and_reading_again_changes_nothing(folder, suffix):
    manifest = Manifest.read(written(folder, GOOD))
    again = Manifest.read(manifest.write(folder / f"copy{suffix}"))
    pd.testing.assert_frame_equal(again.table, manifest.table)
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


def test_a_cell_with_a_carriage_return_is_read_again(folder):
    manifest = Manifest.read(written(folder, GOOD))
    cells = ["one\rtwo", *["\r"] * (len(manifest) - 1)]
    again = Manifest.of(manifest.table.assign(free=cells), manifest.root).write(folder / "returns.csv")
    assert Manifest.read(again).table["free"].tolist() == cells


def test_a_failed_write_leaves_the_old_file(folder):
    manifest = Manifest.read(written(folder, GOOD))
    (folder / "blocked.csv").mkdir()
    with pytest.raises(SalignError, match=r"blocked\.csv"):
        manifest.write(folder / "blocked.csv")
    with pytest.raises(SalignError, match="nothing was changed"):
        manifest.write(folder / "manifest.csv" / "below.csv")
    assert (folder / "manifest.csv").read_text() == HEADER + GOOD
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


def test_everything_wrong_is_reported_at_once_with_its_line(folder):
    (folder / "elsewhere.png").symlink_to("/etc/hostname")
    body = (
        '1,images/a.png,cat,train,,"a note\nof two lines"\n'  # lines 2 and 3
        "\n"  # 4, ignored
        "1,images/b.png,cat,train,,\n"  # 5: duplicate id
        "3,images/missing.png,cat,train,gone.png,\n"  # 6: two missing files
        "4,images/a.png,,train,,\n"  # 7: no label
        "5,../x.png,cat,train,/etc/passwd,\n"  # 8
        "6,images/a.png,cat\n"  # 9: cells
        "7,elsewhere.png,cat,train,images,\n"  # 10: link outside, a folder
        "8,images/../../up.png,cat,,,\n"  # 11
    )
    found, text = faults(written(folder, body))
    assert sorted((row, column) for row, column, _ in found) == [
        (5, "id"),
        (6, "path"),
        (6, "saliency"),
        (7, "label"),
        (8, "path"),
        (8, "saliency"),
        (9, "line"),
        (10, "path"),
        (10, "saliency"),
        (11, "path"),
        (11, "split"),
    ]
    messages = {(row, column): message for row, column, message in found}
    assert "row 2" in messages[5, "id"]
    assert "leaves the root" in messages[8, "path"]
    assert "absolute" in messages[8, "saliency"]
    assert "3 cells, the header 6" in messages[9, "line"]
    assert "link that leaves the root" in messages[10, "path"]
    assert "not a file" in messages[10, "saliency"]
    assert "leaves the root" in messages[11, "path"]
    assert "11 faults" in text
    assert "row 6, path: no such file" in text
    assert str(folder) in text


def test_a_folder_beside_the_root_whose_name_begins_alike_is_outside(folder):
    beside = folder.with_name(f"{folder.name}2")
    beside.mkdir()
    (beside / "a.png").write_bytes((folder / "images" / "a.png").read_bytes())
    (folder / "link.png").symlink_to(beside / "a.png")
    body = f"1,../{beside.name}/a.png,cat,train,,\n2,link.png,cat,train,,\n"
    found, _ = faults(written(folder, body))
    assert [(row, column, "leaves the root" in message) for row, column, message in found] == [
        (2, "path", True),
        (3, "path", True),
    ]


def test_links_inside_of_the_root_are_followed(folder):
    (folder / "linked").symlink_to(folder / "images")
    (folder / "e.png").symlink_to(folder / "images" / "a.png")
    manifest = Manifest.read(written(folder, "1,linked/a.png,cat,train,e.png,\n"))
    assert manifest.image_path(0).is_file()


def test_a_root_elsewhere_is_used(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    path = written(other, GOOD)
    assert Manifest.read(path, folder).image_path(0).is_file()
    assert len(faults(path)[0]) == 6  # four images and two maps are not beside the manifest


def test_only_the_first_fifty_faults_are_shown_and_all_are_kept():
    error = ManifestError.of([Fault(row, "path", "gone") for row in range(80, 1, -1)], "m.csv")
    lines = str(error).splitlines()
    assert lines[0] == "m.csv: 79 faults"
    assert lines[1] == "  row 2, path: gone"
    assert lines[-1] == "  and 29 more"
    assert len(lines) == 52
    assert len(error.faults) == 79
    assert pickle.loads(pickle.dumps(error)).faults == error.faults
    assert ManifestError("as a worker process re-raises it").faults == ()


@pytest.mark.parametrize(
    ("header", "body", "complaint"),
    [
        ("id,path,label\n", "1,images/a.png,cat\n", "split: the column is missing"),
        (HEADER, "", "no row"),
        ("", "", "is empty"),
        ("id,path,label,split,saliency,row\n", "1,images/a.png,c,t,,3\n", "reserved"),
        ("id,path,label,split,saliency,id\n", "1,images/a.png,c,t,,3\n", "'id' occur twice"),
        (HEADER, '1,"images/a.png,cat,train,,\n', r"manifest\.csv"),
        (HEADER, "1,images/\0.png,cat,train,,\n", r"manifest\.csv"),
    ],
)
def test_a_broken_table_is_named(folder, header, body, complaint):
    with pytest.raises(SalignError, match=complaint):
        Manifest.read(written(folder, body, header))


def test_files_of_another_kind_are_refused(folder):
    with pytest.raises(SalignError, match=r"no manifest at .*gone\.csv"):
        Manifest.read(folder / "gone.csv")
    (folder / "m.xlsx").write_text("x")
    with pytest.raises(SalignError, match=r"\.csv or \.parquet"):
        Manifest.read(folder / "m.xlsx")
    (folder / "m.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(SalignError, match=r"m\.parquet cannot be read"):
        Manifest.read(folder / "m.parquet")
    (folder / "latin.csv").write_bytes(HEADER.encode() + "1,images/a.png,kätzchen,train,,\n".encode("latin-1"))
    with pytest.raises(SalignError, match=r"latin\.csv cannot be read"):
        Manifest.read(folder / "latin.csv")


def test_a_byte_order_mark_and_a_missing_last_newline_do_no_harm(folder):
    path = written(folder, GOOD.rstrip("\n"), "\ufeff" + HEADER)
    assert len(Manifest.read(path)) == 4


def test_parquet_numbers_become_text_and_rows_count_from_two(folder):
    table = pd.DataFrame({"id": [1, 1], "path": ["images/a.png"] * 2, "label": [0, 1], "split": "train"})
    table.assign(saliency=pd.Series([None, ""], dtype="string")).to_parquet(folder / "m.parquet")
    found, _ = faults(folder / "m.parquet")
    assert [(row, column) for row, column, _ in found] == [(3, "id"), (3, "label")]


def test_select_by_split_and_class(folder):
    manifest = Manifest.read(written(folder, GOOD))
    test = manifest.select(["test"], ["dog"])
    assert test.table["id"].tolist() == ["4"]
    assert test.where(0) == "manifest.csv row 5 (images/d.png)"  # still the row of the file
    assert manifest.take([3, 0]).table["id"].tolist() == ["4", "1"]
    with pytest.raises(SalignError, match="split 'val'; there are test, train"):
        manifest.select(["val"])
    with pytest.raises(SalignError, match="label 'bird'; there are cat, dog"):
        manifest.select(classes=["bird"])
    with pytest.raises(SalignError, match=r"nothing is left for splits \[test\] and classes \[cat\].*test/dog 1"):
        manifest.take([0, 1, 3]).select(["test"], ["cat"])


def test_maps_can_be_taken_from_another_column(folder):
    body = "1,images/a.png,cat,train,images/d.png,images/c.png\n2,images/b.png,dog,train,images/d.png,\n"
    manifest = Manifest.read(written(folder, body, HEADER.replace("group", "mask_lung")))
    masks = manifest.with_maps("mask_lung")
    assert masks.saliency_path(0) == folder.resolve() / "images" / "c.png"
    assert masks.saliency_path(1) is None
    assert manifest.saliency_path(1) == folder.resolve() / "images" / "d.png"
    assert masks.table.drop(columns=["saliency", "provenance"]).equals(manifest.table.drop(columns="saliency"))
    assert manifest.with_maps("saliency") is manifest
    with pytest.raises(SalignError, match="no column 'mask_lungs' to take maps from; did you mean 'mask_lung'"):
        manifest.with_maps("mask_lungs")
    with pytest.raises(SalignError, match="no column 'label' to take maps from; there are saliency, mask_lung"):
        manifest.with_maps("label")  # it is there, and holds no maps


WHOSE = HEADER.replace("group", "provenance,mixed,mixed_provenance,saliency_Ann,mask")


def test_whose_maps_are_comes_along_with_their_column(folder):
    """a: a person's and a machine's; b: none and a person's, known by an empty cell; c: a machine's and none."""
    png = "images/d.png"
    body = (
        f"a,images/a.png,cat,train,{png},human:bob,{png},model:net@1,{png},{png}\n"
        f"b,images/b.png,cat,train,,,{png},,,{png}\n"
        f"c,images/c.png,dog,train,{png},model:cam@2,,model:net@1,{png},\n"
    )
    manifest = Manifest.read(written(folder, body, WHOSE))
    said = {name: manifest.with_maps(name) for name in ("saliency", "mixed", "saliency_Ann", "mask")}
    assert {name: one.table["provenance"].fillna("").tolist() for name, one in said.items()} == {
        "saliency": ["human:bob", "", "model:cam@2"],
        "mixed": ["model:net@1", "", ""],
        "saliency_Ann": ["human:Ann", "", "human:Ann"],
        "mask": ["unknown", "unknown", ""],
    }
    assert {name: one.machine_made.tolist() for name, one in said.items()} == {
        "saliency": [False, False, True],
        "mixed": [True, False, False],
        "saliency_Ann": [False, False, False],
        "mask": [False, False, False],
    }
    assert {name: tuple(one.makers) for name, one in said.items()} == {
        "saliency": (1, 1, 0),
        "mixed": (1, 1, 0),
        "saliency_Ann": (2, 0, 0),
        "mask": (0, 0, 2),
    }
    people = said["saliency"].of_people()
    assert people.table["saliency"].notna().tolist() == [True, False, False]
    assert tuple(people.makers) == (1, 0, 0)
    assert list(map_columns(manifest.table)) == ["saliency", "mixed", "saliency_Ann"]


def test_paths_of_another_map_column_are_checked_as_those_of_maps(folder):
    masks = ("images/gone.png", "images/c.png", "../x")
    body = "".join(f"{k},images/{'abc'[k]}.png,cat,train,,{mask}\n" for k, mask in enumerate(masks))
    manifest = Manifest.read(written(folder, body, HEADER.replace("group", "mask")))
    with pytest.raises(ManifestError) as caught:
        manifest.with_maps("mask")
    assert [(fault.row, fault.column) for fault in caught.value.faults] == [(2, "mask"), (4, "mask")]
    assert "no such file" in caught.value.faults[0].message
    assert "leaves the root" in caught.value.faults[1].message


def test_a_table_in_memory_is_held_to_the_same_rules(folder):
    rows = [("1", "images/a.png", 0, "train", None), ("2", "images/b.png", 1, "train", "")]
    manifest = Manifest.of(pd.DataFrame(rows, columns=list(COLUMNS)), folder)
    assert manifest.saliency_path(1) is None
    assert manifest.table["row"].tolist() == [2, 3]
    assert manifest.classes == ("0", "1")
    with pytest.raises(ManifestError, match="row 3, path"):
        Manifest.of(pd.DataFrame([rows[0], ("2", "x.png", 1, "t", None)], columns=list(COLUMNS)), folder)


def test_a_hundred_thousand_rows_look_up_each_file_once_and_are_held_compactly(folder, monkeypatch):
    body = "".join(f"{i},images/{'abcd'[i % 4]}.png,{i % 4},train,,\n" for i in range(100_000))
    path = written(folder, body)
    looked_up = []
    look_up = manifest_checks._path_fault
    monkeypatch.setattr(
        manifest_checks, "_path_fault", lambda name, *given: looked_up.append(name) or look_up(name, *given)
    )
    manifest = Manifest.read(path)
    assert sorted(looked_up) == [f"images/{letter}.png" for letter in "abcd"]
    assert manifest.table.memory_usage(deep=True).sum() < 10e6  # a Python string per cell would take 30 MB and more
    assert manifest.table["row"].iloc[-1] == 100_001
    assert np.array_equal(manifest.table["id"].astype(int), np.arange(100_000))


def test_where_no_image_is_found_the_root_is_asked_for(folder, tmp_path):
    beside = tmp_path / "elsewhere" / "manifest.csv"
    beside.parent.mkdir()
    beside.write_text(HEADER + "0,images/a.png,cat,train,,\n1,images/b.png,cat,train,,\n")
    with pytest.raises(ManifestError, match=r"no image is below .*elsewhere: say what the paths are relative to"):
        Manifest.read(beside)
    assert len(Manifest.read(beside, folder)) == 2
    one_lost = written(folder, "0,images/a.png,cat,train,,\n1,images/lost.png,cat,train,,\n")
    with pytest.raises(ManifestError) as caught:
        Manifest.read(one_lost)
    assert "--root" not in str(caught.value)


def test_without_a_column_saliency_nobody_looked(folder):
    path = written(folder, "1,images/a.png,cat,train\n", "id,path,label,split\n")
    manifest = Manifest.read(path)
    assert manifest.saliency_path(0) is None
    assert manifest.coverage()["with_map"].tolist() == [0]
    in_memory = pd.DataFrame({"id": ["1"], "path": ["images/a.png"], "label": ["cat"], "split": ["train"]})
    assert Manifest.of(in_memory, folder).saliency_path(0) is None


@pytest.mark.parametrize(
    ("label", "split", "complaint"),
    [
        ("real ", "train", "row 2, label: 'real ' has spaces around it; write 'real'"),
        (" real", "train", "row 2, label: ' real' has spaces around it; write 'real'"),
        ("real\u00a0", "train", "row 2, label: .* has spaces around it; write 'real'"),
        ("real", "test ", "row 2, split: 'test ' has spaces around it; write 'test'"),
    ],
)
def test_spaces_around_a_label_or_a_split_are_a_fault_with_their_row(folder, label, split, complaint):
    path = written(folder, f"1,images/a.png,{label},{split},,\n2,images/b.png,real,train,,\n")
    with pytest.raises(ManifestError, match=complaint) as caught:
        Manifest.read(path)
    assert [fault.row for fault in caught.value.faults] == [2]
    with pytest.raises(ManifestError, match="has spaces around"):
        Manifest.read(path, multi_label=True)


def test_names_that_look_alike_are_asked_about(folder):
    rows = [
        ("Real", "train"),
        ("real", "train"),
        ("real", "Test"),
        ("cafe\u0301", "test"),
        ("caf\u00e9", "test"),
        ("b", "t1"),
    ]
    for k in range(len(rows)):
        Image.new("RGB", (4, 4)).save(folder / "images" / f"{k}.png")
    body = "".join(f"{k},images/{k}.png,{label},{split},,\n" for k, (label, split) in enumerate(rows))
    questions = Manifest.read(written(folder, body)).questions()
    assert [question.split(" differ by")[0] for question in questions] == [
        "label: 'Real' (1) and 'real' (2)",
        "label: 'cafe\\u0301' (1) and 'caf\\xe9' (1)",
        "split: 'Test' (1) and 'test' (2)",
    ]
    assert Manifest.read(written(folder, GOOD)).questions() == []


def test_groups_that_look_alike_are_asked_about_and_names_of_files_are_not(folder):
    header = "id,path,label,split,saliency,camera\n"
    body = "A,images/a.png,cat,train,,Phone\na,images/a.png,cat,train,,phone \n"
    (question,) = Manifest.read(written(folder, body, header)).questions()
    assert question.startswith("camera: 'Phone' (1) and 'phone ' (1) differ")


COMPOSED, APART = "M\u00fcller_\u00e9.png", "Mu\u0308ller_e\u0301.png"


@pytest.mark.parametrize(("there", "said"), [(COMPOSED, APART), (APART, COMPOSED)])
def test_a_path_in_another_form_of_unicode_is_the_same_name(folder, there, said):
    (folder / there).write_bytes((folder / "images" / "a.png").read_bytes())
    manifest = Manifest.read(written(folder, f"1,{said},cat,train,{said},\n"))
    assert manifest.image_path(0) == folder / there
    assert manifest.saliency_path(0) == folder / there
    with pytest.raises(ManifestError, match="no such file"):
        Manifest.read(written(folder, f"1,{said[1:]},cat,train,,\n"))


def test_a_manifest_below_its_root_is_read_without_being_told(folder):
    made = Manifest.read(written(folder, GOOD))
    target = made.write(folder / "deep" / "er" / "m.csv")
    assert (folder / "deep" / "er" / "m.csv.root").read_text() == "../..\n"
    again = Manifest.read(target)
    assert again.root == folder.resolve()
    assert again.table["path"].tolist() == made.table["path"].tolist()
    assert root_option(target, made.root) == ""
    made.write(folder / "m.csv")
    assert not (folder / "m.csv.root").exists()
    assert pd.read_csv(target).columns[:2].tolist() == ["id", "path"]  # plain CSV


def test_a_manifest_that_is_written_again_elsewhere_forgets_the_old_root(folder):
    made = Manifest.read(written(folder, GOOD))
    target = made.write(folder / "deep" / "m.csv")
    (folder / "deep" / "images").mkdir()
    for path in (folder / "images").iterdir():
        (folder / "deep" / "images" / path.name).write_bytes(path.read_bytes())
    below = pd.DataFrame({"id": ["1"], "path": ["images/a.png"], "label": ["cat"], "split": ["train"]})
    Manifest.of(below, folder / "deep").write(target)
    assert Manifest.read(target).root == (folder / "deep").resolve()


@pytest.mark.parametrize("recorded", ["/", "/etc", "images", "../images", ".", "", "../" * 40, "..\n..", "x" * 2000])
def test_a_recorded_root_is_a_folder_above_and_nothing_else(folder, recorded):
    """A stranger's manifest reaches no further than a folder that it lies in, below the home folder."""
    path = written(folder, GOOD)
    path.with_name(f"{path.name}.root").write_text(recorded)
    with pytest.raises(SalignError, match=r"\.root: "):
        Manifest.read(path)
    assert len(Manifest.read(path, folder)) == 4


def test_what_leaves_a_recorded_root_is_a_fault_and_nothing_above_the_home_folder_is_one(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "set").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (home / "a.png").touch()
    (tmp_path / "secret.png").touch()
    path = written(home / "set", "1,a.png,cat,train,,\n2,../secret.png,cat,train,,\n")
    beside = home / "set" / f"{path.name}.root"
    beside.write_text("..")
    with pytest.raises(ManifestError, match=r"row 3, path: .* leaves the root") as caught:
        Manifest.read(path)
    assert len(caught.value.faults) == 1
    beside.write_text("../..")
    with pytest.raises(SalignError, match="not above the home folder"):
        Manifest.read(path)
    assert record_root(path, tmp_path) is False
    assert not beside.exists()


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (
            "ID,path,label,split",
            "row 1, id: the column is missing; the header has 'ID', 'path', 'label', 'split'; rename 'ID'",
        ),
        (
            "id;path;label;split",
            "row 1, header: semicolons part the cells: 'id;path;label;split'; save the table with commas",
        ),
        ("id\tpath\tlabel\tsplit", "row 1, header: tabs part the cells"),
    ],
)
def test_a_header_that_is_nearly_right_is_told_what_was_meant(folder, header, complaint):
    (folder / "m.csv").write_text(f"{header}\n")
    with pytest.raises(ManifestError) as error:
        Manifest.read(folder / "m.csv")
    assert complaint in str(error.value)


def test_a_file_whose_name_differs_by_case_alone_is_named(folder):
    (folder / "m.csv").write_text("id,path,label,split\n1,images/A.png,cat,train\n")
    with pytest.raises(ManifestError) as error:
        Manifest.read(folder / "m.csv")
    assert "(No such file or directory); 'a.png' is there" in str(error.value)


# ---- tables: findings, and manifests


ROWS = "id,path,label,split\n1,a.png,x,train\n"

MANIFESTS = {
    "M1 a mark of the byte order": f"\ufeff{ROWS}",
    "M2 Windows' line ends": ROWS.replace("\n", "\r\n"),
    "M3 an empty line in between": ROWS.replace("\n1", "\n\n1"),
    "M4 no line end at the end": ROWS.rstrip("\n"),
    "M5 everything in quotes": '"id","path","label","split"\n"1","a.png","x","train"\n',
    "M6 a path from the folder it lies in": ROWS.replace("a.png", "./a.png"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_that_mean_the_same(name, beside_letters):
    manifest = Manifest.read(beside_letters(MANIFESTS[name]))
    assert manifest.table[["id", "label", "split"]].to_numpy().tolist() == [["1", "x", "train"]]
    assert manifest.image_path(0).resolve().name == "a.png"


MANIFEST_FAULTS = {
    "M7 semicolons": (ROWS.replace(",", ";"), "row 1, header: semicolons part the cells"),
    "M8 a header in capitals": (ROWS.replace("label", "Label"), "row 1, label: the column is missing"),
    "M9 a line above the header": (f"# made in 2026\n{ROWS}", "row 2, line: the line has 4 cells, the header 1"),
    "M10 a row that is too short": (f"{ROWS}2,b.png,y\n", "row 3, line: the line has 3 cells, the header 4"),
    "M11 a comma in a cell without quotes": (f"{ROWS}2,b.png,y,z,test\n", "row 3, line: the line has 5 cells"),
    "M12 backslashes between folders": (f"{ROWS}2,.\\b.png,y,test\n", "row 3, path: no such file"),
    "M13 an address": (f"{ROWS}2,http://x/b.png,y,test\n", "row 3, path: no such file"),
    "M14 other letters than the file": (f"{ROWS}2,B.PNG,y,test\n", "'b.png' is there"),
    "M15 a line break in a label": (f'{ROWS}2,b.png,"y\nz",test\n', "holds a line break or another control character"),
    "M16 a column twice": ("id,path,label,label,split\n1,a.png,x,y,train\n", "names 'label' occur twice"),
    "M17 UTF-16": (ROWS.encode("utf-16"), "cannot be read"),
    "M18 one file in two spellings with two labels": (
        f"{ROWS}2,./a.png,y,test\n", "row 3, label: './a.png' is 'y' here and 'x' in row 2",
    ),
    "M19 one file with two slashes and two labels": (
        f"{ROWS}2,.//a.png,y,test\n", "row 3, label: './/a.png' is 'y' here and 'x' in row 2",
    ),
    "M20 a split that is not told": (f"{ROWS}2,b.png,y,\n", "row 3, split: the cell is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFEST_FAULTS)
def test_manifests_that_are_refused_with_the_row(name, beside_letters):
    text, message = MANIFEST_FAULTS[name]
    with pytest.raises(SalignError) as caught:
        Manifest.read(beside_letters(text))
    assert message in str(caught.value)
