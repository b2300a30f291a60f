from __future__ import annotations

import os
import time

import pandas as pd
import pytest

from salign.data.manifest import Manifest, ManifestError, table as table_module, verdict
from salign.data.manifest.verdict import Verdict, forget_verdicts

LONG_AGO = time.time() - 1000


def age(*paths):
    """As if the last change were long ago."""
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture(params=["m.csv", "m.parquet"])
def manifest(tmp_path, monkeypatch, request):
    """A manifest of three images in two folders, which counts as a large one; nothing changed lately."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(table_module, "MANY", 3)
    root = tmp_path / "root"
    names = ["one/a.png", "one/b.png", "two/c.png"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    table = pd.DataFrame({"id": list("abc"), "path": names, "label": list("xyx"), "split": "train", "saliency": None})
    path = Manifest.of(table, root).write(root / request.param)
    age(root / "one", root / "two")
    return path


@pytest.fixture
def looks(monkeypatch):
    """How often the rows were validated."""
    count, validate = [], Manifest.faults
    monkeypatch.setattr(Manifest, "faults", lambda self: [count.append(1), *validate(self)][1:])
    return count


@pytest.fixture
def old(monkeypatch):
    """The clock goes ahead, so that nothing was changed in the last seconds."""
    monkeypatch.setattr(verdict.time, "time_ns", lambda: int((time.time() + 60) * 1e9))


def test_a_large_manifest_is_validated_once(manifest, looks, old):
    first = Manifest.read(manifest)
    again = Manifest.read(manifest)
    assert len(looks) == 1
    pd.testing.assert_frame_equal(first.table, again.table)
    assert (first.root, first.source, first.file) == (again.root, again.source, again.file)


def test_a_small_one_and_one_that_was_just_written_are_validated_each_time(manifest, looks, monkeypatch, old):
    monkeypatch.setattr(table_module, "MANY", 4)
    Manifest.read(manifest)
    Manifest.read(manifest)
    assert len(looks) == 2
    monkeypatch.setattr(table_module, "MANY", 3)
    monkeypatch.setattr(verdict.time, "time_ns", lambda: manifest.stat().st_ctime_ns + 10**9)
    Manifest.read(manifest)
    Manifest.read(manifest)
    assert len(looks) == 4


def test_what_is_removed_or_renamed_is_told_as_before(manifest, looks, old):
    Manifest.read(manifest)
    (manifest.parent / "one/b.png").rename(manifest.parent / "one/c.png")
    with pytest.raises(ManifestError, match=r"row 3, path: no such file: .*one/b\.png"):
        Manifest.read(manifest)
    (manifest.parent / "one/c.png").rename(manifest.parent / "one/b.png")
    assert len(Manifest.read(manifest)) == 3
    assert len(looks) == 3


def test_a_changed_manifest_other_options_and_another_root_are_validated_anew(manifest, looks, old):
    Manifest.read(manifest)
    Manifest.read(manifest, multi_label=True)
    Manifest.read(manifest, unsplit=True)
    assert len(looks) == 3
    with pytest.raises(ManifestError, match="no image is below"):
        Manifest.read(manifest, manifest.parent / "one")
    whole = Manifest.read(manifest)
    assert len(looks) == 4
    twice = pd.concat([whole.table, whole.table.head(1)]).drop(columns="row")
    if manifest.suffix == ".csv":
        twice.to_csv(manifest, index=False)
    else:
        twice.to_parquet(manifest, index=False)
    with pytest.raises(ManifestError, match=r"row 5, id: 'a' was already used in row 2"):
        Manifest.read(manifest)


def test_who_insists_has_it_validated_again_and_a_damaged_note_is_none(manifest, looks, old, tmp_path):
    Manifest.read(manifest)
    forget_verdicts(manifest)
    Manifest.read(manifest)
    assert len(looks) == 2
    (note,) = (tmp_path / "cache" / "salign" / "manifests").glob("*/*.json")
    for content in ("", "[]", "{}", '{"manifest": 1, "folders": 2}', '{"manifest": [1, 2, 3], "folders": {}}'):
        note.write_text(content)
        Manifest.read(manifest)
    assert len(looks) == 7


def test_a_cache_that_cannot_be_written_changes_nothing_but_time(manifest, looks, old, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert len(Manifest.read(manifest)) == len(Manifest.read(manifest)) == 3
    assert len(looks) == 2


def test_each_way_of_looking_has_a_note_of_its_own(manifest, old):
    names = [pd.Series(["one/a.png"], dtype="string[pyarrow]")]
    Verdict(manifest, "images", "train").note(names, manifest.parent)
    assert Verdict(manifest, "images", "train").holds
    assert not Verdict(manifest, "images", "val").holds
    age(manifest.parent / "two")  # no file of this note is there
    assert Verdict(manifest, "images", "train").holds
    (manifest.parent / "one/new.png").write_bytes(b"")
    assert not Verdict(manifest, "images", "train").holds
