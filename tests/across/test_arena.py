"""The arena: every loss competes, with as many settings as any other, and the table says what the studies found."""

from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import made_study
from command import script
from salign.experiment.arms import control_of
from salign.experiment.study import Cell, Study, expand
from salign.losses import LOSSES

FOLDER = Path(__file__).parents[2] / "recipes" / "studies"
ARMS = ["ce", "cyborg", "shuffled", "energy@1", "energy@10", "mixed_rand", "swap, map"]
BOXES = "boxes:energy@10"
DOCS = Path(__file__).parents[2] / "docs" / "arena"
TIMED = {"reaction_time"}
"""Needs seconds, which no image set here has."""


def arena(*arguments: object) -> str:
    return script(FOLDER.parents[1] / "examples" / "studies" / "arena.py", *arguments)


def setting_of(cell: Cell) -> Any:
    """The options of a cell's loss, defaults and all."""
    given = cell.recipe.loss.model_dump()
    options = inspect.signature(LOSSES[given["name"]]).parameters
    return frozenset({name: given.get(name, option.default) for name, option in options.items()}.items())


def losses_of(study: Study) -> dict[str, set[Any]]:
    """Loss -> its settings, defaults and all, of the arms with people's own maps."""
    found: dict[str, set[Any]] = {}
    for cell in expand(study):
        if cell.recipe.data.maps == "own":
            found.setdefault(cell.recipe.loss.name, set()).add(setting_of(cell))
    return found


def copied(study: Study, arm: str) -> tuple[str, str] | None:
    return control_of(arm, guided=study.guided, own=study.arms)


def test_every_loss_competes_with_as_many_settings() -> None:
    study = Study.read(FOLDER / "arena_tuning.yaml")
    assert set(losses_of(study)) <= set(LOSSES) - TIMED
    assert len(losses_of(study)) == 24, "those of the day it was run"
    settings = Counter(arm.partition("@")[0] for grid in study.grids for arm in grid.arms)
    assert set(settings.values()) == {3}


def test_the_arena_takes_settings_that_were_tried_with_another_seed() -> None:
    tuning, taken = (Study.read(FOLDER / f"{name}.yaml") for name in ("arena_tuning", "arena"))
    tried, used = losses_of(tuning), losses_of(taken)
    assert set(used) == set(tried)
    assert all(used[name] <= tried[name] for name in used)
    assert {cell.seed for cell in expand(tuning)}.isdisjoint({cell.seed for cell in expand(taken)})


@pytest.mark.parametrize("dataset", ["busi", "cxr-view", "magnetic"])
def test_the_second_tier_is_the_same_for_every_set_with_settings_that_were_tried_there(dataset: str) -> None:
    tuning = Study.read(FOLDER / "arena_real_tuning.yaml")
    taken = Study.read(FOLDER / f"arena_{dataset.replace('-', '_')}.yaml")
    tried = losses_of(tuning)
    assert all(settings <= tried[name] for name, settings in losses_of(taken).items())
    assert taken.grids == Study.read(FOLDER / "arena_busi.yaml").grids
    before, now = tuning.datasets[dataset]["data"], taken.recipe["data"]
    assert {key: now[key] for key in before.keys() - {"test"}} == {key: before[key] for key in before.keys() - {"test"}}
    assert {cell.seed for cell in expand(tuning)}.isdisjoint({cell.seed for cell in expand(taken)})


def test_worse_maps_are_tried_with_the_settings_and_images_of_the_first_tier() -> None:
    first, worse = (Study.read(FOLDER / f"{name}.yaml") for name in ("arena", "arena_maps"))
    model = worse.recipe["model"]
    assert model.pop("head") == "timm", "it was measured with the head of earlier recipes"
    assert worse.recipe == first.recipe
    assert set(worse.arms) <= set(first.arms)
    assert all(first.arms[name] == changes for name, changes in worse.arms.items())
    tried = Counter(control[1] for cell in expand(worse) if (control := copied(worse, cell.arm)) and cell.seed == 0)
    assert set(tried) == set(worse.arms)
    assert set(tried.values()) == {6}


@pytest.fixture
def finished(digits: Path, tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """A study of made-up figures: `energy@10` is right more often than `energy@1`, `ce` least."""
    added = {"swap, map": {"loss": {"name": "swap", "also": {"hint": {"form": "mse", "weight": 10}}}}}
    study = made_study.study(digits, arms=added, grids=[{"arms": [*ARMS, BOXES], "seeds": 4}])
    quality = made_study.QUALITY | {"energy@1": 0.6, "energy@10": 0.8, "swap, map": 0.9, BOXES: 0.5}
    results = made_study.made(tmp_path / "studies", digits, study, quality)
    path = tmp_path / "study.yaml"
    path.write_text(study.to_yaml())
    return path, results.figures


@pytest.mark.parametrize(
    ("tried", "dataset", "tuning", "taken"),
    [
        ("digits", "data", "arena_tuning", "arena"),
        ("real", "busi", "arena_real_tuning", "arena_busi"),
        ("real", "cxr-view", "arena_real_tuning", "arena_cxr_view"),
        ("real", "magnetic", "arena_real_tuning", "arena_magnetic"),
    ],
)
def test_what_was_tried_is_in_the_docs_and_the_best_was_taken(
    tried: str, dataset: str, tuning: str, taken: str
) -> None:
    asked, used = Study.read(FOLDER / f"{tuning}.yaml"), losses_of(Study.read(FOLDER / f"{taken}.yaml"))
    cells = {cell.arm: cell for cell in expand(asked)}
    figures = pd.read_csv(DOCS / "tried" / f"{tried}.csv").query("dataset == @dataset").set_index("arm")["figure"]
    assert set(figures.index) == set(cells)
    guided = figures.dropna().sort_values(ascending=False, kind="stable")
    best = {family: arm for arm in reversed(guided.index) if (family := arm.partition("@")[0]) != "ce"}
    for arm in best.values():
        assert setting_of(cells[arm]) in used[cells[arm].recipe.loss.name], arm


def test_the_best_setting_on_the_target_is_chosen(finished: tuple[Path, pd.DataFrame]) -> None:
    path, _ = finished
    chosen = yaml.safe_load(arena("chosen", path, "--out", path.parent / "studies"))
    assert chosen["data"]["energy"] == {"loss": {"name": "energy", "weight": 10.0}}
    assert set(chosen["data"]) == {"ce", "cyborg", "shuffled", "energy", "boxes:energy", "mixed_rand", "swap, map"}


def test_the_table_of_what_was_tried_has_the_figures_that_the_choice_goes_by(
    finished: tuple[Path, pd.DataFrame],
) -> None:
    path, figures = finished
    for cell in (path.parent / "studies").glob("*/runs/*energy-1-*/cell.json"):
        cell.unlink()  # as where a training diverged
    arena("tried", path, path.parent / "tried.csv", "--out", path.parent / "studies")
    table = pd.read_csv(path.parent / "tried.csv").set_index("arm")["figure"]
    rows = figures[(figures["set"] == "test_ood") & (figures["metric"] == "accuracy")].astype({"arm": str})
    expected = rows.groupby("arm")["value"].mean()
    assert list(table.index) == [*ARMS, BOXES]
    assert table.isna().tolist() == [arm == "energy@1" for arm in table.index]
    assert table.dropna().to_dict() == pytest.approx(expected.drop("energy@1").to_dict(), abs=1e-4)


def test_the_table_holds_what_the_runs_found(finished: tuple[Path, pd.DataFrame]) -> None:
    path, figures = finished
    arena("table", path, path.parent / "table.csv", "--out", path.parent / "studies")
    table = pd.read_csv(path.parent / "table.csv").set_index("arm")
    assert list(table.index) == ["ce", "cyborg", "shuffled", BOXES, *ARMS[3:]]
    target = figures[figures["set"] == "test_ood"]
    columns = {
        "target_mean": "accuracy",
        "agreement": "agreement/cc",
        "relies": "reliance/inside/other/flipped",
    }
    for column, metric in columns.items():
        expected = target[target["metric"] == metric].groupby("arm")["value"].mean()
        expected.index = expected.index.astype(str)
        pd.testing.assert_series_equal(table[column].sort_index(), expected, check_names=False, atol=1e-4, rtol=0)
    assert table.loc["energy@10", "setting"] == "weight 10.0"
    assert table.loc["mixed_rand", "setting"] == "lender any, paint_over True"
    assert table.loc["swap, map", "setting"] == "with hint (form mse, weight 10)"
    assert table.loc["cyborg", "consistency"] > 0.9 > table.loc["ce", "consistency"]


def test_the_table_of_worse_maps_holds_differences_to_the_same_arm(finished: tuple[Path, pd.DataFrame]) -> None:
    path, figures = finished
    arena("maps", path, path.parent / "maps.csv", "--out", path.parent / "studies")
    table = pd.read_csv(path.parent / "maps.csv").set_index(["arm", "maps"])
    assert list(table.index) == [
        ("cyborg", "own"), ("cyborg", "shuffled"), ("energy@10", "own"), ("energy@10", "boxes")
    ]  # fmt: skip
    rows = figures[(figures["set"] == "test_ood") & (figures["metric"] == "accuracy")]
    means = rows.astype({"arm": str}).groupby("arm")["value"].mean()
    assert table.loc[("energy@10", "boxes"), "difference"] == pytest.approx(means[BOXES] - means["energy@10"], abs=1e-4)
    assert table.loc[("cyborg", "shuffled"), "mean"] == pytest.approx(means["shuffled"], abs=1e-4)
