"""A run by its path, its name, the beginning of its name, or as the last one."""

from __future__ import annotations

import os

import pytest

from salign.errors import SalignError
from salign.runs.find import find_run, runs_below


@pytest.fixture
def runs(tmp_path):
    """Five runs in two studies and a folder; `b-2` has not finished, and the newest lies deepest."""
    made = {}
    for age, (name, place) in enumerate(
        [("a-1", "p/studies/s/runs"), ("a-2", "runs"), ("ab-3", "studies/t/runs"), ("b-2", "runs"), ("a-1-x", "runs")]
    ):
        folder = tmp_path / place / name
        folder.mkdir(parents=True)
        for file in ("recipe.yaml", "done")[: 1 if name == "b-2" else 2]:
            (folder / file).touch()
            os.utime(folder / file, (1_700_000_000 - 1000 * age,) * 2)
        made[name] = folder
    (tmp_path / "runs" / "a-9").mkdir()  # no recipe: not a run
    (tmp_path / "runs" / ".hidden").mkdir()
    return made


def test_the_latest_come_first(runs, tmp_path):
    assert [run.path for run in runs_below(tmp_path)] == [runs[name] for name in ("a-1", "a-2", "ab-3", "b-2", "a-1-x")]


@pytest.mark.parametrize(
    ("name", "meant"), [("last", "a-1"), ("ab", "ab-3"), ("a-1", "a-1"), ("a-1-", "a-1-x"), ("b", "b-2")]
)
def test_a_name_means_one_run(runs, tmp_path, name, meant):
    assert find_run(name, tmp_path) == runs[meant]


def test_last_is_the_last_that_finished(runs, tmp_path):
    for name in ("a-1", "a-2", "ab-3", "a-1-x"):
        (runs[name] / "done").unlink()
    with pytest.raises(SalignError, match="there is no finished run below this folder"):
        find_run("last", tmp_path)


def test_several_that_could_be_meant_are_listed_and_so_is_what_there_is(runs, tmp_path):
    with pytest.raises(
        SalignError, match=r"4 runs are called a\.\.\.: a-1 \(20\d\d-.*\), a-2 \(.*\), ab-3 .*, a-1-x"
    ) as said:
        find_run("a", tmp_path)
    assert "b-2" not in str(said.value)
    with pytest.raises(SalignError, match=r"z is no run folder: expected recipe\.yaml in it.*runs here are a-1 .*b-2"):
        find_run("z", tmp_path)
    with pytest.raises(SalignError, match="there is no run here; `salign train` makes one"):
        find_run("z", tmp_path / "p" / "studies" / "s" / "runs" / "a-1")


def test_a_path_is_what_it_says(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(find_run("runs/a-2")) == "runs/a-2"
    assert str(find_run("runs/gone")) == "runs/gone"  # who opens it says what is wrong
    (tmp_path / "a-2").mkdir()
    assert str(find_run("a-2")) == "a-2"
