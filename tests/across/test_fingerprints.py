"""What a run is found by: the keys that change a fingerprint, and the figures that were measured under one."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import pytest
import yaml

from salign.errors import SalignError
from salign.experiment.study import Study, expand
from salign.train.recipe import Recipe
from whole_recipe import full, header_alone, write

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def manifest(tmp_path):
    return header_alone(tmp_path)


LEAVES = {
    "name": "other",
    "preset": None,
    "seed": 4,
    "data.train": ["a"],
    "data.val": ["cc"],
    "data.test": {"far": ["d"]},
    "data.classes": ["x", "y"],
    "data.positive": "x",
    "data.image_size": [128, 96],
    "data.augment": "none",
    "data.limit": 51,
    "data.map_column": "saliency",
    "data.label_noise": 0.5,
    "data.annotated": None,
    "data.annotated_before_limit": False,
    "data.annotated_val": None,
    "data.drawn": None,
    "data.maps": "own",
    "data.blur_outside": [4.0, 2.0],
    "data.swap_outside": 0.75,
    "data.seed": 8,
    "data.sampling": "natural",
    "data.subsample": "none",
    "data.repeat_errors": None,
    "data.faults": "stop",
    "data.groups": ["age"],
    "data.species": None,
    "data.seconds_column": None,
    "data.targets": None,
    "model.backbone": "resnet34",
    "model.weights": "imagenet",
    "model.output_stride": 8,
    "model.args": {"drop_path_rate": 0.2},
    "model.head": "small",
    "data.task": "classes",
    "loss.name": "ce",
    "loss.class_weights": "balanced",
    "loss.alpha": 0.4,
    "loss.cam_class": "true",
    "loss.penalty": "mse",
    "loss.ramp_epochs": 5,
    "loss.also": {"energy": {"weight": 3.0}},
    "loss.teacher": "another",
    "model.region": {"by": "another"},
    "train.accumulate": 3,
    "train.epochs": 8,
    "train.batch_size": 12,
    "train.optimizer": "sgd",
    "train.lr": 0.03,
    "train.momentum": 0.7,
    "train.weight_decay": 0.02,
    "train.schedule": "cosine",
    "train.step_epochs": 6,
    "train.step_factor": 0.4,
    "train.select": "auroc",
    "train.ties": "last",
    "train.trainable": "last_block",
    "train.snapshots": [0, 4],
    "train.collapse_patience": 5,
    "train.ema": 0.5,
    "train.device": "auto",
    "train.precision": "float32",
    "train.memory_format": "contiguous",
}


FREE = {"data.manifest", "data.root", "data.workers", "data.cache", "train.logger", "train.devices", "train.nodes"}


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def test_the_fingerprint_depends_on_every_value_but_places_and_workers(manifest):
    content = full(manifest)
    keys = {f"{section}.{key}" for section in ("data", "model", "loss", "train") for key in content[section]}
    assert set(LEAVES) | FREE | {"model.cam", "data.multi_label", "loss.dose"} == keys | {"name", "preset", "seed"}
    recipe = Recipe.build(content)
    prints = {key: recipe.with_values(nested(key, value)).fingerprint() for key, value in LEAVES.items()}
    prints[""] = recipe.fingerprint()
    same = [pair for pair in itertools.combinations(prints, 2) if prints[pair[0]] == prints[pair[1]]]
    assert not same
    assert all(len(value) == 8 and int(value, 16) >= 0 for value in prints.values())


def test_runs_from_before_there_were_all_keys_keep_their_fingerprint(manifest):
    plain = {key: value for key, value in full(manifest)["loss"].items() if key not in ("also", "teacher", "dose")}
    later = ("trainable", "snapshots", "collapse_patience", "logger", "accumulate", "devices", "nodes", "ema")
    train = {key: value for key, value in full(manifest)["train"].items() if key not in later}
    model = full(manifest)["model"] | {"region": None}
    changes = {"data": {"manifest": str(manifest)}, "model": model, "loss": plain, "train": train, "posthoc": None}
    recipe = Recipe.build(full(manifest) | changes)
    content = recipe.model_dump(mode="json")
    assert content.pop("task") == "classify"
    assert content["train"].pop("trainable") == "all"
    assert content["train"].pop("snapshots") is None
    assert content["train"].pop("collapse_patience") is None
    assert content["train"].pop("logger") == "auto"
    assert content["train"].pop("accumulate") == 1
    assert [content["train"].pop(key) for key in ("devices", "nodes", "ema")] == [1, 1, None]
    assert content.pop("steps") == []
    assert content.pop("posthoc") is None
    assert content.pop("stages") == {}
    assert content["data"].pop("annotated_before_limit") is False
    assert content["data"].pop("annotated_val") is None
    assert content["data"].pop("drawn") is None
    assert content["data"].pop("seconds_column") is None
    assert content["data"].pop("multi_label") is False
    assert content["data"].pop("targets") is None
    assert content["data"].pop("label_noise") == 0
    assert content["data"].pop("subsample") == "none"
    assert content["data"].pop("repeat_errors") is None
    assert content["data"].pop("task") == "classes"
    assert content["data"].pop("cache") is None
    assert content["model"].pop("cam") == "proved"
    assert content["model"].pop("head") == "timm"
    assert content["model"].pop("region") is None
    assert content["loss"].pop("also") == {}
    assert content["loss"].pop("teacher") is None
    assert content["loss"].pop("dose") is None
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    content["data"] |= {"manifest": digest, "root": None, "workers": None}
    before = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert recipe.fingerprint() == before[:8]


def test_a_recipe_written_out_before_there_was_another_head_had_timms(manifest, tmp_path):
    """Run folders keep every key; what a user writes by hand has the head of today."""
    kept = {key: value for key, value in full(manifest)["model"].items() if key not in ("head", "cam")}
    old = Recipe.build(full(manifest) | {"model": kept})
    assert (old.model.head, old.model.cam) == ("timm", "proved")
    assert old.fingerprint() == Recipe.build(full(manifest)).fingerprint()
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(full(manifest) | {"model": kept}))
    assert Recipe.read(path, ["train.epochs=3"]).model.head == "timm"
    assert Recipe.read(path, ["model.head=small"]).model.head == "small"
    by_hand = {"name": "n", "preset": "wacv2023", "data": {"manifest": str(manifest)}}
    for train in ({}, {"epochs": 3, "lr": 0.1}, full(manifest)["train"]):
        assert Recipe.build({**by_hand, "train": train}).model.head == "small"
    assert Recipe.read(write(tmp_path, Recipe.build(by_hand))).model.head == "small"


FINGERPRINTS = {
    "busi_search": "3e299f8c", "cxr_search": "2a01a493", "magnetic_search": "478638a7", "digits_search": "9881446f",
    "busi_100": "531b77f8", "busi_maps": "ad94cee7", "demo_search": "7e58ed28",
    "busi_mentor": "77392fb6", "busi_mentor_imagenet": "8ae671ee",
    "cxr_fewshot": "b3ccccda", "cxr_maps": "93750e3f", "digits_maps": "84217368", "digits_teacher": "029b84ec",
    "osie_maps": "fb9e1a92", "studies/arena": "2253f9ac", "studies/arena_busi": "cc8b774d",
    "studies/arena_cxr_view": "41b022de", "studies/arena_magnetic": "107f7ea8", "studies/arena_maps": "d8dac656",
    "studies/arena_real_tuning": "8e5899f0", "studies/arena_tuning": "fde6d0a9", "studies/busi": "f29c8b3b",
    "studies/busi_machine": "7260dd0b", "studies/busi_mentor": "ea05723d", "studies/busi_mentor_imagenet": "5e786ee6",
    "studies/cxr_machine": "ed324dbe", "studies/cxr_source": "1698d2d9", "studies/cxr_view": "54c01dcb",
    "studies/digits": "ed7e7078", "studies/digits_machine": "aa67d4dc", "studies/digits_machine_swap": "15838d45",
    "studies/magnetic": "b6f272fe", "studies/digits_noise": "a3a605eb", "studies/digits_tailed": "0acf7992",
    "studies/busi_three": "cbe4e84b", "digits_attack": "510f2560", "studies/binary": "dc0c7264",
    "studies/complexity": "e384ee62", "studies/rivals_busi": "f27f4cc7", "studies/rivals_digits": "12fc562d",
    "studies/small": "a01cf878", "studies/digits_inherit": "89bbc28d", "studies/busi_inherit": "da1808f4",
    "studies/cxr_inherit": "016364c5",
    "studies/digits_head": "4e36286c", "studies/busi_head": "12b5bbcb",
    "stanford40_maps": "d720714e", "studies/bar": "5f383fd2", "studies/bar_full": "612762c7",
    "studies/bar_scratch": "6f0c2d1d", "studies/groups_digits": "f2982a56", "studies/digits_forget": "a3f2d3b2",
}  # fmt: skip


"""File in recipes -> its fingerprint, of a study that of all its cells joined, as commit 0d4fc3f gave them for a
manifest with a header alone. Figures in docs/ were measured under these.

The studies of machines and of MENTOR are those that stages changed: what a script made for them beforehand, they make.
"""


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_recipes_here_keep_the_fingerprints_of_their_figures(name, manifest):
    def placed(content):
        return {
            key: str(manifest) if key == "manifest" else placed(value) if isinstance(value, dict) else value
            for key, value in content.items()
        }

    content = placed(yaml.safe_load((RECIPES / f"{name}.yaml").read_text()))
    if "grids" in content:
        cells = [cell.recipe.fingerprint() for cell in expand(Study.build(content))]
        found = hashlib.sha256(" ".join(cells).encode()).hexdigest()[:8]
    else:
        found = Recipe.build(content).fingerprint()
    assert found == FINGERPRINTS[name]


def test_every_recipe_here_is_among_them():
    names = {str(path.relative_to(RECIPES).with_suffix("")) for path in RECIPES.rglob("*.yaml")}
    assert names - {"evidence"} == set(FINGERPRINTS)  # that one is a table of figures


def test_the_fingerprint_ignores_where_things_lie_and_who_reads_them(manifest, tmp_path):
    recipe = Recipe.build(full(manifest))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copy = elsewhere / "renamed.csv"
    shutil.copy(manifest, copy)
    moved = recipe.with_values({"data": {"manifest": str(copy), "root": str(elsewhere), "workers": 0, "cache": None}})
    assert moved.fingerprint() == recipe.fingerprint()
    copy.write_bytes(manifest.read_bytes() + b"\n")
    assert moved.fingerprint() != recipe.fingerprint()

    weights = [tmp_path / "a.safetensors", elsewhere / "b.safetensors"]
    for path in weights:
        path.write_bytes(b"weights")
    first, second = (recipe.with_values({"model": {"weights": str(path)}}).fingerprint() for path in weights)
    assert first == second
    weights[1].write_bytes(b"others")
    assert recipe.with_values({"model": {"weights": str(weights[1])}}).fingerprint() != first


def test_the_fingerprint_says_where_the_manifest_was_expected(tmp_path):
    recipe = Recipe.build({"name": "n", "data": {"manifest": str(tmp_path / "gone.csv")}})
    with pytest.raises(SalignError, match=r"no such file: .*gone\.csv"):
        recipe.fingerprint()


def test_the_order_of_keys_means_nothing(manifest):
    content = full(manifest)
    turned = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(content.items())
    }
    assert Recipe.build(turned).fingerprint() == Recipe.build(content).fingerprint()


def test_short_keys_and_steps_are_one_list(manifest):
    content = {"name": "n", "data": {"manifest": str(manifest), "blur_outside": [4], "swap_outside": 0.5}}
    short, plain = Recipe.build(content), Recipe.build({**content, "data": {"manifest": str(manifest)}})
    said = [(step.name, step.options) for step in short.all_steps()]
    assert said == [("blur", {"sigmas": (4.0,)}), ("swap", {"probability": 0.5})]
    long = plain.with_values({"steps": [{"name": "swap"}, {"name": "blur", "sigmas": [4]}]})
    assert [step.name for step in long.all_steps()] == ["swap", "blur"]
    assert len({recipe.fingerprint() for recipe in (short, long, plain)}) == 3
    assert plain.with_values({"steps": []}).fingerprint() == plain.fingerprint()
