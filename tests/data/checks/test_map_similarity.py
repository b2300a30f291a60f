"""How alike two images' maps are, against the correlation of every pair; and what `data check` says of it."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from tests.references.map_similarity import cells, correlation, mean_correlation

from salign.cli.show import print_report
from salign.data.checks.check import check_file
from salign.data.checks.map_similarity import MeanCorrelation, shuffled_correlation, standardised
from salign.data.controls import shuffled
from salign.data.manifest import Manifest


def disc(row, column, radius, size=(64, 96)):
    rows, columns = np.ogrid[: size[0], : size[1]]
    return ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2).astype(np.uint8) * 255


def block(column):
    values = np.zeros((64, 96), np.uint8)
    values[16:32, column : column + 12] = 255
    return values


def written(folder, maps, split="train"):
    rows = []
    for k, values in enumerate(maps):
        pixels = np.random.default_rng(k).integers(0, 255, (64, 96), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        if values is not None:
            Image.fromarray(values).save(folder / f"m{k}.png")
        rows.append((k, f"{k}.png", "ab"[k % 2], split, "" if values is None else f"m{k}.png"))
    pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"]).to_csv(
        folder / "manifest.csv", index=False
    )
    return folder / "manifest.csv"


def test_it_is_the_mean_over_all_pairs_of_different_maps(tmp_path):
    rng = np.random.default_rng(3)
    maps = [disc(*rng.integers(20, 44, 2), int(rng.integers(5, 20))) for _ in range(5)]
    blank, flat = np.zeros((64, 96), np.uint8), np.full((64, 96), 200, np.uint8)
    manifest = Manifest.read(written(tmp_path, [*maps, None, blank, flat]))
    slow = mean_correlation([cells(one / 255) for one in maps])
    assert shuffled_correlation(manifest) == pytest.approx(slow, abs=1e-6)
    assert -1 < slow < 0.9


def test_it_is_what_own_and_shuffled_maps_correlate_by_in_expectation(tmp_path):
    """With three maps a shuffle is one of two cycles; over many seeds its mean comes to that of all pairs."""
    maps = [disc(30, 40, 12), disc(34, 44, 15), disc(20, 70, 8)]
    manifest = Manifest.read(written(tmp_path, maps))
    own = manifest.table["saliency"].tolist()
    grids = {name: cells(np.asarray(Image.open(tmp_path / name)) / 255) for name in own}
    found = [
        correlation(grids[mine], grids[other])
        for seed in range(40)
        for mine, other in zip(own, shuffled(manifest, seed).table["saliency"].tolist(), strict=True)
    ]
    assert shuffled_correlation(manifest) == pytest.approx(np.mean(found), abs=1e-6)


def test_equal_maps_correlate_fully_and_opposite_ones_not_at_all():
    one = torch.zeros(32, 32)
    one[:16] = 1
    same, opposite = MeanCorrelation(), MeanCorrelation()
    for values in (one, one * 0.2 + 0.1):
        same.add(standardised(values))
    for values in (one, 1 - one):
        opposite.add(standardised(values))
    assert same.mean == pytest.approx(1)
    assert opposite.mean == pytest.approx(-1)
    alone = MeanCorrelation()
    alone.add(standardised(one))
    alone.add(standardised(torch.zeros(8, 8)))
    assert math.isnan(alone.mean)


@pytest.mark.parametrize(
    ("maps", "said", "advice"),
    [
        ([disc(32, 48, 12 + k) for k in range(4)], "maps of two images correlate 0.9", True),
        (
            [block(24 * k) for k in range(4)],  # each a 32nd of the picture, none upon another: -1 / 31
            "maps of two images correlate -0.03",
            False,
        ),
    ],
)
def test_the_check_says_it_and_advises_another_control(tmp_path, maps, said, advice):
    stream = io.StringIO()
    print_report(check_file(written(tmp_path, maps), progress=False), Console(file=stream, width=160))
    (line,) = [line for line in stream.getvalue().splitlines() if "correlate" in line]
    assert said in line
    assert ("take blobs or inverted" in line) is advice
    assert line.startswith("✗" if advice else "✓")
