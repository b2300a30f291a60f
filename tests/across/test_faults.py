"""What can be wrong with what a user gives: one message that names it, code 2, and nothing written is lost."""

from __future__ import annotations

import contextlib
import pickle
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import salign, small, written
from processes import Program
from salign.models import Classifier
from salign.runs.folder import RunFolder
from salign.train.recipe import Recipe

COLUMNS = ["id", "path", "label", "split", "saliency"]
IMAGES = 32
TRAINED_ON = range(16)


class Project:
    """A small set, a recipe for it, and a folder of runs in which one run is finished already."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self.manifest = folder, folder / "runs", folder / "manifest.csv"
        rng = np.random.default_rng(0)
        rows = []
        for k in range(IMAGES):
            for kind in "im":
                Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(folder / f"{kind}{k}.png")
            split = "train" if k in TRAINED_ON else ("val", "test")[k // 2 % 2]
            rows.append((f"n{k}", f"i{k}.png", ("fake", "real")[k % 2], split, f"m{k}.png"))
        self.table = pd.DataFrame(rows, columns=COLUMNS)
        self.save()
        self.content = small(
            self.manifest,
            data={"test": ["test"], "classes": None, "groups": [], "image_size": 32},
            train={"epochs": 1, "batch_size": 8},
        )
        self.recipe = written(folder / "recipe.yaml", self.content)

    def save(self) -> None:
        self.table.to_csv(self.manifest, index=False)

    def change(self, k: int, column: str, value: object) -> None:
        self.table.loc[k, column] = value
        self.save()

    def train(self, *options: object, code: int = 0):
        return salign("train", self.recipe, "--out", self.runs, "--quiet", *options, code=code)

    def snapshot(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.runs.rglob("*") if path.is_file()}

    def refused(self, *messages: str, options: tuple[object, ...] = (), command: tuple[object, ...] = ()) -> str:
        """Train (or run `command`), and see one message with all these parts while older runs stay as they are."""
        before = self.snapshot()
        assert before
        ended = salign(*command, code=2) if command else self.train(*options, code=2)
        for message in messages:
            assert message in ended.err
        assert ended.err.startswith("error: ")
        assert ended.err.count("error: ") == 1
        assert "Traceback" not in ended.err + ended.out
        after = self.snapshot()
        assert {path: after.get(path) for path in before} == before
        return ended.err


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("template"))
    project.train("--set", "name=older")
    return project


@pytest.fixture
def project(template, tmp_path):
    """A set of its own to break, and a run finished earlier."""
    import shutil

    shutil.copytree(template.runs, tmp_path / "runs")
    return Project(tmp_path)


def half(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def as_tiff(project: Project, k: int, values: np.ndarray) -> None:
    Image.fromarray(values.astype(np.float32)).save(project.folder / f"i{k}.tif")
    project.change(k, "path", f"i{k}.tif")


def png_claiming(width: int, height: int) -> bytes:
    """A whole PNG of a few hundred bytes whose header promises that many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


class Trap:
    """Leaves a file behind where it is unpickled by a reader that runs code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_missing_image_and_a_missing_map(project):
    (project.folder / "i3.png").unlink()
    (project.folder / "m20.png").unlink()
    message = project.refused("manifest.csv: 2 faults", "row 5, path: no such file", "i3.png")
    assert "row 22, saliency: no such file" in message
    assert "m20.png" in message


def test_a_missing_manifest_or_recipe(project):
    project.manifest.unlink()
    project.refused("there is no file", "manifest.csv")
    project.recipe.unlink()
    project.refused("recipe.yaml")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0 the beginning of one"])
def test_a_jpeg_that_is_none(project, content):
    (project.folder / "bad.jpg").write_bytes(content)
    project.change(4, "path", "bad.jpg")
    message = project.refused("row 6, path: bad.jpg")
    assert "is empty" in message or "is damaged" in message or "cannot be read" in message


def test_a_jpeg_cut_off_in_the_middle(project):
    """The header is whole, so only decoding finds it: while training, or by `data check`, or by leave_out."""
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(
        project.folder / "cut.jpg"
    )
    half(project.folder / "cut.jpg")
    project.change(4, "path", "cut.jpg")
    project.refused("manifest.csv row 6 (cut.jpg): cannot be read")
    assert "row 6" in salign("data", "check", project.manifest, code=1).out


@pytest.mark.parametrize(("kind", "column"), [("i", "path"), ("m", "saliency")])
def test_an_image_of_one_pixel(project, kind, column):
    Image.new("L", (1, 1)).save(project.folder / f"{kind}7.png")
    project.refused(f"row 9, {column}: {kind}7.png", "1 x 1 pixels; expected at least 2 x 2")


def test_a_map_of_another_shape(project):
    Image.new("L", (50, 50), 7).save(project.folder / "m9.png")
    project.refused("row 11, saliency: m9.png: the map is 50 x 50 pixels and the image 50 x 40")


def test_a_map_of_the_same_shape_at_another_size_is_fine(project):
    Image.new("L", (100, 80), 7).save(project.folder / "m9.png")
    project.train()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.5, -0.1])
def test_pixels_of_a_float_tiff_that_are_no_picture(project, wrong):
    values = np.full((40, 50), 0.5)
    values[3, 4] = wrong
    as_tiff(project, 6, values)
    message = project.refused("manifest.csv row 8 (i6.tif): cannot be read")
    assert ("1 of 2000 pixels are NaN or infinite" if not np.isfinite(wrong) else "expected in [0, 1]") in message


def test_an_unknown_class_asked_for(project):
    project.refused("no row has label 'fack'; there are fake, real", options=("--set", "data.classes=[fack, real]"))


def test_an_unknown_class_in_a_row(project):
    project.change(20, "label", "Fake")
    project.refused("manifest.csv: 1 fault", "row 22, label: unknown class 'Fake'; expected one of fake, real")


def test_an_id_that_comes_twice(project):
    project.change(5, "id", "n2")
    project.refused("row 7, id: 'n2' was already used in row 4")


def test_an_empty_cell(project):
    project.change(5, "label", None)
    project.refused("row 7, label: the cell is empty")


def test_a_split_without_images(project):
    project.refused("no row has split 'vla'; there are test, train, val", options=("--set", "data.val=[vla]"))
    project.table = project.table[(project.table["split"] != "val") | (project.table["label"] != "real")]
    project.save()
    project.refused("the validation set has no image of real")


@pytest.mark.parametrize("name", ["../outside.png", "a/../../outside.png", "/etc/hostname", "link.png", "C:\\x.png"])
def test_a_path_that_leaves_the_root(project, name):
    outside = project.folder.parent / "outside.png"
    Image.new("L", (40, 50), 3).save(outside)
    (project.folder / "link.png").symlink_to(outside)
    project.change(8, "path", name)
    message = project.refused(f"row 10, path: {name!r}")
    assert "leaves the root" in message or "is absolute" in message


@pytest.mark.parametrize("kind", ["i", "m"])
def test_a_picture_that_would_fill_the_memory(project, kind):
    (project.folder / f"{kind}2.png").write_bytes(png_claiming(60_000, 60_000))
    column = {"i": "path", "m": "saliency"}[kind]
    message = project.refused(f"row 4, {column}: {kind}2.png", "decompression bomb")
    assert "60000 x 60000" in message or "more than" in message
    ended = salign(
        "predict",
        next(project.runs.iterdir()),
        project.folder / "i2.png",
        "--out",
        project.folder / "p.csv",
        code=2 if kind == "i" else 0,
    )
    assert ("i2.png" in ended.err) == (kind == "i")


def test_a_small_file_that_says_it_is_a_huge_bitmap(project):
    (project.folder / "x.pbm").write_bytes(b"P4\n60000 60000\n")
    project.change(2, "path", "x.pbm")
    project.refused("row 4, path: x.pbm: more than 89,478,485 pixels")


def test_a_picture_of_a_kind_that_is_not_read(project):
    (project.folder / "x.png").write_bytes(b"#define x_width 8\n#define x_height 1\nstatic char x_bits[] = {0xff};\n")
    project.change(2, "path", "x.png")
    project.refused("row 4, path: x.png", "expected PNG")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_pickle_posing_as_starting_weights(project, name):
    mark = project.folder / "ran"
    (project.folder / name).write_bytes(pickle.dumps({"weight": Trap(mark)}))
    options = ("--set", f"model.weights={project.folder / name}")
    project.refused(name, "Pickled weights", options=options)
    assert not mark.exists()


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_a_pickle_posing_as_the_weights_of_a_run(project, command):
    (run,) = project.runs.iterdir()
    mark = project.folder / "ran"
    (run / "weights.safetensors").write_bytes(pickle.dumps({"weight": Trap(mark)}))
    rest = (project.folder / "i0.png", "--out", project.folder / "p.csv") if command == "predict" else ()
    project.refused("weights.safetensors", "Pickled weights", command=(command, run, *rest))
    assert not mark.exists()
    assert not (project.folder / "p.csv").exists()


def test_a_pickle_posing_as_the_point_to_resume_from(project):
    recipe = Recipe.read(project.recipe)
    run, mark = RunFolder.of(recipe, project.runs), project.folder / "ran"
    run.start(recipe)
    run.resume.write_bytes(pickle.dumps({"state_dict": Trap(mark)}, protocol=2))
    project.refused("resume.ckpt", "damaged", "start again", options=("--resume",))
    run.resume.write_bytes(b"")
    project.refused("resume.ckpt", "damaged", "start again", options=("--resume",))
    assert not mark.exists()


def test_blank_maps_train_without_weight_and_are_said(project):
    """Looked and marked nothing: accepted; it changes nothing but the count of maps."""
    blanks = TRAINED_ON[:8]
    for k in blanks:
        Image.new("L", (50, 40), 0).save(project.folder / f"m{k}.png")
    assert "training: 16 images (8 fake, 8 real), 16 with a saliency map" in project.train().out
    (blank,) = project.runs.glob("small-*")
    checked = salign("data", "check", project.manifest)
    assert "blank" in checked.out
    table = project.table
    project.table = table.assign(saliency=table["saliency"].mask(table.index < len(blanks)))
    project.save()
    assert "training: 16 images (8 fake, 8 real), 8 with a saliency map" in project.train().out
    (nobody,) = set(project.runs.glob("small-*")) - {blank}
    assert (pd.read_csv(nobody / "metrics.csv")["train/saliency"] > 0).all()
    assert (nobody / "weights.safetensors").read_bytes() == (blank / "weights.safetensors").read_bytes()


def test_leaving_out_what_is_faulty(project):
    half(project.folder / "i4.png")
    Image.new("L", (1, 1)).save(project.folder / "m6.png")
    values = np.full((40, 50), np.nan)
    as_tiff(project, 17, values)
    said = project.train("--set", "data.faults=leave_out").out
    assert "left out 3 faults" in said
    assert "training: 14 images" in said
    (run,) = project.runs.glob("small-*")
    left = pd.read_csv(run / "left_out.csv")
    assert left["row"].tolist() == [6, 8, 19]
    assert left["column"].tolist() == ["path", "saliency", "path"]
    assert [name in message for name, message in zip(("i4", "m6", "i17"), left["message"], strict=True)] == [True] * 3
    answered = pd.concat(pd.read_csv(path) for path in (run / "predictions").iterdir())
    assert "n17" not in set(answered["id"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "before", "after"),
    [(0.5, [], ["weights.safetensors"]), (1.5, ["weights.safetensors"], ["resume.ckpt"])],
    ids=["weights", "resume point"],
)
def test_a_full_disk_while_training(project, share, before, after):
    """The weights fit or do not; the point to resume from is larger. With room again, the run goes on to its end."""
    old = project.snapshot()
    size = int(share * (next(project.runs.iterdir()) / "weights.safetensors").stat().st_size)
    train = Program("train", project.recipe, "--out", project.runs, "--quiet", "--resume", largest_file=size)
    out, err = train.communicate()
    (run,) = project.runs.glob("small-*")
    assert train.returncode == 2, out + err
    assert "Traceback" not in err
    assert err.count("error: ") == 1
    assert "What was written before is whole" in err
    assert str(run) in err
    assert not (run / "done").exists()
    assert [name for name in (*before, *after) if (run / name).exists()] == before
    if before:
        Classifier.load(run)
    assert {path: path.read_bytes() for path in old} == old
    project.train("--resume")
    assert (run / "done").exists()
    assert not list(run.glob(".*"))


@contextlib.contextmanager
def mounted(folder: Path, *options: str):
    """A small file system of its own at `folder`."""
    folder.mkdir(exist_ok=True)
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full(project):
    """All of it: not one file is too large, the last of several is."""
    size = (next(project.runs.iterdir()) / "weights.safetensors").stat().st_size
    out = project.folder / "small_disk"
    with mounted(out, "-o", f"size={2 * size // 1024}k"):
        ended = salign("train", project.recipe, "--out", out, "--quiet", code=2)
        assert "No space left on device" in ended.err
        assert str(out) in ended.err
        assert "Traceback" not in ended.err
        (run,) = out.iterdir()
        assert not (run / "done").exists()
        kept = [path for path in run.rglob("*.safetensors") if path.stat().st_size]
        assert all(Classifier.load(path.parent) for path in kept)
        with contextlib.suppress(OSError), (out / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        ended = salign("predict", next(project.runs.iterdir()), project.folder, "--out", out / "p.csv", code=2)
        assert "p.csv" in ended.err
        assert not (out / "p.csv").exists()


def test_a_folder_that_is_read_only(project):
    """Root may write where permissions say no, so the file system itself is read-only."""
    out = project.folder / "sealed"
    with mounted(out):
        salign("train", project.recipe, "--out", out, "--quiet", "--set", "name=before")
        (run,) = out.iterdir()
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        commands = [
            ("train", project.recipe, "--out", out, "--quiet"),
            ("evaluate", run),
            ("explain", run, "--images", 1),
            ("predict", run, project.folder / "i0.png", "--out", out / "p.csv"),
        ]
        for command in commands:
            ended = salign(*command, code=2)
            assert "Read-only file system" in ended.err
            assert str(out) in ended.err
            assert ended.err.count("error: ") == 1
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
