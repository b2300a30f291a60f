"""`salign data ...` as typed: what it prints, writes and ends with."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from salign.cli import data as module
from salign.data.manifest import Manifest
from salign.errors import SalignError


def run(*arguments, code=0):
    result = CliRunner().invoke(module.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            for k in range(3):
                for kind in ("images", "maps"):
                    folder = tmp_path / kind / split / label
                    folder.mkdir(parents=True, exist_ok=True)
                    pixels = rng.integers(0, 256, (40, 40), dtype=np.uint8)
                    Image.fromarray(pixels if kind == "images" else pixels * (np.arange(40) < 9)).save(
                        folder / f"{k}.png"
                    )
    return tmp_path


def test_import_check_plant_check(images):
    printed = run("import", "folder", images / "images", "--maps", images / "maps")
    manifest = images / "manifest.csv"
    assert len(Manifest.read(manifest)) == 12
    assert "100%" in printed
    assert printed.splitlines()[-1].startswith(f"wrote {manifest} (12 images)")

    printed = run("check", manifest)
    assert "all rows can be used" in printed
    assert (images / "manifest-check.html").is_file()
    assert "manifest-check.html" in printed.splitlines()[-1]

    printed = run("plant", manifest, images / "out", "-c", "train=1", "-c", "test=0", "--kind", "text", "--seed", "3")
    table = Manifest.read(images / "out" / "manifest.csv").table
    assert ((table["shortcut"] == table["label"]) == (table["split"] == "train")).all()
    assert "measured" in printed
    assert printed.splitlines()[-1].startswith(f"wrote 12 images and {images / 'out' / 'manifest.csv'}")
    run("check", images / "out" / "manifest.csv", "--quick", "--html", images / "page.html")
    assert (images / "page.html").is_file()


def test_a_broken_row_ends_with_code_one_and_still_gives_the_page(images):
    run("import", "folder", images / "images")
    (images / "images" / "train" / "cat" / "1.png").write_bytes(b"broken")
    printed = run("check", images / "images" / "manifest.csv", code=1)
    assert "1.png" in printed
    assert "1.png" in (images / "images" / "manifest-check.html").read_text("utf-8")


def test_import_csv_and_cvrl(images):
    (images / "t.csv").write_text("file,class\nimages/train/cat/0.png,c\nimages/train/dog/0.png,d\n")
    run("import", "csv", images / "t.csv", "--column", "path=file", "--column", "label=class", "--split", "all",
        "--out", images / "t.parquet")  # fmt: skip
    assert Manifest.read(images / "t.parquet").classes == ("c", "d")

    (images / "o.csv").write_text("train,Real,/train/cat/0.png\ntest,Fake,/train/dog/1.png\n")
    (images / "elsewhere").mkdir()
    maps, out = images / "maps" / "train" / "cat", images / "elsewhere" / "m.csv"
    options = ("--images", images / "images", "--maps", maps, "--rename", "test=late", "--out", out)
    printed = run("import", "cvrl", images / "o.csv", *options)
    assert "--root" not in printed
    made = Manifest.read(images / "elsewhere" / "m.csv")
    assert made.splits == ("late", "train")
    assert made.saliency_path(0) == images / "maps" / "train" / "cat" / "0.png"


def test_import_of_several_labels_can_be_checked_as_printed(images):
    (images / "s.csv").write_text("path,split,a,b\nimages/train/cat/0.png,all,1,0\nimages/train/dog/0.png,all,,\n")
    printed = run("import", "csv", images / "s.csv", "--label", "a", "--label", "b", "--out", images / "s" / "m.csv")
    assert "train with data.multi_label: true" in printed
    command = printed.splitlines()[-1].partition("`salign data ")[2].rstrip("`").split()
    assert command == ["check", str(images / "s" / "m.csv"), "--multi-label"]
    assert "(none)" in run(*command)

    (images / "j.csv").write_text("path,split,label\nimages/train/cat/0.png,all,b|a\nimages/train/dog/0.png,all,none\n")
    run("import", "csv", images / "j.csv", "--separator", "|", "--no-label", "none", "--out", images / "j2.csv")
    assert Manifest.read(images / "j2.csv", multi_label=True).table["label"].fillna("").tolist() == ["a;b", ""]


def test_targets_are_counted_from_answers(tmp_path):
    answers, out = tmp_path / "annotations.csv", tmp_path / "soft.csv"
    answers.write_text("images,annotator,answer\na,Ann,cat\na,Bob,dog\na,Cy,dog\na,Di,dog\nb,Ann,cat\n")
    printed = run("targets", answers, out)
    assert out.read_text().splitlines() == ["id,cat,dog", "a,0.25,0.75", "b,1.0,0.0"]
    assert printed.startswith(f"wrote {out}: 2 images, of 1 of which people disagree about cat, dog.")


def test_decoy_writes_the_embedded_set(tmp_path):
    printed = run("decoy", tmp_path / "d", "--train", "20", "--val", "10", "--test", "10", "--size", "48")
    assert len(Manifest.read(tmp_path / "d" / "manifest.csv")) == 50
    assert printed.splitlines()[-1].startswith("wrote 50 images")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "zip", "x"], "folder, csv or cvrl"),
        (["import", "cvrl", "x.csv"], "--images is needed"),
        (["plant", "MANIFEST", "out", "-c", "train"], "NAME=VALUE"),
        (["plant", "MANIFEST", "out", "-c", "train=high"], "SPLIT=NUMBER"),
        (["check", "gone.csv"], "no manifest"),
        (["import", "csv", "MANIFEST", "--separator", ""], "the separator between labels is empty"),
    ],
)
def test_mistakes_are_explained(images, arguments, message):
    run("import", "folder", images / "images")
    manifest = str(images / "images" / "manifest.csv")
    with pytest.raises(SalignError, match=message):
        run(*(manifest if argument == "MANIFEST" else argument for argument in arguments))


def test_split(images):
    """Copies stay together; rows that have a split are moved when that is asked for alone, and into a new file."""
    flat = images / "flat"
    for k in range(20):
        pixels = np.random.default_rng(k // 2).integers(0, 256, (40, 40), dtype=np.uint8)  # each picture twice
        (flat / "ab"[k // 10]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(flat / "ab"[k // 10] / f"{k}.png")
    manifest = flat / "manifest.csv"
    run("import", "folder", flat, "--split", "all")
    before = manifest.read_bytes()
    with pytest.raises(SalignError, match=r"every row has a split already .all 20."):
        run("split", manifest)
    printed = run("split", manifest, "--move", "all", "--shares", "0.6/0.2/0.2", "--dry-run")
    assert "20 pictures in 10 groups of equal or nearly equal ones stay together" in printed
    assert not (flat / "manifest-split.csv").exists()
    printed = run("split", manifest, "--move", "all", "--shares", "0.6/0.2/0.2")
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line[:1] == "│"]
    assert cells == [["a", "6", "2", "2", "10"], ["b", "6", "2", "2", "10"]]
    assert manifest.read_bytes() == before
    table = Manifest.read(flat / "manifest-split.csv").table
    split = table.assign(picture=table["id"].str.rpartition("/")[2].astype(int) // 2).groupby("picture")["split"]
    assert split.nunique().tolist() == [1] * 10
    with pytest.raises(SalignError, match=r"manifest-split.csv is there; give another --out"):
        run("split", manifest, "--move", "all")

    table.drop(columns=["row", "split"]).to_csv(manifest, index=False)  # nobody has split it: in place
    last = run("split", manifest, "--no-duplicates").splitlines()[-1]
    assert last == f"wrote {manifest}: look at it with `salign data check {manifest}`"
    assert Manifest.read(manifest).table["split"].value_counts().to_dict() == {"train": 14, "val": 3, "test": 3}
