"""Every kind of fault is planted in a small set, and found with its row; a sound set gives none."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from scipy import ndimage

from salign.cli.show import print_report
from salign.data.checks import report as check_report
from salign.data.checks.check import check, check_file, find_faults
from salign.data.checks.report import write_report_html
from salign.data.manifest import Manifest, ManifestError
from salign.data.reading import image as image_module

HEADER = "id,path,label,split,saliency\n"


def scene(seed, side=64):
    noise = np.random.default_rng(seed).normal(size=(side, side))
    values = sum(ndimage.gaussian_filter(noise, s) * s**1.2 for s in (1, 4, 10))
    return ((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)


def spot(side=64):
    values = np.zeros((side, side), dtype=np.uint8)
    values[10:30, 20:40] = 255
    return values


def save(folder, name, pixels):
    Image.fromarray(pixels).save(folder / name)
    return name


@pytest.fixture
def sound(tmp_path):
    """Six different images in two splits and classes, four with a map, each in a corner of its own."""
    lines = []
    for k in range(6):
        name = "m.png" if k == 0 else f"m{k}.png"
        saliency = save(tmp_path, name, np.roll(spot(), (32 * (k % 2), 32 * (k // 2)), (0, 1))) if k < 4 else ""
        lines.append(
            f"{k},{save(tmp_path, f'{k}.png', scene(k))},{'ab'[k % 2]},{'train' if k < 4 else 'test'},{saliency}"
        )
    (tmp_path / "manifest.csv").write_text(HEADER + "\n".join(lines) + "\n")
    return tmp_path / "manifest.csv"


def add(manifest, *lines):
    manifest.write_text(manifest.read_text() + "".join(f"{line}\n" for line in lines))


def test_a_sample_is_drawn_by_a_seed_and_says_what_stays_unseen(sound, tmp_path):
    (tmp_path / "4.png").write_bytes(b"damaged")
    add(sound, "9,gone.png,a,test,")
    reports = {seed: check_file(sound, sample=3, seed=seed, progress=False) for seed in range(12)}
    ids = {seed: tuple(report.manifest.table["id"]) for seed, report in reports.items()}
    assert all(len(set(chosen)) == 3 and list(chosen) == sorted(chosen) for chosen in ids.values())
    assert len(set(ids.values())) > 4
    again = check_file(sound, sample=3, seed=5, progress=False)
    assert tuple(again.manifest.table["id"]) == ids[5]
    for seed, report in reports.items():
        columns = [fault.column for fault in report.faults]
        assert columns.count("path") == 1 + ("4" in ids[seed])  # the file that is missing is told always
        assert len(report.sound_rows) == 6
        assert report.lacking == check_file(sound, progress=False).lacking
    said = printed(reports[0])
    assert "3 of 6 rows were drawn, and their images and maps read" in said
    assert len(check_file(sound, sample=6, progress=False).manifest) == 6
    assert "were drawn" not in printed(check_file(sound, sample=6, progress=False))


def printed(report):
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=120))
    return stream.getvalue()


def test_a_sound_set_is_sound(sound):
    report = check_file(sound, progress=False)
    assert report.sound
    assert report.faults == ()
    assert report.maps("shaped") == [0, 1, 2, 3]
    assert report.maps("none") == [4, 5]
    assert report.examined[0].marked == pytest.approx(400 / 64**2)
    table = report.map_table().set_index("label")
    assert table.loc["a", ["images", "with_map", "blank", "constant"]].tolist() == [3, 2, 0, 0]
    assert table.loc["a", "marked"] == pytest.approx(400 / 64**2)
    wrong, *few = [line for line in printed(report).splitlines() if "✗" in line]
    assert wrong.startswith("✗ no row is of the split 'val': the best epoch cannot be chosen")
    assert few == [
        "✗ split train: 2 of a, 2 of b; too few to learn from (5 are the least, 50 are better)",
        "✗ split test: 1 of a, 1 of b; too few for a figure to say anything (5 are the least, 50 are better)",
    ]


def test_what_machines_made_is_counted_apart_and_measured_where_it_is_strong(sound):
    """A net's map is above 0 nearly everywhere: what is marked is what is at or above half of its highest value."""
    values = 3 + 0.5 * spot()
    save(sound.parent, "net.png", values.astype(np.uint8))
    rows = [line.split(",") for line in sound.read_text().splitlines()]
    rows[0].append("provenance")
    for k, row in enumerate(rows[1:]):
        row.append("model:net@1a2b3c4d" if k == 1 else "")
    rows[2][4] = "net.png"
    sound.write_text("".join(",".join(row) + "\n" for row in rows))
    report = check_file(sound, progress=False)
    assert report.examined[1].marked == pytest.approx(400 / 64**2)
    words = printed(report)
    (train_a, train_b) = (next(line for line in words.splitlines() if f"train │ {label}" in line) for label in "ab")
    assert "by machines" in words
    assert [line.split("│")[-2].strip() for line in (train_a, train_b)] == ["0", "1"]
    page = write_report_html(report, sound.parent / "page.html").read_text()
    assert page.count("1.png, 9.8% marked, by a machine") == 1
    assert page.count("by a machine") == 1


def test_every_broken_file_is_named_with_its_row(sound, monkeypatch):
    folder = sound.parent
    whole = io.BytesIO()
    Image.fromarray(scene(9)).save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "text.png").write_text("not a picture")
    save(folder, "pixel.png", np.zeros((1, 1), dtype=np.uint8))
    nan = np.full((64, 64), 0.5, dtype=np.float32)
    nan[3, 3] = np.nan
    save(folder, "nan.tiff", nan)
    save(folder, "wide.png", np.eye(64, 80, dtype=np.uint8) * 255)
    save(folder, "bomb.png", np.zeros((300, 300), dtype=np.uint8))
    monkeypatch.setattr(image_module, "MAX_PIXELS", 80_000)
    add(
        sound,
        "c,cut.jpg,a,train,", "t,text.png,a,train,", "p,pixel.png,a,train,", "n,nan.tiff,a,train,",
        "w,0.png,a,train,wide.png", "m,1.png,b,train,nan.tiff", "b,bomb.png,a,train,", "both,cut.jpg,a,train,text.png",
    )  # fmt: skip
    report = check_file(sound, progress=False)
    found = [(fault.row, fault.column) for fault in report.faults]
    image_rows = [(8, "path"), (9, "path"), (10, "path"), (11, "path")]
    assert found == [*image_rows, (12, "saliency"), (13, "saliency"), (14, "path"), (15, "path"), (15, "saliency")]
    messages = {fault.row: fault.message for fault in report.faults}
    assert "cut.jpg" in messages[8]
    assert "1 x 1" in messages[10]
    assert "NaN" in messages[11]
    assert "80 x 64" in messages[12]
    assert "64 x 64" in messages[12]
    assert "bomb" in messages[14]
    assert find_faults(report.manifest, decode=True) == list(report.faults)
    assert not report.sound
    assert "8 rows that cannot be used" in printed(report)


def test_headers_alone_show_sizes_but_no_damage(sound):
    folder = sound.parent
    save(folder, "wide.png", np.eye(64, 80, dtype=np.uint8) * 255)
    whole = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(whole[: len(whole) // 2])
    add(sound, "w,0.png,a,train,wide.png")
    assert [fault.row for fault in check_file(sound, decode=False, progress=False).faults] == [8]
    assert [fault.row for fault in check_file(sound, progress=False).faults] == [5, 8]


def test_unsound_rows_are_reported_along_with_the_rest(sound):
    (sound.parent / "text.png").write_text("not a picture")
    add(
        sound,
        "0,5.png,b,train,",
        "y,gone.png,a,train,",
        "z,../up.png,a,train,",
        "t,text.png,a,train,",
        "e,2.png,,train,",
    )
    report = check_file(sound, progress=False)
    assert [(fault.row, fault.column) for fault in report.faults] == [
        (8, "id"), (9, "path"), (10, "path"), (11, "path"), (12, "label"),
    ]  # fmt: skip
    assert len(report.manifest) == 7


def test_a_table_without_the_columns_cannot_be_checked(tmp_path):
    (tmp_path / "manifest.csv").write_text("path,label\na.png,x\n")
    with pytest.raises(ManifestError, match="split"):
        check_file(tmp_path / "manifest.csv", progress=False)


def test_blank_and_constant_maps_are_told_apart(sound):
    save(sound.parent, "blank.png", np.zeros((64, 64), dtype=np.uint8))
    save(sound.parent, "flat.png", np.full((64, 64), 7, dtype=np.uint8))
    save(sound.parent, "8.png", scene(8))
    save(sound.parent, "9.png", scene(9))
    add(sound, "x,8.png,a,train,blank.png", "y,9.png,a,train,flat.png")
    report = check_file(sound, progress=False)
    assert (report.maps("blank"), report.maps("constant")) == ([6], [7])
    assert "1 blank map" in printed(report)
    assert "1 map of one value" in printed(report)


def test_leaks_and_label_conflicts_exact_and_near(sound):
    folder = sound.parent
    Image.fromarray(scene(0)).save(folder / "again.bmp")  # row 2 is a / train
    Image.fromarray(scene(1)).resize((96, 96)).save(folder / "large.jpg", quality=60)  # row 3 is b / train
    Image.fromarray(scene(2)).save(folder / "within.bmp")  # row 4 is a / train
    add(sound, "x,again.bmp,a,test,", "y,large.jpg,a,test,", "z,within.bmp,a,train,")
    report = check_file(sound, progress=False)
    assert report.same == ((0, 6), (2, 8))
    assert [(pair.first, pair.second) for pair in report.near] == [(1, 7)]
    assert [(pair.first, pair.second) for pair in report.differing("split")] == [(0, 6), (1, 7)]
    assert [(pair.first, pair.second) for pair in report.differing("label")] == [(1, 7)]
    assert not report.sound
    assert "2 pairs of pictures in two splits: 1 equal, 1 nearly equal" in printed(report)


def test_many_blank_pictures_are_one_group_and_no_near_pair(tmp_path):
    for k in range(200):
        save(tmp_path, f"{k}.png", np.full((32, 32), k % 4, dtype=np.uint8))
    table = pd.DataFrame(
        {"id": [str(k) for k in range(200)], "path": [f"{k}.png" for k in range(200)], "label": "a", "split": "train"}
    ).assign(saliency="")
    report = check(Manifest.of(table, tmp_path), progress=False)
    assert [len(group) for group in report.same] == [50] * 4
    assert report.near == ()


def test_the_page_shows_faults_first_and_escapes_labels(sound):
    save(sound.parent, "8.png", scene(0))
    (sound.parent / "text.png").write_text("not a picture")
    add(sound, "x,8.png,<b>bold</b>,test,", "t,text.png,a,train,text.png")
    report = check_file(sound, progress=False)
    page = write_report_html(report, sound.parent / "check.html").read_text("utf-8")
    titles = [
        "Rows that cannot be used",
        "The same picture in two splits",
        "The same picture with two labels",
        "Class a",
    ]
    places = [page.index(f">⚠ {title}</h2>" if "⚠ " + title in page else f">{title}</h2>") for title in titles]
    assert places == sorted(places)
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    assert page.count("<img ") == 4 + 2 * 2 + 2 * 2 + 1  # two pairs, two classes with two maps each, "bold" without


@pytest.mark.parametrize(("count", "sentence"), [(30, None), (501, "501 faults; the first 500 are listed.")])
def test_the_page_says_that_faults_are_left_out_only_if_they_are(sound, count, sentence):
    add(sound, *(f"f{k},none{k}.png,a,train," for k in range(count)))
    page = write_report_html(check_file(sound, progress=False), sound.parent / "check.html").read_text("utf-8")
    assert f"none{min(count, 500) - 1}.png" in page
    assert sentence in page if sentence else "are listed" not in page


@pytest.mark.slow
def test_a_real_set(shared_data):
    table = pd.read_csv(shared_data / "busi_ultrasound" / "index.csv", dtype=str)
    table = table.rename(columns={"class": "label", "mask": "saliency"}).assign(id=table["path"])
    report = check(Manifest.of(table, shared_data / "busi_ultrasound"), progress=False)
    assert report.faults == ()
    assert len(report.maps("blank")) == 133
    assert set(report.manifest.table["label"][report.maps("blank")]) == {"normal"}
    assert [pair.similarity for pair in report.differing("label")].count(1.0) == 1
    assert len(report.differing("split")) == 32


@pytest.mark.parametrize(
    ("splits", "missing"),
    [
        (["train", "val", "test"], []),
        (["train", "val", "test_ood"], []),
        (["train", "test"], ["val"]),
        (["train", "val"], ["test"]),
        (["train"], ["val", "test"]),
        (["all"], ["train", "val"]),
    ],
)
def test_a_set_without_a_split_that_training_needs_is_told_what_follows(tmp_path, splits, missing):
    lines = [f"{k},{save(tmp_path, f'{k}.png', scene(k))},a,{split}" for k, split in enumerate(splits)]
    (tmp_path / "m.csv").write_text("id,path,label,split\n" + "\n".join(lines) + "\n")
    report = check_file(tmp_path / "m.csv", progress=False)
    assert [line.split("'")[1] for line in report.lacking] == missing
    assert printed(report).count("no row is of the split") == len(missing)


def test_classes_of_five_images_in_each_split_are_not_too_small(tmp_path):
    (tmp_path / "m.csv").write_text(
        "id,path,label,split\n"
        + "".join(
            f"{k},{save(tmp_path, f'{k}.png', scene(k))},{'ab'[k % 2]},{('train', 'val', 'test')[k // 2 % 3]}\n"
            for k in range(29)
        )
    )
    report = check_file(tmp_path / "m.csv", progress=False)
    assert report.small == ["split test: 4 of b; too few for a figure to say anything (5 are the least, 50 are better)"]


def test_a_set_whose_names_differ_by_case_alone_is_not_called_usable(sound):
    assert "all rows can be used" in printed(check_file(sound, progress=False))
    sound.write_text(sound.read_text().replace(",a,", ",A,", 1))
    said = printed(check_file(sound, progress=False))
    assert "all rows can be used" not in said
    assert "✗ label: 'A' (1) and 'a' (2) differ by case" in said


def test_spaces_around_labels_and_splits_are_rows_that_cannot_be_used(sound):
    """../shared/cases/label_spaces."""
    sound.write_text(sound.read_text().replace(",a,train,", ",a ,train,").replace(",b,test,", ",b,test ,"))
    report = check_file(sound, progress=False)
    assert [(fault.row, fault.column) for fault in report.faults] == [(2, "label"), (4, "label"), (7, "split")]
    assert "all rows can be used" not in printed(report)


def test_the_whole_of_what_is_said(sound, monkeypatch):
    """A set with one of everything: each line on the terminal, each heading, text and table of the page."""
    folder = sound.parent
    Image.fromarray(scene(0)).save(folder / "again.bmp")
    Image.fromarray(scene(1)).resize((96, 96)).save(folder / "large.jpg", quality=60)
    (folder / "text.png").write_text("not a picture")
    for name, pixels in (("blank", np.zeros((64, 64))), ("flat", np.full((64, 64), 7)), ("plain", np.zeros((64, 64)))):
        save(folder, f"{name}.png", pixels.astype(np.uint8))
    save(folder, "8.png", scene(8))
    save(folder, "9.png", scene(9))
    add(sound, "x,again.bmp,a,test,", "y,large.jpg,a,test,m.png", "t,text.png,b,val,", "u,8.png,a,train,blank.png",
        "v,9.png,b,train,flat.png", "w,plain.png,b,val,")  # fmt: skip
    table = pd.read_csv(sound, dtype=str)
    table["provenance"] = np.where(table["id"] == "y", "model:net@1", "")
    table.to_csv(sound, index=False)
    report = check_file(sound, progress=False)
    lines = [
        "✗ 1 row that cannot be used",
        "✗ split train: 3 of a, 3 of b; too few to learn from (5 are the least, 50 are better)",
        "✗ split val: 0 of a, 2 of b; too few for a figure to say anything (5 are the least, 50 are better)",
        "✗ split test: 1 of b, 3 of a; too few for a figure to say anything (5 are the least, 50 are better)",
        "✗ 2 pairs of pictures in two splits: 1 equal, 1 nearly equal",
        "✗ 1 pair of pictures with two labels: 0 equal, 1 nearly equal",
        "✓ 2 pairs of equal or near-equal pictures in all",
        "✓ 1 picture too plain to be compared with others (only pixel for pixel)",
        "✗ 6 maps of people and 1 of machines; outside of train in test: measure against people alone",
        "✓ 1 blank map (looked, marked nothing)",
        "✗ 1 map of one value everywhere: no shape to learn from",
        "✓ maps of two images correlate 0.00 on average",
    ]
    counted = [("test", "a", 3, 1, "33%", 1), ("test", "b", 1, 0, "0%", 0), ("train", "a", 3, 3, "100%", 0),
               ("train", "b", 3, 3, "100%", 0), ("val", "b", 2, 0, "0%", 0)]  # fmt: skip
    told = printed(report).splitlines()
    assert told[0].strip() == "manifest.csv: 12 images"
    names = ("split", "label", "images", "with map", "share", "by machines")
    cells = [tuple(cell.strip() for cell in re.split("[│┃]", line)[1:-1]) for line in told if line[:1] in "│┃"]
    assert cells == [names, *(tuple(map(str, row)) for row in counted)]
    assert " ".join(told[-14:-12]) == (
        "row 10, path: text.png: the file is damaged or of another kind; expected PNG, JPEG, TIFF, BMP, WEBP, GIF, "
        "PPM, JPEG2000, AVIF or DICOM"
    )
    assert told[-12:] == lines

    made = []
    monkeypatch.setattr(check_report, "write_sheet", lambda *given, **named: made.append((given, named)))
    write_report_html(report, folder / "page.html")
    (((path, title, sections), more),) = made
    assert (path, title, more) == (folder / "page.html", "Data check: manifest.csv", {"intro": "\n".join(lines)})
    bad = ["Rows that cannot be used", "The same picture in two splits", "The same picture with two labels",
           "Maps of one value everywhere"]  # fmt: skip
    assert [one.title for one in sections] == [
        *bad, "Blank maps", "Images and maps", "Maps per class", "Class a", "Class b",
    ]  # fmt: skip
    assert [one.title for one in sections if one.flagged] == bad
    blocks = [block for one in sections for block in one.blocks]
    assert [block.caption for block in blocks] == [
        "",
        "2 pairs. A score on the second split is then too good.",
        "1 pair. Equal pictures: one label is wrong. Alike only: see whether they differ in what matters.",
        "1 map. They have no shape: a loss learns nothing from them.",
        '1 map. All zeros say "looked, marked nothing". If nobody looked, empty the cell instead.',
        "",
        "marked: median share of the image at or above half of its map's highest value, of maps that have a shape.\n"
        "Below, each image stands beside itself with the map laid over: blue is low, yellow high, the line is at half.",
        "",
        "",
    ]
    faults, coverage, maps = (block.frame.to_dict("records") for block in blocks if block.kind == "table")
    message = " ".join(told[-14:-12]).partition("path: ")[2]
    assert faults == [{"row": 10, "column": "path", "fault": message}]
    assert coverage == [dict(zip(names, row, strict=True)) for row in counted]
    assert maps == [
        {"label": "a", "images": 6, "with map": 4, "blank": 1, "constant": 0, "marked": "9.8%"},
        {"label": "b", "images": 6, "with map": 3, "blank": 0, "constant": 1, "marked": "9.8%"},
    ]
    tiled = [block for block in blocks if block.kind == "tiles"]
    near = ("train · b · row 3 ↔ test · a · row 9", "1.png ↔ large.jpg, correlation 1.000", False, [64, 96])
    assert [(t.caption, t.note, t.flagged, [p.width for _, p in t.pictures]) for one in tiled for t in one.tiles] == [
        ("train · a · row 2 ↔ test · a · row 8", "0.png ↔ again.bmp, pixel for pixel", True, [64, 64]), near,
        near,
        ("train · b · row 12", "9.png, constant map", False, [64, 64]),
        ("train · a · row 11", "8.png, blank map", False, [64, 64]),
        ("train · a · row 2", "0.png, 9.8% marked", False, [64, 64]),
        ("train · a · row 4", "2.png, 9.8% marked", False, [64, 64]),
        ("test · a · row 9", "large.jpg, 9.8% marked, by a machine", False, [96, 96]),
        ("train · b · row 3", "1.png, 9.8% marked", False, [64, 64]),
        ("train · b · row 5", "3.png, 9.8% marked", False, [64, 64]),
    ]  # fmt: skip
