"""Prediction block by block: cut, agreed with what lies there, joined, and on Ray with a process killed at work."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from command import salign
from processes import one_worker_killed, wait_to_be_killed
from salign.data.manifest.file_names import Part
from salign.errors import SalignError
from salign.models import Classifier, Threshold
from salign.runs.blocks import check_blocks, do_block
from salign.runs.predict_blocks import PredictBlocks, cut, open_model, predict_on_ray, threshold_of

NAMES = [*(f"a/{k:02}.png" for k in range(0, 20, 2)), *(f"b/{k:02}.png" for k in range(1, 20, 2))]


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    """A model with a threshold, and twenty images in two folders."""
    folder = tmp_path_factory.mktemp("blocks")
    model = Classifier("test_resnet", ("left", "right"), image_size=32, seed=3)
    model.threshold = Threshold(positive="left", probability=0.5, rule="eer")
    model.save(folder / "model")
    rng = np.random.default_rng(0)
    for name in NAMES:
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
    salign("predict", folder / "model", folder / "in", "--out", folder / "plain.csv", "--workers", 0)
    return folder


@pytest.fixture
def job(case, tmp_path) -> PredictBlocks:
    return PredictBlocks(case / "model", case / "in", tmp_path / "p.csv", block=8)


def test_images_are_cut_in_their_order_and_none_is_lost_or_doubled(case):
    parts = cut(case / "in", 8)
    assert [[path for path, _ in part.files] for part in parts] == [NAMES[:8], NAMES[8:16], NAMES[16:]]
    assert [part.first for part in parts] == [0, 8, 16]
    assert parts[1].files[0] == ("a/16.png", "a/16.png")
    assert [len(part.files) for part in cut(case / "in", 20)] == [20]
    assert cut(case / "in" / "b" / "03.png", 8) == [Part(0, [("03.png", "03.png")])]
    with pytest.raises(SalignError, match="no such folder or image"):
        cut(case / "gone", 8)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_is_that_of_one_process_and_what_is_done_is_not_done_again(case, job, in_turn, suffix):
    job = replace(job, out=job.out.with_suffix(suffix), maps=job.out.parent / "maps")
    parts = cut(job.images, 8)
    job.folder.mkdir()
    (job.folder / "job.json").write_text(json.dumps(check_blocks(job, parts)))
    do_block(job, open_model(job.run), 1, parts[1])
    (job.folder / "000000-killed").mkdir()  # what a process leaves that is killed
    assert predict_on_ray(job) == (20, [])
    assert in_turn == [0, 2]
    read = pd.read_csv if suffix == ".csv" else pd.read_parquet
    table, plain = read(job.out), pd.read_csv(case / "plain.csv")
    assert table["id"].tolist() == NAMES
    pd.testing.assert_frame_equal(table.replace("", np.nan), plain, check_dtype=False, atol=1e-6)
    assert sorted(path.relative_to(job.maps).as_posix() for path in job.maps.rglob("*.png")) == NAMES
    assert not job.folder.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"threshold": 0.4}, "--threshold differed"),
        ({"block": 9}, "--block differed"),
        ({"maps": Path("maps"), "overlays": Path("o")}, "--maps and --overlays differed"),
        ({"images": Path("in/a")}, "the images differed"),
        ({"run": Path("other")}, "the model differed"),
    ],
)
def test_blocks_of_something_else_are_not_gone_on_from(case, job, in_turn, change, told, tmp_path):
    Classifier("test_resnet", ("left", "right"), image_size=32, seed=4).save(case / "other")
    parts = cut(job.images, job.block)
    job.folder.mkdir()
    (job.folder / "job.json").write_text(json.dumps(check_blocks(job, parts)))
    other = replace(job, **{key: case / value if key in ("images", "run") else value for key, value in change.items()})
    check_blocks(other, cut(other.images, other.block))  # nothing is done yet
    do_block(job, open_model(job.run), 2, parts[2])
    check_blocks(replace(job, batch_size=4, workers=3, leave_out=True), parts)
    with pytest.raises(SalignError, match=told):
        check_blocks(other, cut(other.images, other.block))


def test_a_faulty_image_stops_its_block_alone_or_is_left_out_and_named(case, job, in_turn, tmp_path):
    images = tmp_path / "in"
    for name in NAMES[:9]:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes((case / "in" / name).read_bytes())
    (images / NAMES[5]).write_bytes(b"no image")
    job = replace(job, images=images, block=3)
    with pytest.raises(SalignError, match=r"/in/a/10\.png: the file is damaged"):
        predict_on_ray(job)
    assert in_turn == [0]
    count, faults = predict_on_ray(replace(job, leave_out=True))
    assert (in_turn, count, len(faults)) == ([0, 1, 2], 8, 1)
    assert faults[0].startswith("a/10.png: the file is damaged")
    assert pd.read_csv(job.out)["id"].tolist() == NAMES[:5] + NAMES[6:9]


def test_a_block_that_kills_its_process_is_given_up(job):
    parts = cut(job.images, 8)
    for k in range(3):
        (job.folder / f"000001-{k}").mkdir(parents=True)
    do_block(job, open_model(job.run), 0, parts[0])
    with pytest.raises(SalignError, match=r"Block 1 \(a/16\.png, \.\.\.\): its process died 3 times"):
        do_block(job, open_model(job.run), 1, parts[1])


def test_the_threshold_of_a_run_is_told_without_its_network(case, tmp_path, in_turn, monkeypatch):
    pytest.importorskip("ray", reason="needs the ray extra")
    expected = {given: open_model(case / "model", given)[1].threshold for given in (None, 0.25)}
    assert [threshold.probability for threshold in expected.values()] == [0.5, 0.25]
    options = ("--out", tmp_path / "p.csv", "--ray", "--threshold", 0.25)
    said = salign("predict", case / "model", case / "in", *options).out
    assert f"predicted_at_threshold: {expected[0.25]}\n" in said
    monkeypatch.setattr("salign.models.load", None)
    assert {given: threshold_of(case / "model", given) for given in expected} == expected
    monkeypatch.undo()
    Classifier("test_resnet", ("left", "right"), image_size=32).save(tmp_path / "bare")
    assert threshold_of(tmp_path / "bare", 0.25) is None


def test_what_is_of_ray_alone_asks_for_it(case):
    for option in (["--block", 4], ["--actors", 2], ["--ray-address", "auto"]):
        assert "belong to --ray" in salign("predict", case / "model", case / "in", *option, code=2).err


class HeldBlocks(PredictBlocks):
    """The first process that begins a block waits there to be killed."""

    def write(self, loaded, number, part, table):
        wait_to_be_killed(self.out.with_suffix(".killed"))
        super().write(loaded, number, part, table)


@pytest.mark.long
@pytest.mark.slow
def test_on_ray_with_a_process_killed_at_work_the_table_is_that_of_one_process(case, job, monkeypatch):
    ray = pytest.importorskip("ray", reason="needs the ray extra")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # on a machine with other work, Ray would wait for all of it
    monkeypatch.setattr("salign.runs.predict_blocks.PredictBlocks", HeldBlocks)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no process of Ray can import a test
    plain = pd.read_csv(case / "plain.csv")
    job = replace(job, block=4)
    parts = cut(job.images, job.block)
    job.folder.mkdir()
    (job.folder / "job.json").write_text(json.dumps(check_blocks(job, parts)))
    do_block(job, open_model(job.run), 1, parts[1])
    pd.read_parquet(job.table(1)).assign(split="earlier").to_parquet(job.table(1))
    with one_worker_killed(job.out.with_suffix(".killed")) as killed:
        said = salign("predict", job.run, job.images, "--out", job.out, "--ray", "--block", 4, "--actors", 2).out
    assert len(killed) == 1
    assert f"wrote {job.out} (20 images)" in said
    table = pd.read_csv(job.out)
    assert table["split"].fillna("").tolist() == [""] * 4 + ["earlier"] * 4 + [""] * 12  # that block was not done again
    pd.testing.assert_frame_equal(table.drop(columns="split"), plain.drop(columns="split"), atol=1e-6)
    assert not job.folder.exists()


@dataclass(frozen=True)
class SlowBlocks(PredictBlocks):
    """Each block takes a while, and notes its number and process when it is begun."""

    @property
    def notes(self) -> Path:
        return self.out.with_suffix(".notes")

    def begun(self) -> list[list[int]]:
        """The number of each block that was begun, and the process that it was begun in."""
        return [list(map(int, line.split())) for line in self.notes.read_text().splitlines()]

    def write(self, loaded, number, part, table):
        with self.notes.open("a") as notes:
            notes.write(f"{number} {os.getpid()}\n")
        time.sleep(0.3)
        super().write(loaded, number, part, table)


def kill_a_node_at_work(job: SlowBlocks, raylet: psutil.Process, killed: set[int], over: threading.Event) -> None:
    """End a node and its processes while one of these is at its second block; `killed` gets their numbers."""
    while not over.wait(0.01):
        family = {process.pid: process for process in raylet.children(recursive=True)}
        counts = Counter(process for _, process in job.begun() if process in family)
        if counts and max(counts.values()) >= 2:
            killed |= set(family)
            for process in (raylet, *family.values()):
                with contextlib.suppress(psutil.NoSuchProcess):  # it ended with its node
                    process.kill()
            return


@pytest.mark.long
@pytest.mark.slow
def test_of_two_nodes_one_is_killed_and_no_image_is_lost_or_doubled(case, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="needs the ray extra")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # on a machine with other work, Ray would wait for all of it
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no process of Ray can import a test
    (tmp_path / "in").mkdir()
    for k, colour in enumerate(np.random.default_rng(1).integers(0, 255, (400, 3), dtype=np.uint8)):
        Image.fromarray(np.broadcast_to(colour, (32, 32, 3))).save(tmp_path / "in" / f"{k:03}.png")
    salign("predict", case / "model", tmp_path / "in", "--out", tmp_path / "plain.parquet", "--workers", 0)
    job = SlowBlocks(case / "model", tmp_path / "in", tmp_path / "answers.parquet", block=16)
    job.notes.touch()
    killed, over = set[int](), threading.Event()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        raylet = psutil.Process(cluster.add_node(num_cpus=1).all_processes["raylet"][0].process.pid)
        killer = threading.Thread(target=kill_a_node_at_work, args=(job, raylet, killed, over))
        killer.start()
        assert predict_on_ray(job, address=cluster.address) == (400, [])
    finally:
        over.set()
        ray.shutdown()
        cluster.shutdown()
    table, plain = pd.read_parquet(job.out), pd.read_parquet(tmp_path / "plain.parquet")
    assert table["id"].tolist() == [f"{k:03}.png" for k in range(400)]
    pd.testing.assert_frame_equal(table, plain)
    assert plain["prob_left"].nunique() > 390
    tries = Counter(number for number, _ in job.begun())
    of_the_killed = [number for number, process in job.begun() if process in killed]
    assert sorted(tries) == list(range(25))
    assert len(of_the_killed) >= 2
    assert tries[of_the_killed[-1]] == 2, "the block at work when its node was killed is begun again"
    assert {number for number, count in tries.items() if count > 1} <= set(of_the_killed), "and none of another node"
