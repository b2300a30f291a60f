"""Whatever reads a file refuses a pipe that nobody writes to, where it would wait for ever; and links out of a run."""

from __future__ import annotations

import os
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from command import salign
from salign.annotate.access import read_secret
from salign.annotate.pictures import PictureCache
from salign.annotate.store_file import database_in
from salign.annotations.formats.arrays import read_arrays
from salign.annotations.formats.columns import Columns
from salign.annotations.formats.mask_folder import read_masks
from salign.data.manifest import Manifest
from salign.data.manifest.image_files import image_files
from salign.data.manifest.sources import from_cvrl
from salign.data.reading.image import ImageError, image_size, read_image, read_saliency
from salign.errors import SalignError
from salign.evaluate.predictions import read_predictions
from salign.models import Classifier
from salign.runs.folder import RunFolder
from salign.train.callbacks import PlainFile
from salign.train.recipe import Recipe


@pytest.fixture(autouse=True)
def patience():
    """Who waits is stopped after ten seconds, so that the test fails and does not hang."""

    def fail(*_):
        raise TimeoutError("it waits for the other end of the pipe")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


READERS = {
    "image.png": read_image,
    "image.dcm": read_image,
    "image": read_image,
    "size.dcm": image_size,
    "size.jpg": image_size,
    "map.png": read_saliency,
    "secret": read_secret,
    "manifest.csv": Manifest.read,
    "manifest.parquet": Manifest.read,
    "cvrl.csv": lambda path: from_cvrl(path, path.parent),
    "columns.csv": lambda path: Columns.read(path, ("a",)),
    "stack.npy": lambda path: read_arrays(path),
    "maps.npz": lambda path: read_arrays(path),
    "predictions.csv": read_predictions,
    "recipe.yaml": Recipe.read,
    "resume.ckpt": lambda path: PlainFile().load_checkpoint(path),
    "model.json": lambda path: Classifier.load(path.parent),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_refused_and_not_waited_for(name, tmp_path):
    path = tmp_path / name
    os.mkfifo(path)
    path.chmod(0o600)
    with pytest.raises(SalignError, match=r"pipe|no such|expected"):
        READERS[name](path)


def test_an_image_that_is_a_pipe_is_named_as_its_row_is(tmp_path):
    os.mkfifo(tmp_path / "a.dcm")
    for read in (read_image, image_size):
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "a.dcm", where="manifest.csv row 7 (a.dcm)")
        assert str(caught.value) == f"manifest.csv row 7 (a.dcm): {tmp_path / 'a.dcm'} is a named pipe; expected a file"
    for read in (read_image, image_size):
        with pytest.raises(ImageError) as caught:
            read(tmp_path / "b.png", where="manifest.csv row 8 (b.png)")
        assert str(caught.value) == f"manifest.csv row 8 (b.png): no such file: {tmp_path / 'b.png'}"


def test_pipes_in_folders_are_passed_over(tmp_path):
    for name in ("pipe", "pipe.png", "pipe.dcm"):
        os.mkfifo(tmp_path / name)
    assert list(image_files(tmp_path)) == []
    with pytest.raises(SalignError):
        read_masks(tmp_path)


def test_what_a_study_of_annotation_keeps_is_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "a")  # where a study in the folder `a?b` was once kept by mistake
    folder = tmp_path / "a?b"
    folder.mkdir()
    assert database_in(folder) == folder / "annotations.db"


def test_a_kept_picture_that_became_a_pipe_is_made_again(tmp_path):
    Image.fromarray(np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    first = PictureCache(tmp_path / "cache").image(tmp_path / "a.png", 8)
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.unlink()
        os.mkfifo(path)
    assert PictureCache(tmp_path / "cache").image(tmp_path / "a.png", 8) == first


def test_a_run_folder_of_pipes_is_refused(trained, tmp_path):
    whole = shutil.copytree(trained, tmp_path / "run")
    for name in ("recipe.yaml", "model.json", "weights.safetensors", "done", "predictions/val.csv"):
        kept = (whole / name).read_bytes()
        (whole / name).unlink()
        os.mkfifo(whole / name)
        assert salign("evaluate", whole, code=2 if name != "weights.safetensors" else 0)
        assert salign("analyse", whole, "--images", 1, code=2)
        (whole / name).unlink()
        (whole / name).write_bytes(kept)


@pytest.mark.parametrize(("command", "name"), [("analyse", "analysis"), ("explain", "page")])
def test_a_run_folder_writes_nowhere_else(command, name, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    mine = tmp_path / "mine"
    mine.mkdir()
    for file in ("done", "agreement.csv", "maps.npz", "index.html"):
        (mine / file).write_text("not to be lost")
    shutil.rmtree(run / name, ignore_errors=True)
    (run / name).symlink_to(mine)
    said = salign(command, run, code=2).err
    assert f"{run / name} is a link" in said
    assert {file.name: file.read_text() for file in mine.iterdir()} == dict.fromkeys(
        ("done", "agreement.csv", "maps.npz", "index.html"), "not to be lost"
    )
    with pytest.raises(SalignError, match="is a link"):
        RunFolder.open(run)
