"""Marking block by block: as one process marks, gone on with after interruptions, and on Ray with a process killed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import salign
from processes import one_worker_killed, wait_to_be_killed
from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.machine.options import rows_to_mark
from salign.models import Classifier, SaliencyNet
from salign.runs.blocks import BLOCK, check_blocks, do_block
from salign.runs.mark_blocks import MarkBlocks, count_images, cut_rows, draw_maps_on_ray


@pytest.fixture
def place(tmp_path) -> Path:
    """A net, a classifier and 24 images, of which the training ones 5 and 6 have a map and the last is for validation.

    They are not square, and several have one name.
    """
    SaliencyNet("test_resnet", image_size=32, width=16, seed=1).save(tmp_path / "net")
    Classifier("test_resnet", ("a", "b"), image_size=32, output_stride=8, seed=2).save(tmp_path / "teacher")
    rng = np.random.default_rng(0)
    lines = ["id,path,label,split,saliency,camera"]
    for k in range(24):
        path = tmp_path / "set" / f"{k // 8}" / f"photo {k % 8}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
        human = "map.png" if k in (5, 6) else ""
        split = "train" if k < 23 else "val"
        lines.append(f"i{k},{path.relative_to(tmp_path / 'set')},{'ab'[k % 2]},{split},{human},{k % 3}")
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(tmp_path / "set" / "map.png")
    (tmp_path / "set" / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "set"


def mark(place: Path, name: str, *options: object, runs: tuple[str, ...] = ("net",), code: int = 0) -> str:
    folders = [place.parent / run for run in runs]
    words = ("--out", place / name, "--batch-size", 4, *options)
    ended = salign("autoannotate", place / "manifest.csv", *folders, *words, code=code)
    return ended.err if code else ended.out


def written(place: Path, name: str) -> dict[str, bytes]:
    """Every file that the command wrote, as it would be called if its output were called `x`."""
    files = [*(place / name).rglob("*"), *place.glob(f"{name}*.csv")]
    return {
        path.relative_to(place).as_posix().replace(name, "x"): path.read_bytes().replace(name.encode(), b"x")
        for path in files
        if path.is_file()
    }


def job_of(place: Path, name: str) -> tuple[MarkBlocks, list[Manifest]]:
    """What `mark(place, name, "--ray", "--block", 8)` does."""
    job = MarkBlocks((place.parent / "net",), place / name, block=8, batch_size=4)
    read = Manifest.read(place / "manifest.csv")
    return job, cut_rows(read.take(rows_to_mark(read, job.out, ["train"], begun=job.is_begun)), job.block)


@pytest.mark.parametrize(
    ("runs", "options"),
    [
        (("net",), ()),
        (("teacher",), ("--method", "rise", "--masks", 5, "--of", "predicted")),
        (("net", "teacher"), ("--below", 0.5)),
    ],
    ids=["net", "rise", "drafts of two"],
)
def test_maps_and_manifest_are_to_the_byte_those_of_one_process(place, in_turn, runs, options):
    said = mark(place, "plain", *options, runs=runs)
    by_blocks = mark(place, "blocks", *options, "--ray", "--block", 8, runs=runs)
    assert by_blocks == said.replace("plain", "blocks")
    assert "21 images marked" in by_blocks
    assert in_turn == [0, 1, 2]
    expected = written(place, "plain")
    assert written(place, "blocks") == expected
    assert sum(name.endswith(".png") for name in expected) == 21
    assert ("x-drafts.csv" in expected) == ("--below" in options)
    assert not list(place.glob("*.blocks"))
    assert "is not empty; choose a new folder" in mark(place, "blocks", "--ray", runs=runs, code=2)


def test_it_goes_on_after_an_interruption_and_draws_what_is_gone_again(place, in_turn):
    mark(place, "plain")
    job, parts = job_of(place, "blocks")
    assert [len(part) for part in parts] == [8, 8, 5]
    job.folder.mkdir()
    (job.folder / "job.json").write_text(json.dumps(check_blocks(job, parts)))
    for number in (0, 1):
        do_block(job, job.load(), number, parts[number])
    written_first = sorted(job.out.iterdir())
    written_first[2].unlink()  # of block 0
    (job.folder / "000002-killed").mkdir()
    (job.out / ".0123456789abcdef.77.partial").write_bytes(b"half a map")
    before = written_first[12].stat().st_mtime_ns  # of block 1
    assert "is not empty" in mark(place, "blocks", code=2), "without --ray nothing is gone on with"
    mark(place, "blocks", "--ray", "--block", 8, "--below", 0.01)
    assert in_turn == [0, 2]
    assert written_first[12].stat().st_mtime_ns == before
    assert written(place, "blocks") == written(place, "plain")


def test_blocks_stay_until_the_manifest_is_written(place, in_turn, monkeypatch):
    def refuse(self, path):
        raise SalignError("the disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(Manifest, "write", refuse)
        assert "the disk is full" in mark(place, "blocks", "--ray", code=2)
    assert in_turn == [0]
    mark(place, "blocks", "--ray")
    assert in_turn == [0]
    mark(place, "plain")
    assert written(place, "blocks") == written(place, "plain")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"block": 12}, "--block differed"),
        ({"batch_size": 2}, "--batch-size differed"),
        ({"method": "rise", "of": "predicted", "masks": 7}, "--method and --of and --masks differed"),
        ({"runs": "teacher"}, "the models differed"),
        ({}, "the images differed"),
    ],
    ids=["block", "batch", "method", "models", "images"],
)
def test_blocks_of_something_else_are_not_gone_on_from(place, change, told):
    job, parts = job_of(place, "blocks")
    runs = (place.parent / change.get("runs", "net"),)
    other, rows = replace(job, **{**change, "runs": runs}), parts if change else parts[1:]
    job.folder.mkdir()
    (job.folder / "job.json").write_text(json.dumps(check_blocks(job, parts)))
    check_blocks(other, rows)  # nothing is done yet
    job.out.mkdir()
    (job.out / "000002_photo_0.png").write_bytes(b"a map, and its block was not finished")
    check_blocks(job, parts)
    with pytest.raises(SalignError, match=told):
        check_blocks(other, rows)


def test_a_faulty_image_stops_its_block_and_is_named(place, in_turn):
    (place / "1" / "photo 3.png").write_bytes(b"no image")
    job, parts = job_of(place, "blocks")
    with pytest.raises(SalignError, match=r"manifest\.csv row 13 \(1/photo 3\.png\)"):
        draw_maps_on_ray(job, parts)
    assert in_turn == [0]


def test_a_block_holds_whole_batches(place):
    assert [count_images(None, size) for size in (16, 48, 5000)] == [BLOCK, 1008, 5000]
    assert count_images(96, 48) == 96
    said = mark(place, "blocks", "--ray", "--block", 6, code=2)
    assert "--block: expected a multiple of --batch-size, which is 4" in said
    for option in (["--block", 4], ["--actors", 2], ["--ray-address", "auto"]):
        assert "belong to --ray" in mark(place, "blocks", *option, code=2)


class HeldBlocks(MarkBlocks):
    """The first process that begins a block waits there to be killed."""

    def write(self, loaded, number, part, table):
        wait_to_be_killed(self.folder.with_suffix(".killed"))
        super().write(loaded, number, part, table)


@pytest.mark.long
@pytest.mark.slow
def test_on_ray_with_a_process_killed_at_work_maps_and_manifest_are_those_of_one_process(place, monkeypatch):
    ray = pytest.importorskip("ray", reason="needs the ray extra")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # on a machine with other work, Ray would wait for all of it
    monkeypatch.setattr("salign.runs.mark_blocks.MarkBlocks", HeldBlocks)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no process of Ray can import a test
    said = mark(place, "plain", "--below", 0.5, runs=("net", "teacher"))
    with one_worker_killed(place / "blocks.killed") as killed:
        by_ray = mark(
            place, "blocks", "--below", 0.5, "--ray", "--block", 4, "--actors", 2, runs=("net", "teacher")
        )  # fmt: skip
    assert len(killed) == 1
    said_by_both = said.replace("plain", "blocks").splitlines()
    assert [line for line in by_ray.splitlines() if line in said_by_both] == said_by_both, "Ray itself says more"
    assert written(place, "blocks") == written(place, "plain")
    assert not (place / "blocks.blocks").exists()
