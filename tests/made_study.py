"""A finished study made up of known numbers: run folders with answers and maps, but no training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from salign.data.manifest import Manifest
from salign.evaluate.predictions import columns_for
from salign.experiment.store import Results, StudyFolder, cell_file, read_results
from salign.experiment.study import ALL_IMAGES, Cell, Study, expand
from salign.runs.compare import ANALYSIS

SETS = ("test_iid", "test_ood")
QUALITY = {
    "ce": 0.45, "cyborg": 0.75, "swap": 0.8, "mixed_rand": 0.85, "shuffled": 0.47, "inverted": 0.43, "ce_times@2": 0.5,
}  # fmt: skip
"""Share of right answers on test_ood; .95 on test_iid for all."""


def study(manifest: Path, **changes: Any) -> Study:
    content: dict[str, Any] = {
        "name": "small",
        "title": "Does it help?",
        "question": "Whether maps of people help on digits with decoys.",
        "recipe": {"data": {"manifest": str(manifest), "test": list(SETS), "classes": ["1", "7"], "image_size": 64}},
        "metric": "accuracy",
        "target": "test_ood",
        "reference": "test_iid",
        "grids": [{"arms": ["ce", "cyborg", "shuffled"], "seeds": 4}],
    }
    return Study.build(content | changes)


def made(out: Path, manifest: Path, of: Study, quality: Mapping[str, float] = QUALITY, *, images: int = 24) -> Results:
    """Write the folder of the study below `out`, a run folder for every cell, and read it as the report does."""
    table = Manifest.read(manifest).table
    sets = {name: table[(table["split"] == name) & table["label"].isin(["1", "7"])].head(images) for name in SETS}
    folder = StudyFolder.of(of, out)
    for cell in expand(of):
        run = folder.run(cell)
        generator = np.random.default_rng([cell.seed, cell.images + 1, sum(map(ord, cell.arm))])
        run.path.mkdir(parents=True, exist_ok=True)
        run.recipe_file.write_text(cell.recipe.to_yaml())
        arrays: dict[str, Any] = {}
        figures: dict[str, dict[str, float]] = {}
        for name, rows in sets.items():
            share = 0.95 if name == "test_iid" else _share(cell, quality)
            right = answers(run.predictions_file(name), rows, share, generator)
            arrays |= maps(name, rows, right, cell, generator)
            noise = generator.normal(0, 0.02)
            figures[name] = {
                "accuracy": right.mean(),
                "agreement/energy": share / 2 + noise,
                "agreement/cc": share - noise,
            }
            figures[name]["reliance/all//accuracy"] = right.mean()
            for kept, value in (("inside", share), ("outside", 1 - share)):
                for fill in ("blur", "other"):
                    figures[name][f"reliance/{kept}/{fill}/accuracy"] = value
                    figures[name][f"reliance/{kept}/{fill}/flipped"] = 1 - value
        (run.path / ANALYSIS).mkdir(exist_ok=True)
        with (run.path / ANALYSIS / "maps.npz").open("wb") as file:
            np.savez(file, **arrays)
        (run.path / ANALYSIS / "done").touch()
        cell_file(run).write_text(json.dumps({"seconds": 1.0, "figures": figures}))
    return read_results(of, folder)


def _share(cell: Cell, quality: Mapping[str, float]) -> float:
    """More images help: .05 for every doubling up to 40."""
    more = 0.0 if cell.images == ALL_IMAGES else 0.05 * np.log2(cell.images / 40)
    return float(quality[cell.arm] + more)


def answers(path: Path, rows: pd.DataFrame, share: float, generator: np.random.Generator) -> np.ndarray:
    """Write predictions of which about `share` are right; returns which."""
    right = generator.random(len(rows)) < share
    seven = (rows["label"].to_numpy() == "7") == right
    sure = generator.uniform(0.55, 0.95, len(rows)).round(4)
    first = np.where(seven, 1 - sure, sure).round(4)
    table = pd.DataFrame(
        {
            **{name: rows[name].to_numpy() for name in ("id", "path", "split", "label")},
            "predicted": np.where(seven, "7", "1"),
            "logit_1": np.log(first),
            "logit_7": np.log(1 - first),
            "prob_1": first,
            "prob_7": 1 - first,
        }
    )
    path.parent.mkdir(exist_ok=True)
    table[columns_for(["1", "7"])].to_csv(path, index=False)
    return right


def maps(
    name: str, rows: pd.DataFrame, right: np.ndarray, cell: Cell, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Maps of 6 x 6 cells: in the middle for the guided arm, wherever the seed puts it for the others."""
    y, x = np.mgrid[:6, :6]
    middle = (2.5, 2.5) if cell.arm == "cyborg" else generator.uniform(0, 5, 2)
    blob = np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / 3)
    values = blob + generator.normal(0, 0.05, (len(rows), 6, 6))
    low, high = values.min((1, 2), keepdims=True), values.max((1, 2), keepdims=True)
    return {
        f"{name}/ids": rows["id"].to_numpy(dtype=str),
        f"{name}/maps": ((values - low) / (high - low)).astype(np.float16),
        f"{name}/human": np.exp(-((y - 2.5) ** 2 + (x - 2.5) ** 2) / 3).astype(np.float32),
        f"{name}/annotated": np.ones(len(rows), dtype=bool),
        f"{name}/predicted": ((rows["label"].to_numpy() == "7") == right).astype(np.int64),
    }
