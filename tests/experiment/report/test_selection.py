"""What each rule of selection chooses, worked out by hand on made-up figures."""

from __future__ import annotations

import pandas as pd
import pytest

from salign.experiment.report.groups import groups_of
from salign.experiment.report.selection import selection, selection_table
from salign.experiment.study import Study
from salign.pages.plots import looks

FIGURES = {  # arm -> val accuracy, val worst class, val region test, target accuracy
    "ce": (0.90, 0.50, 0.40, 0.30),
    "cyborg": (0.80, 0.70, 0.60, 0.50),
    "swap": (0.70, 0.60, 0.80, 0.60),
    "shuffled": (0.99, 0.99, 0.99, 0.99),
}


@pytest.fixture(scope="module")
def plan():
    content = {"name": "a", "recipe": {"data": {"manifest": "m.csv"}}, "metric": "accuracy", "grids": []}
    return Study.build(content | {"grids": [{"arms": list(FIGURES), "seeds": 2}]})


def table_of(figures, *, region=True):
    rows = []
    for arm, (accuracy, worst, region_test, target) in figures.items():
        for seed, shift in ((0, -0.01), (1, 0.01)):
            place = ("data", "network", arm, -1, 1.0, seed)
            rows.append((*place, "val", "accuracy", accuracy + shift))
            rows.append((*place, "val", "worst_class_accuracy", worst + shift))
            rows += [(*place, "val", "reliance/inside/other/accuracy", region_test + shift)] * region
            rows.append((*place, "test", "accuracy", target + shift))
    columns = ["dataset", "network", "arm", "images", "annotated", "seed", "set", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


def test_each_rule_takes_the_arm_that_is_best_by_its_figure_and_controls_are_no_candidates(plan):
    table = selection_table(plan, groups_of(plan, table_of(FIGURES))).set_index("rule")
    assert dict(table["arm"]) == {"validation": "ce", "worst": "cyborg", "region": "swap"}
    assert dict(table["regret"].round(6)) == {"validation": 0.3, "worst": 0.1, "region": 0.0}
    assert set(table["best"]) == {"swap"}
    assert table["value"].tolist() == pytest.approx([0.9, 0.7, 0.8])
    assert table["target"].tolist() == pytest.approx([0.3, 0.5, 0.6])


def test_an_arm_that_learned_from_the_validation_images_is_not_chosen_by_them(plan):
    figures = {"ce": FIGURES["ce"], "cyborg": FIGURES["cyborg"], "dfr:ce": (0.99, 0.99, 0.99, 0.9)}
    table = selection_table(plan, groups_of(plan, table_of(figures))).set_index("rule")
    assert dict(table["arm"]) == {"validation": "ce", "worst": "cyborg", "region": "cyborg"}
    assert set(table["best"]) == {"dfr:ce"}  # which it may be


@pytest.mark.parametrize("control", ["blobs", "shuffled:swap"])
def test_a_control_that_the_study_does_not_name_is_no_candidate(plan, control):
    figures = FIGURES | {control: FIGURES["shuffled"]}
    table = selection_table(plan, groups_of(plan, table_of(figures))).set_index("rule")
    assert dict(table["arm"]) == {"validation": "ce", "worst": "cyborg", "region": "swap"}
    assert set(table["best"]) == {"swap"}


def test_a_rule_without_figures_is_left_out(plan):
    groups = groups_of(plan, table_of(FIGURES, region=False))
    assert list(selection_table(plan, groups)["rule"]) == ["validation", "worst"]
    (block,) = selection(plan, groups, pd.DataFrame(), looks(list(FIGURES)))
    assert block.frame.iloc[0].tolist() == ["a", "validation", "ce", "90.0", "30.0", "swap, 60.0", "30.0"]
    one = groups_of(plan, table_of({"ce": FIGURES["ce"]}))
    assert selection(plan, one, pd.DataFrame(), looks(["ce"])) == []
