"""The sentences follow the figures, whatever they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from made_study import study
from salign.experiment.report.groups import controls_of, groups_of
from salign.experiment.report.summary import ABOVE, BELOW, OPEN, UNKNOWN, findings, headline, verdict
from salign.experiment.store import PLACE

NOISE = np.array([0.0, 0.01, -0.01, 0.005, -0.005])


def figures(seeds=5, dataset="data", **means):
    """A long table: `arm=(reference, target)`; the differences between arms vary a little over seeds."""
    rows = []
    for number, (arm, pair) in enumerate(means.items()):
        for place, mean in zip(("test_iid", "test_ood"), pair, strict=True):
            for seed in range(seeds):
                value = mean + np.roll(NOISE, number)[seed]
                rows.append((dataset, "network", arm, -1, 1.0, seed, place, "accuracy", value))
    return pd.DataFrame(rows, columns=[*PLACE, "set", "metric", "value"])


def said(table, missing=0, **changes):
    plan = study("manifest.csv", **changes)
    found = findings(plan, groups_of(plan, table), pd.DataFrame(columns=[*PLACE, "path"]))
    return found, headline(plan, found, 10, missing)


def test_a_gain_that_the_control_does_not_share():
    table = figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7), shuffled=(0.9, 0.5))
    (one,), top = said(table)
    assert (one.target, one.controls) == (ABOVE, True)
    assert one.sentences[0].startswith("cyborg reaches accuracy 70.0 on test_ood, ce 50.0 (5 seeds): +20.0 points [+")
    assert "above zero: the gain is more than what chance does" in one.sentences[0]
    assert one.sentences[1].endswith("it matters that the maps are the images' own.")
    assert "No cost that these seeds can show" in one.sentences[2]
    assert top == [one.sentences[0]]


def test_a_control_that_is_an_arm_of_its_own_says_nothing_of_the_maps():
    longer = {"controls": ["longer"], "arms": {"longer": {"train": {"epochs": 9}}}}
    for target, words in (
        (0.5, "The interval lies above zero: it is better than that."),
        (0.9, "The control does better."),
        (0.7, "and these seeds do not show cyborg above it."),
    ):
        (one,), _ = said(figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7), longer=(0.9, target)), **longer)
        assert one.sentences[1].endswith(words)
    (one,), _ = said(figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7)), **longer)
    assert "The control longer has no finished seed to compare with." in one.sentences


def test_an_arm_of_its_own_with_other_maps_is_a_control_of_the_maps():
    wrong = {"controls": ["wrong"], "arms": {"wrong": {"data": {"maps": "shuffled"}}}}
    (one,), _ = said(figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7), wrong=(0.9, 0.5)), **wrong)
    assert one.sentences[1].endswith("it matters that the maps are the images' own.")


def test_the_guided_arm_has_the_controls_that_the_study_names_before_those_that_copy_it():
    plan = study("manifest.csv", controls=["longer"], arms={"longer": {"train": {"epochs": 9}}})
    pair = (0.9, 0.5)
    (group,) = groups_of(plan, figures(ce=pair, cyborg=pair, shuffled=pair, longer=pair))
    assert {arm: controls_of(plan, group, arm) for arm in group.arms} == {
        "ce": [], "cyborg": ["longer", "shuffled"], "shuffled": [], "longer": [],
    }  # fmt: skip


def test_a_gain_in_distribution_alone_is_not_called_one_too():
    control = {"shuffled": (0.9, 0.5)}
    (one,), _ = said(figures(ce=(0.8, 0.5), cyborg=(0.9, 0.7), **control))
    assert one.sentences[2].endswith("It gains there too.")
    (one,), _ = said(figures(ce=(0.8, 0.5), cyborg=(0.9, 0.5), **control))
    assert one.sentences[2].startswith("In distribution (test_iid): +10.0 points [")
    assert one.sentences[2].endswith("It gains there, which is not shown on test_ood.")


def test_a_control_that_gains_where_the_guided_arm_does_not_gains_alone():
    table = figures(ce=(0.9, 0.5), cyborg=(0.9, 0.6), shuffled=(0.9, 0.6))
    table.loc[(table["arm"] == "cyborg") & (table["set"] == "test_ood"), "value"] += [0.3, -0.3, 0.2, -0.2, 0]
    (one,), _ = said(table)
    assert one.target == OPEN
    assert "The control gains over ce (+10.0 points [" in one.sentences[1]
    assert one.sentences[1].endswith("and these seeds do not show cyborg above it.")


def test_a_gain_that_the_control_shares_is_not_put_down_to_the_maps():
    (one,), _ = said(figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7), shuffled=(0.9, 0.7)))
    assert (one.target, one.controls) == (ABOVE, False)
    assert "The control gains over ce too" in one.sentences[1]
    assert "the gain cannot be put down to the maps" in one.sentences[1]


def test_a_control_that_is_neither_above_the_baseline_nor_below_the_guided_arm():
    table = figures(ce=(0.9, 0.5), cyborg=(0.9, 0.53), shuffled=(0.9, 0.5))
    table.loc[table["arm"] == "shuffled", "value"] += np.tile([0.2, -0.2, 0.1, -0.1, 0.0], 2)
    (one,), _ = said(table)
    assert one.target == ABOVE
    assert not one.controls
    assert "the gain cannot be put down to the maps" in one.sentences[1]


@pytest.mark.parametrize("beaten", ["shuffled", "inverted"])
def test_every_control_must_be_beaten(beaten):
    controls = {"shuffled": (0.9, 0.7), "inverted": (0.9, 0.7)} | {beaten: (0.9, 0.5)}
    (one,), _ = said(figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7), **controls), controls=["shuffled", "inverted"])
    assert (one.target, one.controls) == (ABOVE, False)
    above = [sentence.startswith(f"Against the control {beaten}: +20.0 points [") for sentence in one.sentences]
    assert sum(above) == 1
    (one,), _ = said(
        figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7), shuffled=(0.9, 0.5), inverted=(0.9, 0.4)),
        controls=["shuffled", "inverted"],
    )
    assert one.controls


def test_a_better_control_and_a_loss():
    (one,), _ = said(figures(ce=(0.9, 0.7), cyborg=(0.8, 0.5), shuffled=(0.9, 0.7)))
    assert one.target == BELOW
    assert "here guidance makes it worse" in one.sentences[0]
    assert "−20.0 points" in one.sentences[0]
    assert "what was marked is not the reason for any gain" in one.sentences[1]
    assert "what guidance costs on images like those of training" in one.sentences[2]


def test_an_open_question_says_how_many_seeds_it_would_take():
    table = figures(ce=(0.9, 0.5), cyborg=(0.9, 0.52), shuffled=(0.9, 0.5))
    guided = (table["arm"] == "cyborg") & (table["set"] == "test_ood")
    table.loc[guided, "value"] = 0.52 + np.array([0.1, -0.1, 0.05, -0.05, 0.0])
    (one,), _ = said(table)
    assert one.target == OPEN
    difference = (
        table[guided]["value"].to_numpy() - table.query("arm == 'ce' and set == 'test_ood'")["value"].to_numpy()
    )
    needed = next(
        n for n in range(2, 10_000)
        if stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n) <= abs(difference.mean())
    )  # fmt: skip
    assert f"A difference of this size would need about {needed} seeds to be told from zero." in one.sentences[0]


def test_a_difference_of_no_use_is_not_measured_in_thousands_of_seeds():
    table = figures(ce=(0.9, 0.5), cyborg=(0.9, 0.501), shuffled=(0.9, 0.5))
    guided = (table["arm"] == "cyborg") & (table["set"] == "test_ood")
    table.loc[guided, "value"] = 0.501 + np.array([0.1, -0.1, 0.05, -0.05, 0.0])
    (one,), _ = said(table)
    assert one.sentences[0].endswith(
        "There is no useful difference: 100 seeds would not tell one of this size from zero."
    )


YES = "Yes: on test_ood cyborg does better than ce."


@pytest.mark.parametrize(
    ("mean", "changes", "words"),
    [
        (0.7, {}, f"{YES} It also beats every control, so the maps are the reason."),
        (0.7, {"controls": []}, f"{YES} There is no control, so the maps may not be the reason."),
        (0.3, {}, "No: on test_ood cyborg does worse than ce."),
        (0.5, {}, "No difference between cyborg and ce is shown on test_ood."),
    ],
)
def test_the_verdict_is_one_plain_sentence(mean, changes, words):
    plan = study("manifest.csv", **changes)
    results, _ = said(figures(ce=(0.9, 0.5), cyborg=(0.9, mean), shuffled=(0.9, 0.5)), **changes)
    assert verdict(plan, results, 0) == words
    assert verdict(plan, results, 3) == f"Provisional, 3 runs are missing. {words}"


def test_the_verdict_of_several_settings_and_of_none():
    good = {"ce": (0.9, 0.5), "cyborg": (0.9, 0.7), "shuffled": (0.9, 0.7)}
    plan = study("manifest.csv", datasets={"a": {}, "b": {}})
    tables = [figures(dataset="a", **good), figures(dataset="b", **good | {"cyborg": (0.9, 0.3)})]
    results, _ = said(pd.concat(tables), datasets={"a": {}, "b": {}})
    assert verdict(plan, results, 0) == "It depends: of 2 settings cyborg does better in 1 and worse in 1."
    assert verdict(plan, results[:1], 0).endswith(
        "A control may do as well, so the maps are not shown to be the reason."
    )
    assert verdict(plan, [], 3) == "Nothing is finished yet."


def test_one_seed_says_nothing_about_chance():
    (one,), top = said(figures(seeds=1, ce=(0.9, 0.5), cyborg=(0.9, 0.7), shuffled=(0.9, 0.5)))
    assert one.target == UNKNOWN
    assert [sentence.endswith("One seed says nothing about chance.") for sentence in one.sentences] == [True] * 3
    assert top == [one.sentences[0]]


def test_a_study_that_asks_about_an_arm_that_it_does_not_run_is_told_the_key():
    """As one with an arm of its own that leaves `guided` at what it is by default."""
    changes = {"arms": {"mine": {"loss": {"name": "swap"}}}, "grids": [{"arms": ["ce", "mine"], "seeds": 5}]}
    (one,), _ = said(figures(ce=(0.9, 0.5), mine=(0.9, 0.7)), **changes)
    assert one.sentences[0] == (
        "The study asks about cyborg, and no grid has this arm: say by the key guided which of ce, mine is meant."
    )


def test_a_study_of_the_baseline_alone_compares_nothing():
    """As `salign run --plain` makes one."""
    changes = {"guided": "ce", "controls": [], "grids": [{"arms": ["ce"], "seeds": 5}]}
    (one,), top = said(figures(ce=(0.9, 0.5)), **changes)
    assert one.sentences == top == ["ce reaches accuracy 50.0 on test_ood (5 seeds)."]
    told = verdict(study("manifest.csv", **changes), [one], 0)
    assert told == "Nothing is compared: the study asks about its baseline, ce."


def test_what_is_not_there_yet_is_said():
    table = figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7))
    (one,), top = said(table, missing=5)
    assert top[0] == "5 of 15 cells are missing: everything below is provisional."
    assert "The control shuffled has no finished seed" in one.sentences[1]
    assert not one.controls
    (one,), _ = said(figures(ce=(0.9, 0.5)))
    assert "have no finished seed in common" in one.sentences[0]
    found, top = said(table.iloc[:0], missing=5)
    assert found == []
    assert top[1] == "No cell is finished, so there is nothing to report yet."


def test_every_arm_is_compared_with_its_own_control():
    """`swap` with its shuffled maps, and an arm of the study's own that copies `maps:mask` but for the maps."""
    own = {"wrong": {"loss": {"name": "cyborg"}, "data": {"map_column": "mask", "maps": "blobs"}}}
    arms = {"swap": (0.9, 0.8), "shuffled:swap": (0.9, 0.6), "boxes:swap": (0.9, 0.1)}
    arms |= {"maps:mask": (0.9, 0.5), "wrong": (0.9, 0.6)}
    (one,), _ = said(figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7), shuffled=(0.9, 0.5), **arms), arms=own)
    (told,) = [sentence for sentence in one.sentences if sentence.startswith("Other arms against their own controls: ")]
    mask, swap = told.removeprefix("Other arms against their own controls: ").rstrip(".").split("; ")
    assert mask.startswith("maps:mask − wrong: −10.0 points [")
    assert mask.endswith("(5 seeds, below zero)")
    assert swap.startswith("swap − shuffled:swap: +20.0 points [+")
    assert swap.endswith("(5 seeds, above zero)")


def test_an_arm_that_does_better_is_named():
    table = figures(
        ce=(0.9, 0.5), cyborg=(0.9, 0.7), shuffled=(0.9, 0.5), **{"ce_times@7": (0.9, 0.8), "x": (0.9, 0.75)}
    )
    (one,), _ = said(table, arms={"x": {"train": {"epochs": 9}}})
    assert one.sentences[-1].startswith("The arm ce_times@7 does better than cyborg: +10.0 points [")
    assert one.sentences[-1].endswith("(above zero); on test_iid +0.0 points [−1.2, +1.2] (not told from zero).")


def test_a_control_that_the_study_does_not_name_is_not_the_arm_that_does_better():
    pair = (0.9, 0.5)
    (one,), _ = said(figures(ce=pair, cyborg=pair, shuffled=pair, inverted=(0.9, 0.8)))
    assert not any("does better than cyborg" in sentence for sentence in one.sentences)


def test_the_use_of_the_region_is_said_where_it_was_measured():
    table = figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7))
    flipped = table[table["set"] == "test_ood"].assign(metric="reliance/inside/other/flipped")
    flipped["value"] = np.where(flipped["arm"] == "ce", 0.4, 0.1)
    (one,), _ = said(pd.concat([table, flipped]))
    assert one.sentences[-1].endswith("10.0 % of the answers of cyborg and 40.0 % of the answers of ce change.")


def test_several_groups_are_counted():
    good = {"ce": (0.9, 0.5), "cyborg": (0.9, 0.7), "shuffled": (0.9, 0.5)}
    shared = good | {"shuffled": (0.9, 0.7)}
    bad = good | {"cyborg": (0.9, 0.3)}
    tables = [figures(dataset=name, **means) for name, means in (("a", good), ("b", shared), ("c", bad))]
    tables.append(figures(dataset="d", seeds=1, **good))
    found, top = said(pd.concat(tables), datasets={name: {} for name in "abcd"})
    assert [one.title for one in found] == ["a", "b", "c", "d"]
    assert top == [
        "cyborg against ce on test_ood, in 4 pairs of data set and network: better in 2, worse in 1 (95 % interval of "
        "the difference beyond zero), not answered in 1. Better than every control as well: 1."
    ]
    _, top = said(pd.concat(tables[:2]), datasets={name: {} for name in "ab"}, controls=[])
    assert top == [
        "cyborg against ce on test_ood, in 2 pairs of data set and network: better in 2, worse in 0 (95 % interval of "
        "the difference beyond zero)."
    ]


@pytest.mark.parametrize("reference", [None, "test_iid"])
def test_the_cost_is_left_out_where_no_set_was_named(reference):
    (one,), _ = said(figures(ce=(0.9, 0.5), cyborg=(0.9, 0.7), shuffled=(0.9, 0.5)), reference=reference)
    assert any("In distribution" in sentence for sentence in one.sentences) == (reference is not None)
