"""Rules of selection read what a finished cell notes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from salign.errors import SalignError
from salign.experiment.rules import choose_rule, figure_of, maps_of_people, rule_figures
from salign.runs.folder import RunFolder
from salign.train.recipe import DataRecipe

VAL = {"auroc": 0.9, "accuracy": 0.8, "worst_class_accuracy": 0.6, "reliance/inside/other/auroc": 0.7}
ROWS = """split,group_column,group,metric,value,low,high,n,note
val,,,worst_class_accuracy,0.6,,,10,
val,site,A,worst_class_accuracy,0.5,,,5,
val,site,B,worst_class_accuracy,0.55,,,5,
val,sex,f,worst_class_accuracy,0.1,,,5,
test,site,A,worst_class_accuracy,0.0,,,5,
val,site,A,accuracy,0.2,,,5,
"""


def test_each_rule_reads_its_figure_and_groups_are_those_of_validation(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert all(map(math.isnan, rule_figures(run, "auroc").values()))
    (tmp_path / "cell.json").write_text(json.dumps({"seconds": 1.0, "figures": {"val": VAL, "test": {"auroc": 0.1}}}))
    run.evaluation.write_text(ROWS)
    assert rule_figures(run, "auroc") == {"validation": 0.9, "worst": 0.6, "region": 0.7}
    assert rule_figures(run, "auroc", ["site"])["worst"] == 0.5
    assert rule_figures(run, "auroc", ["site", "sex"])["worst"] == 0.1
    by_accuracy = rule_figures(run, "accuracy")
    assert by_accuracy["validation"] == 0.8
    assert math.isnan(by_accuracy["region"])
    assert figure_of("region", "balanced_accuracy") == "reliance/inside/other/accuracy"


@pytest.mark.parametrize(
    ("name", "maps", "rule"),
    [(None, 2, "region"), (None, 1, "worst"), ("validation", 0, "validation"), ("region", 2, "region")],
)
def test_the_region_test_is_taken_where_it_can_be(name: str | None, maps: int, rule: str) -> None:
    assert choose_rule(name, maps) == rule


def test_a_rule_that_there_is_not_or_cannot_be() -> None:
    with pytest.raises(SalignError, match="--select: expected validation, worst or region, got 'regoin'; did you mean"):
        choose_rule("regoin", 9)
    with pytest.raises(SalignError, match=r"and 1 have one; it takes at least 2\. Mark validation images"):
        choose_rule("region", 1)


def test_maps_of_machines_do_not_judge(tmp_path: Path) -> None:
    lines = ["id,path,label,split,saliency,provenance"]
    for k in range(4):
        lines += [
            f"t{k},a.png,x,train,m.png,model:net",
            f"v{k},a.png,x,val,{'m.png' if k else ''},{'human:ann' if k > 1 else 'model:net' if k else ''}",
        ]
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    for name in ("a.png", "m.png"):
        (tmp_path / name).write_bytes(b"")
    assert maps_of_people(DataRecipe(manifest=str(tmp_path / "m.csv"))) == (4, 2)
    assert maps_of_people(DataRecipe(manifest=str(tmp_path / "m.csv"), annotated=0, annotated_val=0)) == (0, 0)
