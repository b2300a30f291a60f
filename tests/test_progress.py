"""Bars in a terminal, lines elsewhere."""

from __future__ import annotations

import math

import pytest

from salign import progress
from salign.progress import Bar, sparkline, track


def test_lines_elsewhere_than_in_a_terminal(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with Bar("reading images", 200, done=50) as bar:
        for seconds in (1, 2, 9, 12, 15, 40):
            clock[0] = float(seconds)
            bar.advance(15)
    assert capsys.readouterr().err.splitlines() == [
        "reading images: 110/200, 18 s left",  # 60 steps took 12 seconds
        "reading images: 140/200, 27 s left",
    ]
    with Bar("x", 10_000) as bar:
        clock[0] += 10
        bar.advance(100, "first")
    assert capsys.readouterr().err == "x: 100/10000, first, 16 min 30 s left\n"


def test_notes_are_lines_where_that_is_asked(capsys):
    with Bar("study", 3, every_line=True) as bar:
        bar.advance(1, "ce-seed0: auroc 0.750", "1/3 runs")
        bar.advance(1)
    assert capsys.readouterr().err == "study: 1/3 runs, ce-seed0: auroc 0.750, 0 s left\n"


def test_short_or_silent_work_prints_nothing(capsys):
    assert list(track("abc", "letters")) == ["a", "b", "c"]
    assert list(track((c for c in "abc"), "letters", show=False)) == ["a", "b", "c"]
    shown = capsys.readouterr()
    assert shown.err == shown.out == ""


def test_a_terminal_gets_a_bar_and_no_line(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with Bar("training", 4, every_line=True) as bar:
        bar.advance(2, "val/auroc 0.812", "epoch 1/2")
    shown = capsys.readouterr()
    assert "epoch 1/2" in shown.out
    assert "val/auroc 0.812" in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([5, 5], "▄▄"),
        ([0.5, math.nan, 0.7], "▁ █"),
        ([math.nan], ""),
        ([], ""),
        ([9.0] + [0.0] * 19 + [1.0], "▁" * 19 + "█"),
    ],
)
def test_sparkline(values, line):
    assert sparkline(values) == line
