"""The table of what networks cost: its figures, and when it is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from made_study import QUALITY, made, study
from salign.experiment.report.groups import groups_of
from salign.experiment.report.networks import network_costs
from salign.models import Classifier
from salign.pages.sheet import Table

SMALL = {"model": {"args": {"channels": [8, 12, 12, 24], "stem_width": 8}}}
BIT = {"model": {"backbone": "reactnet_012"}}
LOST = {"model": {"args": {"stem_width": 16}}}
GRID = [{"arms": ["ce", "cyborg", "small", "bit", "lost"], "seeds": 2}]


@pytest.fixture(scope="module")
def reported(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[str, Path]]:
    """The table of made-up runs with the weights of real networks, and a run of each arm; those of `lost` are gone."""
    recipe = {"data": {"manifest": str(digits), "test": ["test_iid", "test_ood"], "classes": ["1", "7"]}}
    arms = {arm: {"loss": {"name": "ce"}, **net} for arm, net in (("small", SMALL), ("bit", BIT), ("lost", LOST))}
    plan = study(digits, arms=arms, grids=GRID, recipe=recipe | {"model": {"backbone": "test_resnet"}})
    results = made(tmp_path_factory.mktemp("study"), digits, plan, QUALITY | {"small": 0.4, "bit": 0.3, "lost": 0.3})
    runs = {str(row.arm): Path(str(row.path)) for row in results.runs.itertuples() if row.seed == 0}
    for arm, changes in {"ce": {}, "small": SMALL["model"], "bit": BIT["model"]}.items():
        Classifier(**{"backbone": "test_resnet", **changes}, classes=("1", "7"), image_size=64).save(runs[arm])
    (table,) = network_costs(plan, groups_of(plan, results.figures), results.runs, {})
    assert isinstance(table, Table)
    return table.frame.set_index("arm"), runs


def multiply_adds(model: nn.Module) -> int:
    """The slow count: a hook on every convolution and linear layer."""
    counts: list[int] = []

    def count(layer: Any, _: Any, output: torch.Tensor) -> None:
        counts.append(output[0].numel() * layer.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    model(torch.zeros(1, 3, 64, 64))
    return sum(counts)


def test_each_arm_has_size_and_operations_beside_what_it_reached(
    reported: tuple[pd.DataFrame, dict[str, Path]],
) -> None:
    table, runs = reported
    assert list(table.index) == ["ce", "cyborg", "bit", "lost", "small"]
    for arm in ("ce", "small"):
        model, row = Classifier.load(runs[arm]), table.loc[arm]
        assert row["network"] == "test_resnet"
        assert int(row["parameters"].replace(",", "")) == sum(value.numel() for value in model.parameters())
        on_disk = (runs[arm] / "weights.safetensors").stat().st_size / 1e6
        assert float(row["size of the weights, MB"]) == pytest.approx(on_disk, rel=0.1)
        assert float(row["multiply-adds, millions"].replace(",", "")) * 1e6 == pytest.approx(
            multiply_adds(model), rel=1e-3
        )
        assert row["of one bit, millions"] == "0"
    assert table.loc["bit", "network"] == "reactnet_012"
    assert float(table.loc["bit", "of one bit, millions"]) > 1
    right = [pd.read_csv(runs["ce"].parent / run.name / "predictions" / "test_ood.csv") for run in _seeds(runs["ce"])]
    mean = 100 * sum((rows["label"].astype(str) == rows["predicted"].astype(str)).mean() for rows in right) / 2
    assert table.loc["ce", "accuracy, test_ood"].startswith(f"{mean:.1f} ± ")


def _seeds(run: Path) -> list[Path]:
    """The runs of the same arm."""
    return [path for path in run.parent.iterdir() if path.name.split("-seed")[0] == run.name.split("-seed")[0]]


def test_a_network_is_counted_once_and_one_that_is_gone_has_dashes(
    reported: tuple[pd.DataFrame, dict[str, Path]],
) -> None:
    table, runs = reported
    assert not (runs["cyborg"] / "weights.safetensors").exists()
    assert table.loc["cyborg", "parameters"] == table.loc["ce", "parameters"]
    assert table.loc["lost"].iloc[3:].tolist() == ["–"] * 4


def test_arms_of_one_network_have_no_such_table(digits: Path, tmp_path: Path) -> None:
    plan = study(digits)
    results = made(tmp_path, digits, plan)
    assert network_costs(plan, groups_of(plan, results.figures), results.runs, {}) == []
