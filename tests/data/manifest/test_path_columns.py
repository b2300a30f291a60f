from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from salign.data.manifest import faults, path_columns
from salign.data.manifest.path_columns import different_files, doubtful, folders_of
from salign.data.manifest.text_table import TEXT

NAMES = [
    "a.png", "deep/b.png", "deep/in/c é.png", "gone.png", "deep/gone.png", "nowhere/a.png", "./a.png", "deep//b.png",
    "deep/../a.png", "../out.png", "..", "/a.png", "C:/a.png", "a\0.png", "deep", "deep/", "link.png", "out_link.png",
    "away/out.png", "inner/b.png", "deep\\b.png", "A.PNG", " a.png", "",
]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """Files, links to files and to folders, inside of the root and out of it."""
    root = tmp_path / "root"
    (root / "deep" / "in").mkdir(parents=True)
    for name in ("a.png", "deep/b.png", "deep/in/c é.png", "../out.png"):
        (root / name).write_bytes(b"x")
    (root / "link.png").symlink_to(root / "a.png")
    (root / "out_link.png").symlink_to(tmp_path / "out.png")
    (root / "away").symlink_to(tmp_path)
    (root / "inner").symlink_to(root / "deep")
    return root


def column(names):
    return pd.Series(names, dtype=TEXT)


@pytest.mark.parametrize("worth", [1, 64])
def test_listing_folders_finds_what_looking_at_each_name_finds(root, monkeypatch, worth):
    """A name that is not doubtful has no fault, and every other one is looked at by itself."""
    monkeypatch.setattr(path_columns, "_WORTH_A_LISTING", worth)
    each = {name for name in NAMES if faults._path_fault(name, root, {}) is not None}
    suspects = set(doubtful(pa.array(NAMES, pa.large_string()), root))
    assert each <= suspects
    assert set(NAMES) - suspects == ({"a.png", "deep/b.png", "deep/in/c é.png", "inner/b.png"} if worth == 1 else set())
    table = pd.DataFrame({"path": column([*NAMES, None, *NAMES]), "row": range(2 * len(NAMES) + 1)})
    assert {table["path"][row] for row, _, _ in faults.path_faults(table, root, ["path"])} == each
    assert len(faults.path_faults(table, root, ["path"])) == 2 * len(each)


def test_a_part_of_a_shard_is_in_the_file_of_the_shard():
    names = column(["x/0.tar@512+9/a.png", "x/0.tar@1024+9/b.png", None, "x/c.png", "1.tar@0+1/d.png", "0.tar@x/e.png"])
    assert sorted(different_files(names).to_pylist()) == ["0.tar@x/e.png", "1.tar", "x/0.tar", "x/c.png"]
    assert sorted(folders_of(names)) == ["0.tar@x/", "1.tar", "x/", "x/0.tar"]
    assert folders_of(column([None])) == []
