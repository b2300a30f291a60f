"""Time to draw shapes as maps: 1,000 annotations of each kind at 1,024 x 1,024 pixels, on one core.

    python benchmarks/rasterize.py --json rasterize.json   # about a minute

Polygons have 3 to 60 corners around a centre. Strokes have 10 to 200 points along a wandering line, with a radius of 3
to 40 pixels that varies as with a pen. Mixed annotations have four polygons, four strokes and one shape that erases.
Each annotation becomes a map of its own. The last rows are shapes that nobody draws but a malicious client may send: a
polygon and a stroke of 100,000 points to and fro over the image.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from timing import environment, take_turns

from salign.maps.rasterize import rasterize
from salign.maps.shapes import Polygon, Shape, Stroke


def polygon(random: np.random.Generator, side: int) -> Polygon:
    corners = int(random.integers(3, 60))
    angles = np.sort(random.uniform(0, 2 * np.pi, corners))
    reach = random.uniform(0.02, 0.4) * side * random.uniform(0.5, 1, corners)
    centre = random.uniform(0, side, 2)
    return Polygon((centre + reach[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])).tolist())


def stroke(random: np.random.Generator, side: int) -> Stroke:
    count = int(random.integers(10, 200))
    heading = np.cumsum(random.normal(0, 0.3, count))
    steps = random.uniform(2, 12, count)[:, None] * np.column_stack([np.cos(heading), np.sin(heading)])
    radii = random.uniform(3, 40) * random.uniform(0.7, 1, count)
    return Stroke((random.uniform(0, side, 2) + np.cumsum(steps, 0)).tolist(), radii.tolist())


def mixed(random: np.random.Generator, side: int) -> list[Shape]:
    shapes: list[Shape] = [make(random, side) for make in (polygon, stroke) * 4]
    rubber = stroke(random, side)
    return [*shapes, Stroke(rubber.points, rubber.radii, erase=True)]


def to_and_fro(side: int) -> tuple[Polygon, Stroke]:
    across, down = np.linspace(0, side, 100_000), np.where(np.arange(100_000) % 2, 0.0, float(side))
    points = tuple(zip(across.tolist(), down.tolist(), strict=True))
    return Polygon(points), Stroke(points, (1.0,) * len(points))


def measure(count: int, side: int, rounds: int) -> list[dict[str, Any]]:
    """One row per kind."""
    random = np.random.default_rng(0)
    kinds: dict[str, list[list[Shape]]] = {
        "a polygon": [[polygon(random, side)] for _ in range(count)],
        "a stroke": [[stroke(random, side)] for _ in range(count)],
        "9 shapes": [mixed(random, side) for _ in range(count)],
        "a polygon to and fro": [[to_and_fro(side)[0]]],
        "a stroke to and fro": [[to_and_fro(side)[1]]],
    }

    def all_of(annotations: list[list[Shape]]) -> int:
        return sum(int(rasterize(shapes, (side, side)).sum()) for shapes in annotations)

    seconds = take_turns({name: lambda kind=kind: all_of(kind) for name, kind in kinds.items()}, rounds=rounds)
    return [
        {
            "annotation": name,
            "annotations": len(kind),
            "pixels": side,
            "seconds": seconds[name],
            "points": sum(len(shape.points) for shapes in kind for shape in shapes) / len(kind),
            "share_marked": all_of(kind) / (len(kind) * side * side),
        }
        for name, kind in kinds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    before, rows = environment(), measure(options.count, options.side, options.rounds)
    table = Table(title=f"{options.count:,} annotations at {options.side:,} x {options.side:,}, one core (median)")
    for column in ("annotation", "points", "marked", "seconds", "lowest-highest", "ms each"):
        table.add_column(column, justify="left" if column == "annotation" else "right")
    for row in rows:
        taken = row["seconds"]
        table.add_row(
            row["annotation"],
            f"{row['points']:.0f}",
            f"{row['share_marked']:.1%}",
            f"{median(taken):.2f}",
            f"{min(taken):.2f}-{max(taken):.2f}",
            f"{1000 * median(taken) / row['annotations']:.1f}",
        )
    Console(width=120).print(table)
    if options.json:
        figures = {"environment": before, "load_after": environment()["load"], "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
