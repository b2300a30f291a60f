"""Writing whole or not at all: in which order, under which names, and what is left when it fails."""

import ntpath
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.files import (
    LEFTOVERS,
    common_folder,
    relative_path,
    replace_csv,
    replace_text,
    replacing,
    write_csv,
)
from salign.maps.files import write_map


def test_a_file_is_on_the_disk_before_it_takes_its_name_and_its_name_before_the_call_returns(tmp_path, monkeypatch):
    path, calls, names = tmp_path / "a.txt", [], {}
    opened, synced, replaced = os.open, os.fsync, Path.replace

    def open_(name, *rest):
        handle = opened(name, *rest)
        names[handle] = Path(name)
        return handle

    def fsync(handle):
        content = (
            names[handle].read_text() if names[handle].is_file() else sorted(p.name for p in names[handle].iterdir())
        )
        calls.append(("sync", names[handle].name, content))
        synced(handle)

    def replace(self, target):
        calls.append(("rename", self.name, Path(target).name))
        return replaced(self, target)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    replace_text(path, "new")
    partial = calls[0][1]
    assert partial != "a.txt"
    assert calls == [
        ("sync", partial, "new"),
        ("rename", partial, "a.txt"),
        ("sync", tmp_path.name, ["a.txt"]),
    ]


def test_maps_by_the_thousand_do_not_wait_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: pytest.fail("a map waited for the disk"))
    write_map(tmp_path / "m.png", np.eye(4))
    assert read_saliency(tmp_path / "m.png").tolist() == np.eye(4).tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


@pytest.mark.parametrize("name", ["n" * 251 + ".txt", "\u00e4" * 127, os.fsdecode(b"\xff" * 255)])
def test_a_name_may_be_as_long_as_names_can_be(name, tmp_path):
    replace_text(tmp_path / name, "it")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "it"


def test_two_files_of_one_folder_are_written_side_by_side(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "b") as other:
        one.write_text("1")
        other.write_text("2")
        assert sorted(path.name for path in tmp_path.glob(LEFTOVERS)) == sorted([one.name, other.name])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "1", "b": "2"}


def test_what_was_there_stays_when_the_disk_does_not_take_the_new(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        replace_text(path, "new")
    assert caught.value.filename == str(path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_lines_end_alike_on_every_system(tmp_path, monkeypatch):
    """On Windows `os.linesep` is what pandas ends lines with, and what text files put in place of every line end."""
    monkeypatch.setattr(os, "linesep", "\r\n")
    replace_text(tmp_path / "a.txt", "a\nb\r\nc")
    assert (tmp_path / "a.txt").read_bytes() == b"a\nb\r\nc"
    replace_csv(tmp_path / "a.csv", pd.DataFrame({"a": [1, 2], "b": ["x", "y\nz"]}))
    assert (tmp_path / "a.csv").read_bytes() == b'a,b\n1,x\n2,"y\nz"\n'


def test_a_cell_with_a_carriage_return_is_quoted_and_all_else_is_written_as_by_pandas(tmp_path):
    table = pd.DataFrame(
        {
            "a, b": ["x,y", 'q"z', "p\nq", "", None, "ümlaut", " ", "r\r\ns"],
            "c": [1.5, 2, None, 1e-9, 1e22, -0.0, 3, 0.1 + 0.2],
            "d": [True, False] * 4,
        }
    )
    path = tmp_path / "a.csv"
    replace_csv(path, table[:7])
    assert path.read_bytes() == table[:7].to_csv(index=False, lineterminator="\n").encode()
    write_csv(table[:7], path, mode="a", header=False)
    again = table[:7].to_csv(index=False, lineterminator="\n", header=False)
    assert path.read_bytes() == (table[:7].to_csv(index=False, lineterminator="\n") + again).encode()
    replace_csv(path, table)
    assert path.read_bytes().endswith(b'"r\r\ns",0.30000000000000004,False\n')
    replace_csv(path, pd.DataFrame({"e\rf": ["one\rtwo", "x\r", "\r"], "g": [1, 2, 3]}))
    assert path.read_bytes() == b'"e\rf",g\n"one\rtwo",1\n"x\r",2\n"\r",3\n'


def test_paths_of_manifests_have_slashes_on_windows_too(monkeypatch):
    folder = common_folder(Path("/data/images"), Path("/data/maps"))
    assert folder == Path("/data")
    assert relative_path("/data/maps/a b.png", "/data/images") == "../maps/a b.png"
    assert relative_path("/data/odd\\name.png", "/data") == "odd\\name.png", "a name here, no folder"
    with monkeypatch.context() as windows:
        windows.setattr(os, "path", ntpath)
        windows.setattr(os, "sep", "\\")
        below = relative_path("C:\\data\\maps\\a.png", "C:\\Data\\images")
        with pytest.raises(SalignError) as refused:
            common_folder("C:\\data", "D:\\maps")
    assert below == "../maps/a.png"
    assert str(refused.value).startswith("C:\\data, D:\\maps: these lie on different drives")
