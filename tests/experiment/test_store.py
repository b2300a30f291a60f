"""What a finished cell leaves: names are text whatever they look like, a damaged file is no finished cell."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from salign.evaluate.agreement import METRICS
from salign.evaluate.reliance import COLUMNS
from salign.evaluate.tables import read_figures
from salign.experiment.store import Measured, cell_file, read_cell, summarise
from salign.runs.run import Run

WHOLE = {"seconds": 1.5, "figures": {"test": {"auroc": 0.75, "agreement/cc": float("nan")}}}


def with_cell(folder, content):
    run = Run(folder)
    cell_file(run).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return run


def test_a_whole_cell_is_read(tmp_path):
    found = read_cell(with_cell(tmp_path, WHOLE))
    assert (found.seconds, found.figures["test"]["auroc"]) == (1.5, 0.75)
    assert math.isnan(found.figures["test"]["agreement/cc"])
    assert read_cell(Run(tmp_path / "other")) is None


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


ODD = ("NA", "null", "None", "nan", "NaN", "N/A", "inf", "1e5", "001", "1", "True", "-", "a,b", 'a"b')


def test_names_are_text_whatever_they_look_like(tmp_path):
    lines = [f"{quoted(name)},0.{k:03d},,{quoted(name)},{k}" for k, name in enumerate(ODD)]
    (tmp_path / "a.csv").write_text("\n".join(["name,value,low,group,n", *lines]))
    table = read_figures(tmp_path / "a.csv", ("name", "group"))
    assert table["name"].tolist() == table["group"].tolist() == list(ODD)
    assert table["value"].tolist() == [k / 1000 for k in range(len(ODD))]
    assert table["low"].isna().all()
    assert table["n"].tolist() == list(range(len(ODD)))


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def test_a_cell_keeps_the_figures_of_every_set_under_its_name(tmp_path, monkeypatch):
    """Groups are not the whole set, also where a column or a group is called NA."""
    run = Run(tmp_path)
    rows = [(name, "", "", "accuracy", k / 100, "", "", 9, "") for k, name in enumerate(ODD)]
    rows += [(name, "NA", "NA", "accuracy", 0.99, "", "", 3, "") for name in ODD]
    rows += [
        ("NA", "", "", "auroc_macro", 0.625, "", "", 9, ""),
        ("NA", "", "", "balanced_accuracy", "", "", "", 9, ""),
    ]
    columns = ["split", "group_column", "group", "metric", "value", "low", "high", "n", "note"]
    pd.DataFrame(rows, columns=columns).to_csv(run.evaluation, index=False)
    agreed = [("NA", "i", "null", "None", *(value for _ in METRICS)) for value in (0.25, 0.5)]
    nan = float("nan")
    relied = [
        ("001", "inside", "other", "flipped", 0.125, 0.5, 9, ""),
        ("001", "inside", "grey", "flipped", 0.25, nan, 9, ""),
    ]
    tables = {
        "agreement": pd.DataFrame(agreed, columns=["set", "id", "label", "predicted", *METRICS]),
        "reliance": pd.DataFrame(relied, columns=["set", *COLUMNS]),
    }
    monkeypatch.setattr("salign.runs.analyse.analyse_run", lambda *_, **__: tables)
    summarise(run, 2.0, Measured(sets=None, images=5))
    figures = read_cell(run).figures
    assert {name: found["accuracy"] for name, found in figures.items()} == {n: k / 100 for k, n in enumerate(ODD)}
    assert (figures["NA"]["auroc"], figures["NA"]["agreement/cc"]) == (0.625, 0.375)
    assert math.isnan(figures["NA"]["balanced_accuracy"])
    assert {name: value for name, value in figures["001"].items() if name.startswith("reliance/")} == {
        "reliance/inside/other/flipped": 0.125,
        "reliance/inside/other/flipped/sd": 0.5,
        "reliance/inside/grey/flipped": 0.25,
    }
