"""What a finished cell leaves: names are text whatever they look like, a damaged file is no finished cell."""

from __future__ import annotations

import json
import math

import pytest

from salign.experiment.store import cell_file, read_cell
from salign.train.run import RunFolder

WHOLE = {"seconds": 1.5, "figures": {"test": {"auroc": 0.75, "agreement/cc": float("nan")}}}


def with_cell(folder, content):
    run = RunFolder(folder)
    cell_file(run).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return run


def test_a_whole_cell_is_read(tmp_path):
    found = read_cell(with_cell(tmp_path, WHOLE))
    assert (found.seconds, found.figures["test"]["auroc"]) == (1.5, 0.75)
    assert math.isnan(found.figures["test"]["agreement/cc"])
    assert read_cell(RunFolder(tmp_path / "other")) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"seconds": 1.5, "figures": {"test": {"auro',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        [],
        {},
        {"seconds": 1.5},
        {"seconds": None, "figures": {}},
        {"seconds": 1.5, "figures": []},
        {"seconds": 1.5, "figures": {"test": [0.75]}},
        {"seconds": 1.5, "figures": {"test": {"auroc": "0.75"}}},
        {"seconds": 1.5, "figures": {"test": {"auroc": True}}},
    ],
)
def test_a_damaged_cell_is_not_finished_and_says_so(tmp_path, content, caplog):
    run = with_cell(tmp_path, content)
    assert read_cell(run) is None
    assert f"{cell_file(run)} is damaged, so its cell counts as not finished" in caplog.text
