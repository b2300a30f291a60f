from __future__ import annotations

import shutil

import pandas as pd
import pytest

from command import salign, small, written
from salign.data.manifest import Manifest
from salign.data.manifest.verdict import Verdict
from salign.losses import LOSSES
from salign.train.recipe import Recipe


def test_the_last_lines_say_what_was_written_and_what_comes_next(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    recipe = written(tmp_path / "r.yaml", small(digits, data={"groups": []}, train={"epochs": 1}))
    ended = salign("train", recipe, "--out", tmp_path / "runs", "--quiet", "--set", "loss.alpha=0.75")
    (run,) = (tmp_path / "runs").iterdir()
    assert ended.out.strip().endswith(f"wrote {run}. Next: salign explain {run}")
    assert Recipe.read(run / "recipe.yaml").loss.options == {"alpha": 0.75}
    figures = pd.read_csv(run / "evaluation.csv").query("metric == 'accuracy'").set_index("split")
    (line,) = (line for line in ended.out.splitlines() if line.startswith("│ accuracy  "))
    for name in ("val", "test_iid", "test_ood"):
        value, low, high = figures.loc[name, ["value", "low", "high"]]
        assert f"{value:.3f} [{low:.3f}, {high:.3f}]" in line
    again = salign("train", recipe, "--out", tmp_path / "runs", "--quiet", "--set", "loss.alpha=0.75")
    assert "already done" in again.out
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.name]


@pytest.mark.parametrize("command", ["train r.yaml", "experiment s.yaml --list"])
def test_who_says_verify_has_the_manifest_validated_again(digits, trained, tmp_path, monkeypatch, command):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe = small(digits)
    written(tmp_path / "r.yaml", recipe)
    shared = {key: value for key, value in recipe.items() if key != "name"}
    study = {"name": "s", "recipe": shared, "target": "test_iid", "grids": [{"arms": ["ce"], "seeds": 1}]}
    written(tmp_path / "s.yaml", study)
    verdict = Verdict(digits, "structure and paths")
    monkeypatch.setattr("salign.data.manifest.verdict._RACY_NS", -(10**18))  # the set was made just now
    verdict.note([Manifest.read(digits).table["path"]], digits.parent)
    name, file, *options = command.split()
    call = (name, tmp_path / file, *options, "--out", trained.parent, "--quiet")
    salign(*call)
    assert verdict.holds
    salign(*call, "--verify")
    assert not verdict.holds


def test_the_losses_are_listed_with_their_options(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    lines = salign("train", "--losses").out.splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [row[0] for row in rows if row[0]] == list(LOSSES)
    first = next(k for k, row in enumerate(rows) if row[0] == "cyborg")
    assert "Human Saliency" in rows[first][1]
    assert [row[2] for row in rows[first : first + 2]] == ["alpha: 0.5", "cam_class: true"]


def test_each_override_is_a_run_of_its_own(digits, tmp_path):
    recipe = written(tmp_path / "r.yaml", small(digits, data={"test": []}, train={"epochs": 1}))
    for options in ([], ["--set", "seed=1"], ["--set", "seed=1", "--set", "loss.name=ce"]):
        salign("train", recipe, "--out", tmp_path / "runs", "--quiet", *options)
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert len(names) == 3
    plain = next(path for path in (tmp_path / "runs").iterdir() if Recipe.read(path / "recipe.yaml").loss.name == "ce")
    assert "train/saliency" not in pd.read_csv(plain / "metrics.csv")


def test_a_mistake_in_the_recipe_writes_nothing(digits, tmp_path):
    recipe = written(tmp_path / "r.yaml", small(digits, train={"epoch": 3}))
    ended = salign("train", recipe, "--out", tmp_path / "runs", code=2)
    assert "train.epoch: unknown key; did you mean 'epochs'" in ended.err
    assert str(recipe) in ended.err
    assert "nothing" not in ended.out
    assert not (tmp_path / "runs").exists()


def test_the_bars_can_be_shown(digits, tmp_path):
    recipe = written(tmp_path / "r.yaml", small(digits, data={"test": []}, train={"epochs": 1}))
    assert "wrote" in salign("train", recipe, "--out", tmp_path / "runs").out


def test_a_set_that_was_moved_with_its_recipe_is_the_same_run(digits, tmp_path, trained):
    moved = shutil.copytree(digits.parent, tmp_path / "elsewhere")
    recipe = written(moved / "r.yaml", small("manifest.csv"))
    assert f"{trained} is already done" in salign("train", recipe, "--out", trained.parent).out


@pytest.mark.parametrize("stop", [False, True])
def test_ctrl_c_ends_with_130_and_says_how_to_go_on(digits, tmp_path, monkeypatch, stop):
    def fit(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("salign.runs.fit.fit", fit)
    recipe = written(tmp_path / "r.yaml", small(digits))
    options = ["--resume"] if stop else []
    assert "--resume" in salign("train", recipe, "--out", tmp_path / "runs", *options, code=130).err


def test_a_recipe_of_a_net_that_draws_maps_is_trained_too(digits, tmp_path):
    content = small(digits, task="maps", model={"output_stride": None, "width": 16}, train={"epochs": 1})
    del content["loss"]
    done = salign("train", written(tmp_path / "n.yaml", content), "--out", tmp_path / "runs", "--quiet")
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert done.last == f"wrote {run}. Next: salign saliency evaluate {run}"
    assert (run / "agreement.csv").exists()
