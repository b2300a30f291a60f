"""What every way to make a run of a finished one promises; a new one needs a line in `MADE`."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from command import small
from processes import Program
from salign.errors import SalignError
from salign.models import load
from salign.runs.fit import fit
from salign.runs.posthoc import MAKERS, make_run
from salign.runs.predict import predict_batches
from salign.runs.run import Run
from salign.runs.verdicts import run_verdicts
from salign.train.recipe import Recipe
from salign.train.snapshots import snapshot

MADE: dict[str, dict[str, Any]] = {"fuse": {"method": "all"}, "rebalance": {"epochs": 2}, "dfr": {"draws": 3}}
"""Name -> options with which it does something."""
ONE_LABEL = {"rebalance": "no class is the rare one", "dfr": "no group is the rare one"}
"""Those that refuse a run of images with several labels -> what they say."""
every_way = pytest.mark.parametrize("name", sorted(MADE))
QUIET: dict[str, Any] = {"progress": False, "say": lambda line: None}


@pytest.fixture(scope="module")
def source(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in bfloat16, of whose training images half have a map."""
    train = {"precision": "bfloat16", "snapshots": [0, 1]}
    recipe = small(digits, data={"annotated": 0.5}, train=train)
    return fit(Recipe.build(recipe), tmp_path_factory.mktemp("source"), **QUIET)


@pytest.fixture(scope="module")
def made(source: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    out = tmp_path_factory.mktemp("made")
    return {name: make_run(source.path, {"name": name, **options}, out, **QUIET) for name, options in MADE.items()}


def contents(run: Path) -> dict[str, bytes]:
    """Bytes by name of all that must not depend on interruptions or on other processes."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name != "environment.json"]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def test_runs_of_equal_weights_that_kept_other_epochs_give_other_fused_runs(source: Run, tmp_path: Path) -> None:
    other = tmp_path / source.path.name
    shutil.copytree(source.path, other)
    recipe = source.recipe.with_values({"posthoc": {"name": "fuse", "run": str(source.path)}})
    again = recipe.with_values({"posthoc": {"run": str(other)}})
    assert again.fingerprint() == recipe.fingerprint()
    shutil.rmtree(snapshot(other, 0))
    assert again.fingerprint() != recipe.fingerprint()


def test_there_is_a_line_for_each() -> None:
    assert MADE.keys() == MAKERS.keys()


@every_way
def test_of_bfloat16_and_of_half_of_the_maps_comes_a_whole_run(name: str, source: Run, made: dict[str, Run]) -> None:
    assert 0 < source.data("train").annotated.sum() < len(source.data("train"))
    model = load(made[name].path)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert list(made[name].figures()["split"].unique()) == ["val", "test_iid", "test_ood"]
    for part in ("val", "test_iid", "test_ood"):
        table, before = made[name].predictions(part), source.predictions(part)
        assert table["id"].tolist() == before["id"].tolist()
        assert (table["prob_1"] != before["prob_1"]).all()
        again = pd.concat(predict_batches(model, made[name].data(part), workers=0))
        assert table["prob_1"].tolist() == pytest.approx(again["prob_1"].tolist(), abs=1e-6)


def test_the_figures_of_dfr_on_validation_images_are_doubted_since_its_head_learned_from_them(
    made: dict[str, Run],
) -> None:
    doubt = (
        "measured on what it learned from: val: the head learned from these images. Judge it by images of another set."
    )
    assert [name for name, run in made.items() if doubt in map(str, run_verdicts(run))] == ["dfr"]
    assert doubt not in map(str, run_verdicts(made["dfr"], ["test_iid"]))
    assert doubt in (made["dfr"].path / "README.md").read_text("utf-8")


@every_way
def test_several_labels_work_or_are_refused(name: str, digits: Path, tmp_path: Path) -> None:
    table = pd.read_csv(digits, dtype=str)
    colours = table["decoy"].map(lambda decoy: ";".join(["low"] * (decoy < "5") + ["even"] * (int(decoy) % 2 == 0)))
    table.assign(label=colours).to_csv(tmp_path / "several.csv", index=False)
    data = {"root": str(digits.parent), "classes": None, "multi_label": True, "test": []}
    recipe = small(tmp_path / "several.csv", data=data, train={"epochs": 1, "snapshots": [0]})
    several = fit(Recipe.build(recipe), tmp_path / "runs", **QUIET)
    options = {"name": name, **MADE[name]}
    if name in ONE_LABEL:
        with pytest.raises(SalignError, match=ONE_LABEL[name]):
            make_run(several.path, options, tmp_path / "made", **QUIET)
        assert not list((tmp_path / "made").glob("[!.]*"))
        return
    run = make_run(several.path, options, tmp_path / "made", **QUIET)
    assert run.multi_label
    columns = ["prob_even", "prob_low"]
    pd.testing.assert_frame_equal(run.predictions("val")[columns], several.predictions("val")[columns], atol=1e-6)


def command(name: str, source: Run, out: Path) -> Program:
    options = [word for key, value in MADE[name].items() for word in (f"--{key}", value)]
    return Program(name, source.path, "--out", out, *options)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
@every_way
def test_killed_while_it_writes_and_then_made_by_two_at_once_it_has_the_same_bytes(
    name: str, source: Run, made: dict[str, Run], tmp_path: Path
) -> None:
    process, new = command(name, source, tmp_path), tmp_path / made[name].path.name
    while process.poll() is None and not (new / "predictions" / "val.csv").exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    assert not (new / "done").exists()
    both = [command(name, source, tmp_path) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("already done; nothing to make" in out for out, _ in said) == 1
    assert contents(new) == contents(made[name].path)
