"""`salign run` and `salign status` as typed; the whole road is walked by docs/getting-started.md."""

from __future__ import annotations

import itertools
import json
import os
import shlex

import pytest

from command import salign
from salign.cli import run as module


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """A folder with a manifest of four images and a study of two arms and two seeds."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = [f"{k},{k}.png,{'ab'[k % 2]},{split}," for k, split in enumerate(["train", "train", "val", "test"])]
    for k in range(4):
        (folder / f"{k}.png").touch()
    (folder / "manifest.csv").write_text("\n".join(["id,path,label,split,saliency", *rows]) + "\n")
    (folder / "study.yaml").write_text(
        "name: photos\nrecipe: {data: {manifest: manifest.csv}}\narms: {guided: {loss: {name: cyborg}}}\n"
        "guided: guided\ngrids: [{arms: [ce, guided], seeds: 2}]\n"
    )
    return folder


def marked(folder):
    (folder / "m.png").touch()
    file = folder / "manifest.csv"
    file.write_text(file.read_text().replace("0.png,a,train,", "0.png,a,train,m.png"))


def trained(folder, runs, study="photos"):
    place = folder / "studies" / study
    for name, value in runs.items():
        run = place / "runs" / f"{name}-01234567"
        run.mkdir(parents=True)
        (run / "recipe.yaml").touch()
        (run / "cell.json").write_text(json.dumps({"seconds": 1.0, "figures": {"test": {"auroc": value}}}))
    (place / "study.yaml").write_bytes((folder / "study.yaml").read_bytes())
    return place


def test_status_names_the_next_command_at_every_stage(ready, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert salign("status", empty).last == f"Next: salign init {empty}"
    shown = salign("status", "photos")
    assert "0 of 2 training images have a map" in shown.out
    assert shown.last == "Next: salign annotate photos"
    (ready / "annotations").mkdir()
    (ready / "annotations" / "annotations.db").touch()
    assert salign("status", "photos").last == "Next: salign annotate photos --merge, when people are done"
    marked(ready)
    shown = salign("status", "photos")
    assert "1 of 2 training images have a map" in shown.out
    assert shown.last == "Next: salign run photos"
    place = trained(ready, {"ce-seed0": 0.5, "guided-seed0": 0.75, "ce-seed1": 0.6})
    shown = salign("status", "photos")
    assert "study photos: 3 of 4 runs are done" in shown.out
    assert shown.last == "Next: salign run photos"
    trained(ready, {"guided-seed1": 0.8})
    (place / "report.html").touch()
    assert (
        salign("status", "photos").last
        == "Next: open photos/studies/photos/report.html in a browser, or: salign explain last"
    )


@pytest.mark.parametrize(
    "given",
    [
        ("--set", "recipe.train.epochs=2"),
        ("--set", "recipe.model={backbone: resnet18, weights: null}", "--set", "metric=accuracy"),
        ("--seeds", "3", "--set", "recipe.data.positive=a b"),
        ("--set", "grids=[{arms: [ce], seeds: [4, 7]}]"),
        ("--set", "arms={guided@0.5: {loss: {name: swap}}}", "--set", "recipe.train.lr=0.00001"),
        ("--set", "recipe.data.positive='yes'", "--set", "title='[1'", "--set", "recipe.data.limit=null"),
        ("--set", "arms.guided={loss: {name: swap, weight: 2}}"),
    ],
)
def test_status_goes_on_with_the_values_that_a_stopped_study_was_given(ready, given):
    """Without them another study would begin in its place."""
    marked(ready)
    place = trained(ready, {"ce-seed0": 0.5})
    overrides = [value for key, value in itertools.pairwise(given) if key == "--set"]
    begun = module._study(ready / "study.yaml", overrides, 3 if "--seeds" in given else None, plain=False)
    (place / "study.yaml").write_text(begun.to_yaml())
    words = shlex.split(salign("status", "photos").last.removeprefix("Next: "))
    assert words[:3] == ["salign", "run", "photos"]
    assert "--set" in words
    again = [value for key, value in itertools.pairwise(words) if key == "--set"]
    seeds = int(words[words.index("--seeds") + 1]) if "--seeds" in words else None
    assert ("--seeds" in given) == (seeds == 3)
    assert module._study(ready / "study.yaml", again, seeds, plain=False) == begun
    later = (place / "study.yaml").stat().st_mtime + 5
    os.utime(ready / "study.yaml", (later, later))
    assert salign("status", "photos").last == "Next: salign run photos"  # the plan was changed since


def test_status_tells_of_a_stopped_study_without_maps(ready):
    begun = module._study(ready / "study.yaml", ["recipe.train.epochs=2"], 3, plain=True)
    place = trained(ready, {"ce-seed0": 0.5, "ce-seed1": 0.5}, begun.name)
    (place / "study.yaml").write_text(begun.to_yaml())
    go_on = "salign run photos --plain --seeds 3 --set 'recipe.train={epochs: 2}'"
    shown = salign("status", "photos")
    assert f"study photos-without-maps: 2 of 3 runs are done; {go_on}" in shown.out
    assert shown.last == "Next: salign annotate photos"
    trained(ready, {"ce-seed2": 0.5}, begun.name)
    (place / "study.yaml").write_text(begun.to_yaml())
    (place / "report.html").touch()
    assert (
        "3 of 3 runs are done; report: photos/studies/photos-without-maps/report.html" in salign("status", "photos").out
    )


def test_a_broken_manifest_is_told_with_the_command_that_lists_all(ready):
    (ready / "2.png").unlink()
    shown = salign("status", "photos")
    assert "row 4, path: no such file" in shown.out
    assert shown.last.startswith("Next: salign data check")


def test_a_misspelt_network_is_told_once_and_before_any_run(ready):
    marked(ready)
    told = salign("run", "photos", "--set", "recipe.model.backbone=resnet8", code=2)
    assert told.err.startswith("error: unknown backbone 'resnet8'; timm has no such network. Nearest: resnet18")
    assert "Go on with" not in told.out + told.err
    assert not list(ready.glob("studies/*/study.yaml"))


def test_without_maps_it_says_to_annotate(ready):
    said = salign("run", "photos", code=2).err
    assert "none of the 2 training images" in said
    assert "Next: salign annotate photos, then salign annotate photos --merge" in said
    assert "salign run photos --plain" in said


def test_plain_has_a_loud_name_and_cross_entropy_alone(ready):
    study = module._study(ready / "study.yaml", [], 4, plain=True)
    assert study.name == "photos-without-maps"
    assert [(grid.arms, grid.seeds) for grid in study.grids] == [(["ce"], 4)]
    assert (study.guided, study.controls) == ("ce", [])
    study = module._study(ready / "study.yaml", ["metric=accuracy"], None, plain=False)
    assert (study.name, study.metric) == ("photos", "accuracy")
    assert [(grid.arms, grid.seeds) for grid in study.grids] == [(["ce", "guided"], 2)]
