"""The demonstration: its arms share everything but what they are named for, and its words follow its figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from salign.data.decoy import write_decoy_digits
from salign.train.demo import ARMS, DemoResult, recipe, run_demo, verdict


def made_up(own: list[float], control: list[float]) -> DemoResult:
    rows = [
        {"arm": arm, "seed": seed, "test_iid": 1.0, "test_ood": value}
        for arm, values in {"CE": [0.1, 0.1, 0.1], "CYBORG": own, "CYBORG, shuffled maps": control}.items()
        for seed, value in enumerate(values)
    ]
    return DemoResult(pd.DataFrame(rows), {}, Path("demo.html"), Path("demo.png"))


def test_arms_differ_in_loss_and_maps_alone(tmp_path: Path) -> None:
    manifest = write_decoy_digits(tmp_path, train=20, val=10, test=10)
    plain, own, control = (recipe(arm, 3, manifest, 2).model_dump() for arm in ARMS)
    for other in (own, control):
        assert {key for key in plain if plain[key] != other[key]} <= {"name", "loss", "data"}
    assert own["data"] == plain["data"]
    assert {key for key in own["data"] if own["data"][key] != control["data"][key]} == {"maps"}
    assert own["loss"] == control["loss"]


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    mean, low, high = made_up([0.3, 0.4, 0.5], [0.1, 0.1, 0.1]).gain("CYBORG", "CE")
    # differences .2 .3 .4: mean .3, sd .1, standard error .1 / sqrt(3), t(2, .975) = 4.302653
    assert mean == pytest.approx(0.3)
    assert (low, high) == (pytest.approx(0.3 - 0.248414, abs=1e-5), pytest.approx(0.3 + 0.248414, abs=1e-5))


@pytest.mark.parametrize(
    ("own", "control", "first", "second"),
    [
        ([0.30, 0.31, 0.32], [0.10, 0.10, 0.11], "above zero", "above zero"),
        ([0.10, 0.12, 0.08], [0.10, 0.10, 0.11], "not clearly different", "not clearly different"),
        ([0.02, 0.03, 0.02], [0.10, 0.10, 0.11], "below zero", "below zero"),
    ],
)
def test_the_verdict_says_what_the_figures_say(own: list[float], control: list[float], first: str, second: str) -> None:
    _, against_ce, against_control, _ = verdict(made_up(own, control)).splitlines()
    assert first in against_ce
    assert second in against_control


@pytest.mark.slow
def test_a_short_demonstration_leaves_pages_and_runs_that_are_not_repeated(tmp_path: Path) -> None:
    first = run_demo(tmp_path, seeds=1, epochs=1, progress=False)
    stamps = {run.path: (run.path / "done").stat().st_mtime_ns for runs in first.runs.values() for run in runs}
    assert len(stamps) == len(ARMS)
    again = run_demo(tmp_path, seeds=1, epochs=1, progress=False)
    assert {path: (path / "done").stat().st_mtime_ns for path in stamps} == stamps
    pd.testing.assert_frame_equal(first.accuracy, again.accuracy)
    page = again.page.read_text()
    assert page.count("data:image/png;base64,") == 6 * 5
    assert all(arm in page for arm in ARMS)
    assert again.picture.read_bytes().startswith(b"\x89PNG")
