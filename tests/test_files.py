"""Writing whole or not at all: in which order, under which names, and what is left when it fails."""

import os
from pathlib import Path

import numpy as np
import pytest

from salign.data.reading.image import read_saliency
from salign.files import LEFTOVERS, replace_text, replacing
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
