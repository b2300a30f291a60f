from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from made_study import QUALITY, made, study
from salign.experiment.report.groups import groups_of
from salign.experiment.report.worse_maps import OWN, describe_maps, maps_table, tried_maps, worse_maps
from salign.pages.plots import looks

WORSE = ["boxes", "shifted@0.1", "shuffled@0.25", "shuffled", "shuffled@0.5"]
SHARES = {"energy@10": 0.9, "shuffled:energy@10": 0.5, "boxes": 0.7, "shifted@0.1": 0.65}
SHARES |= {"shuffled@0.25": 0.68, "shuffled@0.5": 0.6}
GRIDS = [
    {"arms": ["ce", "cyborg", "energy@10", "shuffled:energy@10"], "seeds": 3},
    {"arms": WORSE, "seeds": [0, 1]},
    {"arms": ["cyborg"], "annotated": [0.05, 0.5], "seeds": 3},
]


@pytest.fixture(scope="module")
def results(plan, digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("studies"), digits, plan, QUALITY | SHARES)


def values(results, arm, annotated=1.0):
    rows = results.figures.query("set == 'test_ood' and metric == 'accuracy'")
    rows = rows[(rows["arm"] == arm) & (rows["annotated"] == annotated)]
    return rows.sort_values("seed")["value"].to_numpy()


def test_the_table_holds_every_arm_beside_itself_with_its_own_maps(plan, results):
    (group,) = groups_of(plan, results.figures)
    table = maps_table(plan, group)
    own = ["shuffled@0.25", "shuffled@0.5", "shuffled", "shifted@0.1", "boxes"]
    assert table[["arm", "maps"]].to_numpy().tolist() == [
        *(["cyborg", maps] for maps in [OWN, *own, "50 % of the maps", "5 % of the maps"]),
        ["energy@10", OWN],
        ["energy@10", "shuffled"],
    ]
    found = table.set_index(["arm", "maps"])
    guided = values(results, "cyborg")
    assert found.loc[("cyborg", OWN), ["seeds", "mean", "sd"]].tolist() == pytest.approx(
        [3, guided.mean(), guided.std(ddof=1)]
    )
    assert np.isnan(found.loc[("cyborg", OWN), "difference"])
    pairs = {
        ("cyborg", "boxes"): values(results, "boxes") - guided[:2],
        ("energy@10", "shuffled"): values(results, "shuffled:energy@10") - values(results, "energy@10"),
    }
    for place, difference in pairs.items():
        low, high = stats.t.interval(0.95, len(difference) - 1, difference.mean(), stats.sem(difference))
        expected = [len(difference), difference.mean(), low, high]
        assert found.loc[place, ["seeds", "difference", "low", "high"]].tolist() == pytest.approx(expected)
    fewer = found.loc[("cyborg", "5 % of the maps"), ["seeds", "mean", "difference"]]
    assert fewer.tolist() == pytest.approx([3, values(results, "cyborg", 0.05).mean(), 0]), "made up without noise"


def test_in_words_each_kind_of_maps_has_a_row_and_an_arm_a_column(plan, results):
    (group,) = groups_of(plan, results.figures)
    words = describe_maps(maps_table(plan, group)).set_index("maps")
    assert words.index[0] == OWN
    assert words.loc["boxes", "energy@10"] == "–"
    boxes = 100 * values(results, "boxes")
    assert words.loc["boxes", "cyborg"] == f"{boxes.mean():.1f} ± {boxes.std(ddof=1):.1f}"
    turned = describe_maps(maps_table(plan, group).iloc[::-1])
    assert [*turned.columns] == ["maps", "energy@10", "cyborg"]
    assert turned["maps"].tolist()[:2] == ["shuffled", OWN]


def test_how_bad_the_maps_are_is_drawn_where_two_steps_or_more_were_tried(plan, results):
    groups = groups_of(plan, results.figures)
    table, plots = worse_maps(plan, groups, results.runs, looks(groups[0].arms))
    assert list(table.frame.columns) == ["maps", "cyborg", "energy@10"]
    (svg,) = plots.svgs
    spoken = svg.partition("viewBox")[0]
    steps = {0: "cyborg", 25: "shuffled@0.25", 50: "shuffled@0.5", 100: "shuffled"}
    assert ", ".join(f"{100 * values(results, arm).mean():.1f} at {x}" for x, arm in steps.items()) in spoken
    assert "energy" not in spoken


def test_the_usual_control_alone_needs_no_table_of_its_own(digits, tmp_path):
    plan = study(digits)
    results = made(tmp_path, digits, plan)
    groups = groups_of(plan, results.figures)
    assert list(tried_maps(plan, groups[0])["cyborg"]) == [OWN, "shuffled"]
    assert worse_maps(plan, groups, results.runs, looks(groups[0].arms)) == []
