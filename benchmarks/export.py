"""Images per second of an exported model against torch, with answers and maps: float32 and int8, 1 or 16 images.

    python benchmarks/export.py RUN --json export.json   # about 2 minutes on 2 cores

The run is exported into a temporary folder. All variants take turns in the same minutes with the same number of
threads. torch computes in inference mode with channels_last weights, as `salign predict` does. Reading images is not
included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from timing import environment, ratio, take_turns

from salign.runs.export import export_run
from salign.runs.run import Run

TORCH, FLOAT, HALF, INT8 = "torch", "onnx float32", "onnx float16", "onnx int8"
PRECISIONS = {FLOAT: "float32", HALF: "float16", INT8: "int8"}
FIRST_ANSWER = """
import sys, time
began = time.perf_counter()
import salign
salign.runtime.load(sys.argv[1])(sys.argv[2])
print(time.perf_counter() - began, time.process_time())
"""


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def steps(model: Any, sessions: dict[str, Any], batch: int) -> dict[str, Callable[[], object]]:
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *model.image_size, 3), dtype=np.uint8)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255

    def by_torch() -> object:
        with torch.inference_mode():
            output = model(images)
            return output.logits.softmax(1), output.cam(output.logits.argmax(1))

    return {TORCH: by_torch} | {name: lambda s=s: s.run(None, {"pixels": pixels}) for name, s in sessions.items()}


def first_answer(path: Path, image: Path, rounds: int) -> dict[str, float]:
    """Seconds from the start of Python's work to the first answer, in processes of their own; the median."""
    program = [sys.executable, "-c", FIRST_ANSWER, str(path), str(image)]
    pairs = [subprocess.check_output(program, text=True).split() for _ in range(rounds)]
    return {"wall": median(float(a) for a, _ in pairs), "processor": median(float(b) for _, b in pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = Run.open(options.run)
    model = run.model()
    report: dict[str, Any] = {"environment": environment(), "run": run.path.name, "compared": {}, "rates": {}}
    console, began = Console(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sessions = {}
        for name, precision in PRECISIONS.items():
            path, compared = export_run(run, Path(folder) / f"{precision}.onnx", precision=precision)
            sessions[name] = session(path, options.threads)
            report["compared"][name] = vars(compared) | {"megabytes": path.stat().st_size / 1e6}
        image = run.data("val").manifest.image_path(0)
        report["first answer, seconds"] = first_answer(Path(folder) / "float32.onnx", image, 5)
        table = Table(title=f"{run.path.name}: images per second, answers and maps; {options.threads} threads")
        for heading in ("batch", *(TORCH, *PRECISIONS), "onnx / torch", "int8 / float32"):
            table.add_column(heading, justify="right")
        for batch in (1, 16):
            seconds = take_turns(steps(model, sessions, batch), rounds=options.rounds, title=f"batch {batch}")
            rates = {name: batch / median(values) for name, values in seconds.items()}
            faster = ratio(seconds[TORCH], seconds[FLOAT]), ratio(seconds[FLOAT], seconds[INT8])
            report["rates"][batch] = {
                "images per second": rates,
                "onnx / torch": faster[0],
                "int8 / float32": faster[1],
            }
            cells = [f"{rates[name]:.1f}" for name in (TORCH, *PRECISIONS)]
            table.add_row(str(batch), *cells, *(f"{each['median']:.2f}" for each in faster))
    console.print(table)
    console.print(json.dumps({key: report[key] for key in ("compared", "first answer, seconds")}, indent=2))
    console.print(f"took {time.perf_counter() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
