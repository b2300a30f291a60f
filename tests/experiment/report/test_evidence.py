"""The sections on what models look at and use: tables worked out by hand from a few figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from made_study import study
from salign.errors import SalignError
from salign.experiment.report import evidence
from salign.experiment.report.evidence import _spearman, reliance
from salign.experiment.report.groups import groups_of
from salign.experiment.store import PLACE
from salign.pages.plots import Cloud
from salign.pages.sheet import Text

RELIED = {
    # arm: whole, then accuracy and flipped with the region kept, and with the region removed; of seeds 0 and 1
    "ce": ([0.8, 0.6], ([0.5, 0.3], [0.4, 0.2]), ([0.75, 0.65], [0.1, 0.3])),
    "cyborg": ([0.9, 0.9], ([0.88, 0.84], [0.05, 0.07]), ([0.2, 0.3], [0.7, 0.8])),
}


def rows(dataset, metrics, shift=0.0):
    found = []
    for arm, (whole, *exchanged) in metrics.items():
        for seed in (0, 1):
            named = {"accuracy": whole[seed], "reliance/all//accuracy": whole[seed]}
            for kept, (accuracy, flipped) in zip(("inside", "outside"), exchanged, strict=True):
                named |= {f"reliance/{kept}/other/accuracy": accuracy[seed] - shift}
                named |= {f"reliance/{kept}/other/flipped": flipped[seed] + shift}
            found += [(dataset, "network", arm, -1, 1.0, seed, "test_ood", *figure) for figure in named.items()]
    return pd.DataFrame(found, columns=[*PLACE, "set", "metric", "value"])


def test_what_is_kept_and_what_is_removed_are_told_apart():
    plan = study("manifest.csv", datasets={"a": {}, "b": {}})
    results = pd.concat([rows("a", RELIED), rows("b", RELIED, 0.01)])
    bars, first, more_bars, second = reliance(
        plan, groups_of(plan, results), pd.DataFrame(columns=[*PLACE, "path"]), {}
    )
    spoken = [block.svgs[0].partition("viewBox")[0] for block in (bars, more_bars)]
    for text, title, one in zip(spoken, "ab", (40.0, 39.0), strict=True):
        assert f'aria-label="{title}: accuracy on annotated images of test_ood, points. ' in text
        kept = f"human region kept, the rest replaced {one:.1f}"
        assert f"ce: untouched 70.0, {kept}, human region replaced, the rest kept 70.0; cyborg: " in text.replace(
            "69.0", "70.0"
        )
    assert first.caption.startswith("a, annotated images of test_ood")
    assert second.caption.startswith("b, annotated images of test_ood")
    columns = [
        "arm", "replaced by", "untouched", "region kept", "kept: lost", "kept: flipped %", "region removed",
        "removed: lost", "removed: flipped %",
    ]  # fmt: skip
    assert first.frame[columns].to_numpy().tolist() == [
        ["ce", "other", "70.0 ± 14.1", "40.0 ± 14.1", "30.0", "30.0", "70.0 ± 7.1", "0.0", "20.0"],
        ["cyborg", "other", "90.0 ± 0.0", "86.0 ± 2.8", "4.0", "6.0", "25.0 ± 7.1", "65.0", "75.0"],
    ]
    assert second.frame[columns].to_numpy().tolist() == [
        ["ce", "other", "70.0 ± 14.1", "39.0 ± 14.1", "31.0", "31.0", "69.0 ± 7.1", "1.0", "21.0"],
        ["cyborg", "other", "90.0 ± 0.0", "85.0 ± 2.8", "5.0", "7.0", "24.0 ± 7.1", "66.0", "76.0"],
    ]


def test_a_run_is_a_point_where_both_its_figures_are_known(monkeypatch):
    drawn = []
    monkeypatch.setattr(evidence, "scatter", lambda clouds, *rest, **named: drawn.append(clouds) or "<svg/>")
    figures = {
        "ce": {0: {"accuracy": 0.5, "agreement/cc": 0.1}, 1: {"accuracy": 0.6}, 2: {"agreement/cc": 0.2}},
        "cyborg": {0: {"accuracy": 0.7, "agreement/cc": 0.4}, 1: {"accuracy": 0.9, "agreement/cc": 0.3}},
        "shuffled": {0: {"accuracy": 0.4}},
    }
    results = pd.DataFrame(
        [
            ("data", "network", arm, -1, 1.0, seed, "test_ood", metric, value)
            for arm, seeds in figures.items() for seed, named in seeds.items() for metric, value in named.items()
        ],
        columns=[*PLACE, "set", "metric", "value"],
    )  # fmt: skip
    plan = study("manifest.csv")
    evidence.agreement(plan, groups_of(plan, results), pd.DataFrame(columns=[*PLACE, "path"]), {})
    assert [[(one.name, one.x.tolist(), one.y.tolist()) for one in clouds] for clouds in drawn] == [
        [("ce", [0.1], [50.0]), ("cyborg", [0.4, 0.3], [70.0, 90.0])]
    ]


def test_an_arm_whose_maps_cannot_be_read_is_named_with_the_reason(monkeypatch):
    def unread(paths, name):
        raise SalignError(f"{name} of {len(paths)} runs has not been analysed.")

    monkeypatch.setattr(evidence, "read_arm", unread)
    plan, results = study("manifest.csv"), rows("data", RELIED)
    runs = results.assign(path="somewhere")[[*PLACE, "path"]].drop_duplicates()
    assert evidence.consistency(plan, groups_of(plan, results), runs, {}) == [
        Text(
            [
                "small, ce: no maps. test_ood of 2 runs has not been analysed.",
                "small, cyborg: no maps. test_ood of 2 runs has not been analysed.",
            ]
        )
    ]


@pytest.mark.parametrize(
    ("clouds", "said"),
    [
        ({"a": ([1, 2], [3, 4])}, "2 runs, too few or too equal to rank."),
        ({"a": ([1, 1, 1], [3, 4, 5])}, "3 runs, too few or too equal to rank."),
        ({"a": ([1, 2, 3], [4, 4, 4])}, "3 runs, too few or too equal to rank."),
        ({"a": ([1, 2, 3], [5, 4, 3])}, "Spearman's rho over 3 runs -1.00."),
        # a rises from 1 to 2, b lies above with its order turned: ranks 1 2 4 3 against 1 2 3 4, within arms + and -
        ({"a": ([1, 2], [1, 2]), "b": ([4, 3], [3, 4])}, "Spearman's rho over 4 runs +0.80, within arms +0.00."),
    ],
)
def test_ranks_are_compared_over_all_runs_and_within_arms(clouds, said):
    points = [Cloud(name, np.array(x, float), np.array(y, float)) for name, (x, y) in clouds.items()]
    assert _spearman(points) == said
