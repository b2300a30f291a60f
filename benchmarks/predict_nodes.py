"""Kill one of two Ray nodes midway through `salign predict --ray`, and count the images that are lost or doubled.

    python benchmarks/predict_nodes.py --json predict_nodes.json           # 100,000 images
    python benchmarks/predict_nodes.py --images 4000 --block 64            # a quick look

The images are small coloured squares, each with its own content and name. The real command predicts them, in a process
of its own, on a Ray cluster of two nodes with one CPU each, both on this machine. When half of the blocks are done, the
second node is killed with all its processes. The resulting table is compared with that of the command without `--ray`,
image by image. Ray's processes run at normal priority (`RAY_worker_niceness=0`), so that the rates can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from PIL import Image
from ray.cluster_utils import Cluster
from timing import environment

from salign import Classifier

CLASSES = ("left", "right")
IN_A_FOLDER = 1000
STORE = 200 * 2**20
"""Bytes of memory that a node may share among its processes."""


@dataclass
class Watched:
    """A command at work, and what was seen of it."""

    process: subprocess.Popen[str]
    begun: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    peak_bytes: int = 0
    """Highest resident memory of the command itself, without the processes of Ray."""
    attempts: dict[int, dict[str, float]] = field(default_factory=dict)
    """For each block, the folders in which processes worked at it, and when each was seen first, in seconds."""
    killed: dict[str, Any] = field(default_factory=dict)
    """What stood where when the node was killed."""

    def look(self, blocks: Path) -> tuple[int, int]:
        """Note memory and the blocks at work; how many blocks are done, and how many at work."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            (peak,) = (line for line in lines if line.startswith("VmHWM"))
            self.peak_bytes = 1024 * int(peak.split()[1])
            names = [path.name for path in blocks.iterdir()]
        except (OSError, ValueError):  # it has ended, or has no blocks yet
            return 0, 0
        begun = [name for name in names if "-" in name]
        for name in begun:
            tries = self.attempts.setdefault(int(name.split("-")[0]), {})
            tries.setdefault(name, time.perf_counter() - self.begun)
        return sum(name.endswith(".parquet") for name in names), len(begun)


def write_images(folder: Path, count: int) -> list[str]:
    """PNG files of 32 x 32 pixels in 4 x 4 squares of random colours, no two alike; their names in order."""
    rng, names = np.random.default_rng(0), []
    for k in range(count):
        name = f"{k // IN_A_FOLDER:04d}/image {k:07d}.png"
        if k % IN_A_FOLDER == 0:
            (folder / name).parent.mkdir(parents=True)
        squares = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(squares.repeat(8, 0).repeat(8, 1)).save(folder / name, compress_level=1)
        names.append(name)
    return names


def begin(run: Path, images: Path, out: Path, *options: object) -> Watched:
    """`salign predict` as a process of its own."""
    command = [sys.executable, "-m", "salign", "predict", run, images, "--out", out, "--workers", 0, *options]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environ = {**os.environ, "RAY_worker_niceness": "0"}
    return Watched(subprocess.Popen([str(word) for word in command], env=environ, **pipes))


def watch(command: Watched, blocks: Path, total: int, node: Any, patience: float) -> None:
    """Until it has ended; kill the node when half of the blocks are done and both nodes are at work."""
    done, moved = 0, time.perf_counter()
    while command.process.poll() is None:
        now = time.perf_counter()
        before, (done, at_work) = done, command.look(blocks)
        if done != before:
            moved = now
        if not command.killed and done >= total / 2 and at_work == 2:
            command.killed = {"done": done, "seconds": now - command.begun, "processes": kill(node)}
            moved = time.perf_counter()
        if now - moved > patience:
            command.process.kill()
            raise SystemExit(f"no block was finished for {patience:.0f} s, {done} of {total} are done: it hangs")
        time.sleep(0.02)
    finish(command)


def finish(command: Watched) -> None:
    """Wait for the end; a command that fails ends this program."""
    while command.process.poll() is None:
        command.look(Path("/nowhere"))
        time.sleep(0.02)
    command.seconds = time.perf_counter() - command.begun
    said = command.process.stdout.read() if command.process.stdout else ""
    if command.process.returncode:
        raise SystemExit(f"the command ended with {command.process.returncode}: {said}")


def kill(node: Any) -> list[str]:
    """End all processes of a node, as a machine ends that loses its power; what they were."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    family = [raylet, *raylet.children(recursive=True)]
    titles = [process.name() for process in family]
    for process in family:
        process.kill()
    return titles


def on_two_nodes(run: Path, images: Path, out: Path, total: int, options: argparse.Namespace) -> Watched:
    """Predict on a cluster that loses its second node."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    of_each = {"num_cpus": 1, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**of_each, "include_dashboard": False})
    try:
        second = cluster.add_node(**of_each)
        cluster.wait_for_nodes()
        command = begin(run, images, out, "--ray", "--ray-address", cluster.address, "--block", options.block)
        watch(command, out.with_name(f"{out.name}.blocks"), total, second, options.patience)
    finally:
        cluster.shutdown()
    if not command.killed:
        raise SystemExit("the command ended before the second node could be killed at work; take more images")
    return command


def compare(names: list[str], plain: Path, out: Path) -> dict[str, Any]:
    """Which images the table lacks or has twice, and how far its figures are from those of the plain command."""
    table, expected = pd.read_parquet(out), pd.read_parquet(plain)
    counts = table["id"].value_counts()
    both = table.drop_duplicates("id").merge(expected, on="id", suffixes=("", "_plain"))
    columns = [f"{kind}_{name}" for kind in ("prob", "logit") for name in CLASSES]
    apart = {name: float((both[name] - both[f"{name}_plain"]).abs().max()) for name in columns}
    return {
        "rows": len(table),
        "lost": sorted(set(names) - set(counts.index)),
        "doubled": sorted(counts[counts > 1].index),
        "unknown": sorted(set(counts.index) - set(names)),
        "in_order": table["id"].tolist() == names,
        "largest_difference": apart,
        "other_class": int((both["predicted"] != both["predicted_plain"]).sum()),
        "different_answers": int(expected["prob_left"].nunique()),
    }


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write the images, predict them twice, and compare."""
    run, images = folder / "run", folder / "images"
    Classifier("test_resnet", CLASSES, image_size=32, seed=3).save(run)
    names, total = write_images(images, options.images), -(-options.images // options.block)
    plain = begin(run, images, folder / "plain.parquet")
    finish(plain)
    by_ray = on_two_nodes(run, images, folder / "answers.parquet", total, options)
    figures = compare(names, folder / "plain.parquet", folder / "answers.parquet")
    repeated = {str(number): list(tries.values()) for number, tries in by_ray.attempts.items() if len(tries) > 1}
    figures |= {"images": len(names), "blocks": total, "killed": by_ray.killed, "blocks_repeated": repeated}
    figures["last_new_block"] = max(min(tries.values()) for tries in by_ray.attempts.values())
    for name, command in (("plain", plain), ("ray", by_ray)):
        rate = len(names) / command.seconds
        figures[name] = {
            "seconds": command.seconds,
            "images_per_second": rate,
            "peak_bytes": command.peak_bytes,
        }
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print what came out."""
    images, answers, killed = figures["images"], figures["different_answers"], figures["killed"]
    print(f"{images:,} images in {figures['blocks']} blocks, with {answers:,} different answers")
    print(f"killed after {killed['seconds']:.1f} s, {killed['done']} blocks done: {', '.join(killed['processes'])}")
    for name, title in (("plain", "one process"), ("ray", "two nodes, one killed")):
        seconds, rate, peak = figures[name].values()
        print(f"{title}: {seconds:.1f} s, {rate:.0f} images / s, peak memory of the command {peak / 2**20:.0f} MiB")
    for number, begun in figures["blocks_repeated"].items():
        print(f"block {number} was begun after {', '.join(f'{seconds:.1f}' for seconds in begun)} s", end="; ")
    print(f"the last of the others after {figures['last_new_block']:.1f} s")
    print(", ".join(f"{what} {len(figures[what])}" for what in ("lost", "doubled", "unknown")), end="; ")
    print("in the order of the images" if figures["in_order"] else "NOT in the order of the images")
    apart = max(figures["largest_difference"].values())
    print(f"largest difference of a logit or probability {apart:.1e}, other classes {figures['other_class']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--block", type=int, default=1024, help="images in a block")
    parser.add_argument("--patience", type=float, default=300, help="seconds without a finished block that are a hang")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    before = environment()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options)
        show(figures)
        if options.json:
            content = {"environment": before, "load_after": os.getloadavg(), **figures}
            options.json.write_text(json.dumps(content, indent=2))
            print(f"wrote {options.json}", flush=True)  # removing so many files can take minutes
    if figures["lost"] or figures["doubled"] or figures["unknown"] or not figures["in_order"]:
        raise SystemExit("images were lost, doubled or moved")


if __name__ == "__main__":
    main()
