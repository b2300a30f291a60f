"""Time and memory to open a large manifest: the first time, when it is validated, and every later time.

    python benchmarks/manifest.py --json manifest.json          # 10 million rows, about 4 minutes of a processor
    python benchmarks/manifest.py --rows 200000                 # a quick look

The rows name images and maps in shards of 10,000 images. The shard files exist but are empty, so that no ten million
files have to be made. Each opening runs in a process of its own, whose peak resident memory is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from timing import environment

PER_SHARD, ROOM = 10_000, 20_480
_OPEN = """
import sys, time
from pathlib import Path
from salign.data.manifest import Manifest
begun = time.perf_counter()
rows = len(Manifest.read(sys.argv[1]))
seconds = time.perf_counter() - begun
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(rows, seconds, int(peak.split()[1]) / 2**20)
"""


def write_manifests(folder: Path, rows: int) -> list[Path]:
    """The same rows as Parquet and as CSV, and the shards that they name."""
    number = np.arange(rows)
    ids = pc.utf8_lpad(pa.array(number).cast(pa.string()), 8, "0")
    shard = pc.utf8_lpad(pa.array(number // PER_SHARD).cast(pa.string()), 6, "0")

    def names(start: int, ending: str) -> pa.Array:
        offset = pa.array(number % PER_SHARD * ROOM + start).cast(pa.string())
        return pc.binary_join_element_wise(shard, ".tar@", offset, "+9000/", ids, ending, "")

    table = pa.table(
        {
            "id": ids,
            "path": names(512, ".jpg"),
            "label": pa.array(np.array(["a", "b"])[number % 2]),
            "split": pa.array(np.array([*["train"] * 7, "val", "val", "test"])[number % 10]),
            "saliency": names(10_240, ".map.png"),
        }
    )
    for k in range(-(-rows // PER_SHARD)):
        with (folder / f"{k:06}.tar").open("wb") as file:
            file.truncate(PER_SHARD * ROOM + 1024)
    paths = [folder / "manifest.parquet", folder / "manifest.csv"]
    pa_parquet.write_table(table, paths[0], row_group_size=1_000_000)
    pa_csv.write_csv(table, paths[1])
    return paths


def open_once(path: Path, cache: Path) -> dict[str, float]:
    command = [sys.executable, "-c", _OPEN, str(path)]
    environ = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    said = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.split()
    return {"rows": int(said[0]), "seconds": float(said[1]), "gib": float(said[2])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    before, figures = environment(), dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_manifests(Path(folder), options.rows)
        time.sleep(3)  # a set that changed in the last two seconds is not noted as sound
        for path in paths:
            for what in ("first", "validated"):
                seen = figures[f"{path.suffix[1:]}, {what}"] = open_once(path, Path(folder) / "cache")
                what = f"{path.suffix[1:]}, {what}:"
                print(f"{what:20}{seen['rows']:>12,} rows {seen['seconds']:7.1f} s {seen['gib']:6.2f} GiB", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"environment": before, "load_after": environment()["load"], **figures}))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
