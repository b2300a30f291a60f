"""Rules of selection read what a finished cell notes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.experiment.rules import choose_rule, figure_of, judged_classes, rule_figures, training_maps
from salign.experiment.store import read_cell
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
    assert all(map(math.isnan, rule_figures(run, read_cell(run), "auroc").values()))
    (tmp_path / "cell.json").write_text(json.dumps({"seconds": 1.0, "figures": {"val": VAL, "test": {"auroc": 0.1}}}))
    run.evaluation.write_text(ROWS)
    assert rule_figures(run, read_cell(run), "auroc") == {"validation": 0.9, "worst": 0.6, "region": 0.7}
    assert rule_figures(run, read_cell(run), "auroc", ["site"])["worst"] == 0.5
    assert rule_figures(run, read_cell(run), "auroc", ["site", "sex"])["worst"] == 0.1
    alone = "val,site,C,worst_class_accuracy,,,,3,one class\nval,site,C,accuracy,0.25,,,3,\n"
    run.evaluation.write_text(ROWS + alone)  # where a group holds one class, its accuracy is that of this class
    assert rule_figures(run, read_cell(run), "auroc", ["site"])["worst"] == 0.25
    run.evaluation.write_text(ROWS.splitlines()[0] + "\n" + alone)
    assert rule_figures(run, read_cell(run), "auroc", ["site"])["worst"] == 0.25
    assert math.isnan(rule_figures(run, read_cell(run), "auroc", ["sex"])["worst"])
    run.evaluation.write_text(ROWS)
    by_accuracy = rule_figures(run, read_cell(run), "accuracy")
    assert by_accuracy["validation"] == 0.8
    assert math.isnan(by_accuracy["region"])
    assert figure_of("region", "balanced_accuracy") == "reliance/inside/other/accuracy"


@pytest.mark.parametrize(
    ("name", "marked", "rule"),
    [
        ("auto", ["x", "y"], "auto"),
        ("auto", ["x"], "validation"),
        ("validation", [], "validation"),
        ("region", ["x", "y"], "region"),
    ],
)
def test_the_region_test_is_taken_where_it_tells_classes_apart(name: str, marked: list[str], rule: str) -> None:
    assert choose_rule(name, marked, []) == rule


def test_groups_are_judged_by_the_worst_of_them() -> None:
    assert choose_rule("auto", ["x"], ["camera"]) == "worst"
    assert choose_rule("auto", ["x", "y"], ["camera"]) == "auto"


def test_a_rule_that_there_is_not_or_cannot_be() -> None:
    with pytest.raises(SalignError, match="expected auto, validation, worst or region, got 'regoin'; did you mean"):
        choose_rule("regoin", ["x", "y"], [])
    with pytest.raises(SalignError, match=r"marked on images of x alone\. Mark validation images of two classes"):
        choose_rule("region", ["x"], [])


def test_blank_maps_and_maps_of_machines_judge_nothing(tmp_path: Path) -> None:
    for name in ("blank", "marked", *"tabcde", "tx", "ty", "tz"):
        Image.new("L", (4, 4), 0 if name == "blank" else 255).save(tmp_path / f"{name}.png")
    rows = [
        ("t", "x", "train", "marked.png", "model:net"), ("a", "x", "val", "marked.png", "human:ann"),
        ("b", "y", "val", "blank.png", "human:ann"), ("c", "y", "val", "marked.png", "model:net"),
        ("d", "x", "val", "", ""), ("e", "y", "val", "marked.png", "human:bob"),
    ]  # fmt: skip

    def data(count: int, learned: str = "xy", **changes: Any) -> tuple[Manifest, DataRecipe]:
        lines = ["id,label,split,saliency,provenance,path"]
        lines += [",".join([*row, f"{row[0]}.png"]) for row in rows[:count]]
        lines += [f"t{name},{name},train,,,t{name}.png" for name in learned]
        (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
        return Manifest.read(tmp_path / "m.csv"), DataRecipe(manifest=str(tmp_path / "m.csv"), **changes)

    assert judged_classes(*data(4)) == ["x", "y"]  # y has nothing marked, and borrows
    assert judged_classes(*data(4, "xyz")) == ["x"]  # of three classes: nobody knows where the others are to be seen
    assert judged_classes(*data(4, "xyz", classes=["x", "y"])) == ["x", "y"]
    assert judged_classes(*data(2)) == ["x"]  # no image that could borrow
    assert judged_classes(*data(6)) == ["x", "y"]
    assert judged_classes(*data(6, annotated_val=0)) == []
    assert (training_maps(*data(6)), training_maps(*data(6, annotated=0))) == (1, 0)
