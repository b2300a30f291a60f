"""Load test of `salign annotate` with many annotators: whether every save arrives, and how long a save takes.

    python benchmarks/annotate_load.py --json annotate_load.json   # 10 minutes

A real `salign annotate` serves on loopback. In this process, simulated annotators do what the page does: request the
next images, fetch them, think, and save an answer with brush strokes. They think for 1 to 3 seconds, which is several
times faster than people. The program stops by itself and then looks for every save in the database.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml
from PIL import Image
from rich.console import Console
from rich.table import Table
from timing import environment

from salign.annotate.opening import open_collection

SIZE = (1200, 1600)


class Figures:
    """Milliseconds of every request by kind, what went wrong, and the keys that were acknowledged."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, list[float]] = defaultdict(list)
        self.faults: list[str] = []
        self.keys: set[str] = set()

    async def ask(self, kind: str, call: Any) -> httpx.Response | None:
        """Await a request and note how it went; None unless it went well."""
        begun = time.perf_counter()
        try:
            reply: httpx.Response = await call
        except httpx.HTTPError as error:
            self.faults.append(f"{kind}: {error!r}")
            return None
        self.milliseconds[kind].append(1000 * (time.perf_counter() - begun))
        if reply.status_code != 200:
            self.faults.append(f"{kind}: {reply.status_code} {reply.text[:200]}")
            return None
        return reply


def write_images(folder: Path, count: int) -> None:
    lot = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(lot.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC).save(folder / f"{number:04}.jpg", quality=90)


def strokes(lot: random.Random) -> list[dict[str, Any]]:
    """About 300 points of a brush with pressure and times, 15 kB as JSON."""
    shapes = []
    for _ in range(lot.randint(1, 5)):
        x, y, points = lot.uniform(100, 1500), lot.uniform(100, 1100), []
        for _ in range(100):
            x, y = x + lot.gauss(0, 6), y + lot.gauss(0, 6)
            points.append([round(x, 2), round(y, 2)])
        radii = [round(lot.uniform(10, 30), 2) for _ in points]
        times = [16 * number for number in range(len(points))]
        shapes.append({"kind": "stroke", "points": points, "radii": radii, "erase": False, "times": times})
    return shapes


async def annotator(number: int, base: str, until: float, think: tuple[float, float], found: Figures) -> None:
    lot = random.Random(number)
    await asyncio.sleep(lot.uniform(0, think[1]))
    async with httpx.AsyncClient(base_url=base, headers={"X-Salign": "1"}, timeout=30) as client:
        client.headers["x-salign-study"] = (await client.get("/api/session")).json()["study"]
        reply = await found.ask("join", client.post("/api/join", json={"name": f"annotator {number}"}))
        if reply is None:
            return
        client.headers["authorization"] = f"Bearer {reply.json()['token']}"
        held: list[dict[str, Any]] = []
        while time.monotonic() < until:
            have = [task["id"] for task in held]
            reply = await found.ask("next", client.post("/api/next", json={"have": have}))
            for task in reply.json()["tasks"] if reply is not None else []:
                await found.ask("image", client.get(f"/api/image/{task['images'][0]['id']}?w=1000"))
                held.append(task)
            if not held:
                return
            await asyncio.sleep(lot.uniform(*think))
            key, task = str(uuid.uuid4()), held.pop(0)
            body = {
                "task": task["id"],
                "answer": lot.choice("ab"),
                "shapes": strokes(lot),
                "elapsed_ms": 2000,
                "base": 0,
            }
            if await found.ask("save", client.put(f"/api/annotations/{key}", json=body)) is not None:
                found.keys.add(key)


async def load(people: int, base: str, seconds: float, think: tuple[float, float]) -> Figures:
    found, until = Figures(), time.monotonic() + seconds
    await asyncio.gather(*(annotator(number, base, until, think, found) for number in range(people)))
    return found


def started(folder: Path, db: str | None) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-c", "from salign.cli import main; main()", "annotate", str(folder), "--no-open"]
    command += ["--port", "0", *(("--db", db) if db else ())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    base = ""
    for line in process.stdout:
        if line.startswith("annotators: "):
            base = line.split(": ", 1)[1].strip().rstrip("/")
        if "Ctrl-C" in line:
            return process, base
    raise SystemExit("the server did not start")


def quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share)) if values else math.nan


def main() -> None:
    """Run the load, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--think", type=float, nargs=2, default=(1.0, 3.0), metavar=("LEAST", "MOST"), help="seconds")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--db", help="an empty database, e.g. postgresql://USER@HOST/NAME [SQLite]")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_images(folder, asked.images)
        study = {"classes": ["a", "b"], "annotators_per_image": asked.annotators}
        (folder / "annotate.yaml").write_text(yaml.safe_dump(study))
        process, base = started(folder, asked.db)
        before = environment()
        try:
            found = asyncio.run(load(asked.annotators, base, 60 * asked.minutes, tuple(asked.think)))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
        snapshot = open_collection(folder, url=asked.db).store.snapshot()
    answered = len(snapshot.latest)
    if answered != len(found.keys):
        found.faults.append(f"acknowledged {len(found.keys)} saves, the database holds {answered}")
    rows = {
        kind: {
            "requests": len(values),
            **{f"p{share}": quantile(values, share / 100) for share in (50, 95, 99)},
            "slowest": max(values),
        }
        for kind, values in found.milliseconds.items()
    }
    table = Table("request", "number", "p50 ms", "p95 ms", "p99 ms", "slowest ms")
    for kind, row in rows.items():
        figures = (f"{row[name]:.0f}" for name in ("p50", "p95", "p99", "slowest"))
        table.add_row(kind, str(row["requests"]), *figures)
    console = Console()
    console.print(table)
    what = f"{asked.annotators} annotators, {asked.minutes:g} minutes, load {before['load'][0]:.1f} before"
    console.print(f"{what}, {os.getloadavg()[0]:.1f} after; {answered} answers stored; {len(found.faults)} errors")
    for fault in found.faults[:10]:
        console.print(fault, markup=False)
    if asked.json:
        figures = {"annotators": asked.annotators, "minutes": asked.minutes, "think": asked.think, "stored": answered}
        content = {**figures, "errors": found.faults, "requests": rows, "before": before, "after": environment()}
        asked.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
