"""Duplicates are listed, and left out by a rule that moves no row and settles no label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from command import salign
from salign.data.checks.check import check_file
from salign.data.checks.deduplicate import duplicate_table, groups_of, without_duplicates
from salign.data.manifest import Manifest


def scene(seed, side=64):
    noise = np.random.default_rng(seed).normal(size=(side, side))
    values = sum(ndimage.gaussian_filter(noise, s) * s**1.2 for s in (1, 4, 10))
    return ((values - values.min()) / (values.max() - values.min()) * 255).astype(np.uint8)


ROWS = [  # id, picture, label, split, map; a picture with + is slightly brighter
    ("r0", "A", "cat", "train", ""),  # 2
    ("r1", "A", "cat", "test_far", ""),  # 3: is measured on
    ("r2", "B", "dog", "train", ""),  # 4
    ("r3", "B", "dog", "val", ""),  # 5: before train
    ("r4", "C", "cat", "train", ""),  # 6
    ("r5", "C", "cat", "train", "m.png"),  # 7: has a map
    ("r6", "D", "cat", "train", ""),  # 8: the first
    ("r7", "D", "cat", "train", ""),  # 9
    ("r8", "E", "cat", "train", ""),  # 10: contradicts
    ("r9", "E", "dog", "test_far", ""),  # 11
    ("r10", "F", "cat", "train", ""),  # 12
    ("r11", "F+", "cat", "test_far", ""),  # 13: nearly equal
    ("r12", "G", "dog", "val", ""),  # 14: alone
]


@pytest.fixture
def manifest(tmp_path):
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    for name, picture, *_ in ROWS:
        pixels = scene(ord(picture[0])).astype(int) + 9 * picture.endswith("+")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    table = [(name, f"{name}.png", label, split, saliency) for name, _, label, split, saliency in ROWS]
    columns = ["id", "path", "label", "split", "saliency"]
    pd.DataFrame(table, columns=columns).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


def test_groups_are_of_equal_pictures_and_where_asked_of_nearly_equal_ones(manifest):
    report = check_file(manifest, progress=False)
    equal = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert groups_of(report, near=False) == equal
    assert groups_of(report, near=True) == [*equal, [10, 11]]


def test_the_copy_that_is_measured_on_stays_and_contradicting_ones_all_do(manifest):
    report = check_file(manifest, progress=False)
    kept = without_duplicates(report)
    assert kept.left_out == [2, 4, 6, 9]
    assert kept.contradicting == [[10, 11]]
    assert kept.rows == [3, 5, 7, 8, 10, 11, 12, 13, 14]
    assert without_duplicates(report, near=True).left_out == [2, 4, 6, 9, 12]


def test_rows_of_one_file_are_no_copies_and_stay_or_go_together(manifest):
    """Of r4 and r5, one picture, r5 has a map; of r6 and r7 the first, and of r12 there is no copy."""
    lines = manifest.read_text().splitlines()
    more = ["r4@b,r4.png,cat,train,", "r5@b,r5.png,cat,train,m.png", "r6@b,r6.png,cat,train,", "r12@b,r12.png,dog,val,"]
    manifest.write_text("\n".join([*lines, *more]) + "\n")
    report = check_file(manifest, progress=False)
    assert groups_of(report, near=False) == [[0, 1], [2, 3], [4, 5, 13, 14], [6, 7, 15], [8, 9]]
    result = without_duplicates(report)
    assert result.left_out == [2, 4, 6, 9, 15]
    assert result.rows == [3, 5, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18]
    assert "r12" not in duplicate_table(report)["id"].tolist()


def test_the_table_names_every_copy_with_its_row(manifest):
    table = duplicate_table(check_file(manifest, progress=False))
    assert table["row"].tolist() == list(range(2, 14))
    assert table["group"].tolist() == [k // 2 + 1 for k in range(12)]
    assert table["kind"].tolist() == ["equal"] * 10 + ["near"] * 2
    assert table["similarity"].tolist()[:10] == [1.0] * 10
    assert table["similarity"].iloc[10] == table["similarity"].iloc[11] >= 0.96
    assert table["labels"].tolist() == ["same"] * 8 + ["differ"] * 2 + ["same"] * 2
    assert table["splits"].tolist() == ["differ"] * 4 + ["same"] * 4 + ["differ"] * 4


def test_the_command_writes_the_list_and_a_manifest_without_copies(manifest):
    out = manifest.parent / "below" / "clean.csv"
    printed = salign("data", "check", manifest, "--without-duplicates", out).out
    listed = pd.read_csv(manifest.parent / "manifest-duplicates.csv")
    assert listed["id"].tolist() == [f"r{k}" for k in range(12)]
    assert "12 pictures in 6 groups of equal or near-equal ones" in printed
    assert "9 rows; left out as copies: 4 of train" in printed
    assert "rows 10, 11 are one picture with different labels, and all stay" in printed
    before, after = Manifest.read(manifest).table.set_index("id"), Manifest.read(out).table.set_index("id")
    assert after.index.tolist() == ["r1", "r3", "r5", "r6", "r8", "r9", "r10", "r11", "r12"]
    for column in ("label", "split", "path"):
        assert after[column].tolist() == before.loc[after.index, column].tolist()
    again = salign("data", "check", out).out
    assert "left out" not in again
    assert pd.read_csv(out.with_name("clean-duplicates.csv"))["id"].tolist() == ["r8", "r9", "r10", "r11"]


def test_a_list_of_duplicates_that_are_gone_is_emptied(manifest):
    salign("data", "check", manifest)
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([lines[0], lines[1], lines[3], lines[-1]]) + "\n")
    printed = salign("data", "check", manifest).out
    assert "duplicates.csv" not in printed
    assert len(pd.read_csv(manifest.parent / "manifest-duplicates.csv")) == 0


def test_sets_of_several_labels_keep_their_cells(manifest):
    text = manifest.read_text().replace(",cat,train", ",dog;cat,train").replace("r12.png,dog,", "r12.png,,")
    manifest.write_text(text.replace("r1.png,cat", "r1.png,cat;dog"))
    out = manifest.parent / "clean.csv"
    salign("data", "check", manifest, "--multi-label", "--without-duplicates", out)
    table = Manifest.read(out, multi_label=True).table.set_index("id")
    assert table.loc["r1", "label"] == "cat;dog"
    assert "r0" not in table.index
    assert pd.isna(table.loc["r12", "label"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--near",), "--near says which copies are left out"),
        (("--quick", "--without-duplicates", "x.csv"), "--quick reads no pixels"),
    ],
)
def test_options_that_do_nothing_are_refused(manifest, options, complaint):
    assert complaint in salign("data", "check", manifest, *options, code=2).err


def test_the_manifest_that_is_checked_is_not_replaced_and_faults_come_first(manifest):
    before = manifest.read_text()
    assert "give another name" in salign("data", "check", manifest, "--without-duplicates", manifest, code=2).err
    manifest.write_text(before + "x,gone.png,cat,train,\n")
    salign("data", "check", manifest, "--without-duplicates", manifest.parent / "c.csv", code=1)
    assert not (manifest.parent / "c.csv").exists()
