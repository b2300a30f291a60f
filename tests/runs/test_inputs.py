"""Images and maps that change between a kill and `--resume`."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.shards import write_shards
from salign.errors import SalignError
from salign.readers import file
from salign.runs import inputs
from salign.runs.folder import RunFolder
from salign.runs.inputs import check_inputs, note_inputs
from salign.train.prepare import prepare
from salign.train.recipe import DataRecipe

ROWS = """id,path,label,split,saliency
a,a.png,cat,train,maps/a.png
b,b.png,dog,train,
c,c.png,cat,val,
d,d.png,dog,val,maps/d.png
e,e.png,dog,test,
"""


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "maps").mkdir(parents=True)
    for number, name in enumerate(["a", "b", "c", "d", "e", "maps/a", "maps/d"]):
        Image.new("L", (4, 4), 10 + number).save(folder / f"{name}.png")
    (folder / "m.csv").write_text(ROWS)
    return folder


def begun(folder):
    """A run folder as a kill after an epoch leaves it."""
    run = RunFolder(folder / "run")
    run.path.mkdir(exist_ok=True)
    note_inputs(run, data_of(folder / "photos"))
    run.resume.write_bytes(b"an epoch")
    return run


def data_of(photos):
    return prepare(DataRecipe(manifest=str(photos / "m.csv"), image_size=4))


def test_the_notes_hold_every_image_and_map_of_every_set(photos, tmp_path):
    noted = pd.read_csv(begun(tmp_path).inputs, dtype=str)
    assert sorted(noted["file"]) == ["a.png", "b.png", "c.png", "d.png", "e.png", "maps/a.png", "maps/d.png"]
    assert noted.set_index("file")["size"].astype(int)["a.png"] == (photos / "a.png").stat().st_size


@pytest.mark.parametrize("name", ["a.png", "c.png", "e.png", "maps/a.png", "maps/d.png"])
def test_a_changed_file_is_named(photos, tmp_path, name):
    run = begun(tmp_path)
    Image.new("L", (4, 4), 99).save(photos / name)
    with pytest.raises(SalignError, match=rf"run: 1 images or maps .*: {name} was changed\. Bring them back"):
        check_inputs(run, data_of(photos))


def test_the_same_size_does_not_hide_a_change(photos, tmp_path):
    (photos / "b.png").write_bytes(raw := _padded(photos / "b.png", b"one"))
    run = begun(tmp_path)
    (photos / "b.png").write_bytes(changed := raw[:-3] + b"two")
    assert len(changed) == len(raw)
    os.utime(photos / "b.png", ns=(1, 1))
    with pytest.raises(SalignError, match=r"b\.png was changed"):
        check_inputs(run, data_of(photos))


def test_a_copy_elsewhere_is_no_other_file(photos, tmp_path):
    run = begun(tmp_path)
    shutil.copytree(photos, tmp_path / "moved", copy_function=shutil.copyfile)  # new times, another folder
    shutil.rmtree(photos)
    check_inputs(run, data_of(tmp_path / "moved"))


def test_unchanged_files_are_not_read_again(photos, tmp_path, monkeypatch):
    run = begun(tmp_path)
    data = data_of(photos)
    monkeypatch.setattr("salign.runs.inputs.file_digest", None)
    check_inputs(run, data)


def test_rows_that_came_or_went_are_named(photos, tmp_path):
    """Of one manifest other rows are used where files became readable or unreadable (`data.faults: leave_out`)."""
    run = begun(tmp_path)
    (photos / "m.csv").write_text(ROWS.replace("e,e.png", "f,f.png"))
    (photos / "e.png").rename(photos / "f.png")
    with pytest.raises(SalignError, match=r"2 images or maps .*: e\.png is gone, f\.png is new\."):
        check_inputs(run, data_of(photos))


def test_nothing_is_compared_before_the_first_epoch_or_without_notes(photos, tmp_path):
    run = begun(tmp_path)
    Image.new("L", (4, 4), 99).save(photos / "a.png")
    run.resume.unlink()
    check_inputs(run, data_of(photos))
    run.resume.write_bytes(b"an epoch")
    run.inputs.unlink()
    check_inputs(run, data_of(photos))


def test_going_on_keeps_the_first_notes_and_starting_again_writes_new_ones(photos, tmp_path):
    run = begun(tmp_path)
    before = run.inputs.read_text()
    Image.new("L", (4, 4), 99).save(photos / "a.png")
    note_inputs(run, data_of(photos))
    assert run.inputs.read_text() == before
    run.resume.unlink()
    note_inputs(run, data_of(photos))
    assert run.inputs.read_text() != before


def test_a_finished_run_keeps_no_notes(photos, tmp_path):
    run = begun(tmp_path)
    run.finish()
    assert not run.inputs.exists()


def _padded(path, end):
    """A PNG may be followed by anything."""
    return path.read_bytes() + end


def test_of_shards_the_shards_are_noted_with_the_digests_of_their_index(photos, tmp_path, monkeypatch):
    shards = write_shards(Manifest.read(photos / "m.csv"), tmp_path / "shards", 1).parent
    data = prepare(DataRecipe(manifest=str(shards / "manifest.parquet"), image_size=4))
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    monkeypatch.setattr(inputs, "known_digest", lambda path: pytest.fail(f"{path} was read"))
    note_inputs(run, data)
    run.resume.write_bytes(b"an epoch")
    noted = pd.read_csv(run.inputs).set_index("file")["digest"].to_dict()
    names = ["test-000000.tar", "train-000000.tar", "train-000001.tar", "val-000000.tar", "val-000001.tar"]
    assert sorted(noted) == names
    assert all(noted[name] == hashlib.sha256((shards / name).read_bytes()).hexdigest() for name in names)
    os.utime(shards / names[0], ns=(1, 1))  # as a copy has
    check_inputs(run, data)
    content = bytearray((shards / names[1]).read_bytes())
    content[-1] = 1
    (shards / names[1]).write_bytes(content)
    with pytest.raises(SalignError, match=r"1 images or maps .*: train-000000\.tar was changed"):
        check_inputs(run, data)


def test_runs_of_one_process_read_each_file_once(photos, tmp_path, monkeypatch):
    for path in photos.rglob("*.png"):
        os.utime(path, ns=(1, 1))  # what was changed just now may change again
    read, digest = [], file.file_digest
    monkeypatch.setattr(file, "file_digest", lambda path: (read.append(Path(path).name), digest(path))[1])
    for name in ("first", "second"):
        run = RunFolder(tmp_path / name)
        run.path.mkdir()
        note_inputs(run, data_of(photos))
    images = [name for name in read if name.endswith(".png")]
    assert sorted(images) == ["a.png", "a.png", "b.png", "c.png", "d.png", "d.png", "e.png"]  # two images have maps
    first, second = (pd.read_csv(tmp_path / name / "inputs.csv") for name in ("first", "second"))
    pd.testing.assert_frame_equal(first, second)
