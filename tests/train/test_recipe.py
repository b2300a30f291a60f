from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from salign.config import merge
from salign.errors import SalignError
from salign.experiment.study import Study, expand
from salign.train.recipe import ClassifyRecipe, DataRecipe, LossRecipe, MapsRecipe, ModelRecipe, Recipe, TrainRecipe
from salign.train.recipe.presets import PRESETS

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("id,path,label,split,saliency\n")
    path.with_name("targets.csv").write_text("id,x,y\n")
    return path


def full(manifest) -> dict[str, Any]:
    """Every key that a recipe has, with a value other than its default but for four: the task, whose loss this is,
    model.cam, which this loss needs, and data.multi_label and loss.dose, with which others here do not go."""
    return {
        "steps": [],
        "name": "all-keys_1.0",
        "preset": "wacv2023",
        "task": "classify",
        "seed": 3,
        "stages": {},
        "data": {
            "manifest": str(manifest),
            "root": str(manifest.parent),
            "train": ["a", "b"],
            "val": ["c"],
            "test": {"far": ["d", "e"]},
            "classes": ["y", "x"],
            "multi_label": False,
            "positive": "y",
            "task": "pad",
            "image_size": [96, 128],
            "augment": "standard",
            "limit": 50,
            "map_column": "mask",
            "annotated": 0.5,
            "annotated_before_limit": True,
            "annotated_val": 0.25,
            "drawn": {
                "by": str(manifest.parent / "net"),
                "images": "all",
                "label": "y",
                "method": "rise",
                "of": "predicted",
                "masks": 10,
            },
            "maps": "shuffled",
            "blur_outside": [2.0, 4.0],
            "swap_outside": 0.25,
            "seed": 9,
            "sampling": "balanced",
            "subsample": "classes",
            "repeat_errors": {"of": str(manifest.parent / "first"), "times": 50},
            "faults": "leave_out",
            "workers": 3,
            "cache": str(manifest.parent / "pixels"),
            "groups": ["sex"],
            "species": "kind",
            "seconds_column": "took",
            "targets": str(manifest.with_name("targets.csv")),
            "label_noise": 0.25,
        },
        "model": {
            "backbone": "resnet18",
            "weights": None,
            "output_stride": 16,
            "args": {"drop_path_rate": 0.1},
            "cam": "proved",
            "head": "timm",
            "region": {"by": str(manifest.parent / "net"), "keep": "mask"},
        },
        "loss": {
            "name": "cyborg",
            "class_weights": [1.0, 2.5],
            "alpha": 0.3,
            "cam_class": "true_vs_rest",
            "penalty": "l1",
            "ramp_epochs": 4,
            "also": {"energy": {"weight": 2.0}, "distill": {}},
            "teacher": str(manifest.parent / "teacher"),
            "dose": None,
        },
        "train": {
            "epochs": 7,
            "batch_size": 24,
            "accumulate": 2,
            "logger": "csv",
            "optimizer": "adamw",
            "lr": 0.04,
            "momentum": 0.8,
            "weight_decay": 0.01,
            "schedule": "one_cycle",
            "step_epochs": 5,
            "step_factor": 0.5,
            "select": "last",
            "ties": "first",
            "trainable": "head",
            "snapshots": {"even": 3},
            "collapse_patience": 4,
            "device": "cpu",
            "ema": 0.99,
            "devices": 2,
            "nodes": 3,
            "precision": "bfloat16",
            "memory_format": "channels_last",
        },
        "posthoc": {
            "run": str(manifest.parent / "source"),
            "name": "fuse",
            "method": "jumps",
            "count": 3,
            "window": 2,
        },
    }


def refused(content, *messages):
    with pytest.raises(SalignError) as caught:
        Recipe.build(content, "my.yaml")
    for message in messages:
        assert message in str(caught.value)
    return str(caught.value)


def test_the_list_of_keys_here_is_complete(manifest):
    content = full(manifest)
    assert set(content) == set(ClassifyRecipe.model_fields)
    for section, model in (("data", DataRecipe), ("model", ModelRecipe), ("train", TrainRecipe)):
        assert set(content[section]) == set(model.model_fields)
        defaults = {name: field.default for name, field in model.model_fields.items()}
        same = [name for name, value in content[section].items() if value == defaults[name]]
        assert same == {"model": ["cam"], "data": ["multi_label"]}.get(section, [])


def test_yaml_round_trip_keeps_every_value(manifest):
    content = full(manifest)
    recipe = Recipe.build(content)
    assert recipe.model_dump(mode="json") == content
    path = manifest.with_name("recipe.yaml")
    path.write_text(recipe.to_yaml())
    again = Recipe.read(path)
    assert again == recipe
    assert again.loss.options == {"alpha": 0.3, "cam_class": "true_vs_rest", "penalty": "l1", "ramp_epochs": 4}
    assert again.fingerprint() == recipe.fingerprint()


def test_the_task_decides_which_sections_there_are(manifest):
    """Recipes of nets that draw maps did not name it before: what only they have tells them."""
    content = {"name": "n", "data": {"manifest": str(manifest)}}
    for told in (
        {"task": "maps"},
        {"model": {"width": 64}},
        {"model": {"decoder": "unet"}},
        {"loss": {"target": "map"}},
    ):
        recipe = Recipe.build(content | told)
        assert (type(recipe), recipe.task, recipe.train.lr, recipe.loss.name) == (MapsRecipe, "maps", 0.001, "mse")
    assert type(Recipe.build(content)) is type(Recipe.build(content | {"task": "classify"})) is ClassifyRecipe
    named, unnamed = Recipe.build(content | {"task": "maps"}), MapsRecipe.build(content)
    assert named == unnamed
    assert named.fingerprint() == unnamed.fingerprint() != Recipe.build(content).fingerprint()
    refused(content | {"task": "draw"}, "task: Input should be 'classify', 'maps' or 'pretrain', got 'draw'")
    refused(content | {"task": "maps", "loss": {"name": "cyborg"}}, "loss.name: Input should be 'mse', 'bce'")
    refused(content | {"task": "classify", "model": {"decoder": "unet"}}, "model.decoder: unknown key")
    with pytest.raises(SalignError, match="task: Input should be 'maps', got 'classify'"):
        MapsRecipe.build(content | {"task": "classify"})


def test_it_is_frozen(manifest):
    recipe = Recipe.build(full(manifest))
    with pytest.raises(ValidationError):
        recipe.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        recipe.train.lr = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError):
        recipe.loss.name = "ce"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 1}, "sed: unknown key; did you mean 'seed'"),
        ({"data": {"augmentation": "none"}}, "data.augmentation: unknown key; did you mean 'augment'"),
        ({"model": {"back_bone": "x"}}, "model.back_bone: unknown key; did you mean 'backbone'"),
        ({"train": {"batchsize": 3}}, "train.batchsize: unknown key; did you mean 'batch_size'"),
        ({"train": {"zzz": 3}}, "train.zzz: unknown key; there are epochs, batch_size"),
        ({"loss": {"alhpa": 0.5}}, "loss cyborg has no option 'alhpa'; did you mean 'alpha'"),
        ({"loss": {"name": "ce", "alpha": 0.5}}, "loss ce has no option 'alpha'"),
        ({"loss": {"name": "cyborgs"}}, "swap or viser, got 'cyborgs'; did you mean 'cyborg'?"),
        ({"loss": {"alpha": 1.5}}, "alpha: expected a number from 0 to 1, got 1.5"),
        (
            {"loss": {"name": "distill"}},
            "loss: it has a term that needs a teacher; name a finished run: loss.teacher: RUN",
        ),
        (
            {"loss": {"teacher": "runs/x"}},
            "loss: no term of it learns from a teacher; add one, as by also: {distill: {}}",
        ),
        ({"loss": {"also": {"hnit": {}}}}, "got 'hnit'; did you mean 'hint'?"),
        (
            {"loss": {"also": {"hint": {"wieght": 2}}}},
            "also.hint: loss hint has no option 'wieght'; did you mean 'weig",
        ),
        ({"loss": {"also": {"hint": {"weight": "much"}}}}, "also.hint: weight: Input should be a valid number"),
        ({"loss": {"also": {"viser": {}}}}, "loss viser cannot be added to another: its total is not cross-entropy"),
        (
            {"loss": {"name": "swap", "map_weight": 1, "also": {"hint": {}}}},
            "map_weight is an earlier name of also.hint",
        ),
        ({"loss": {"name": "swap", "map_weight": -1}}, "weight: expected a number of 0 or more, got -1"),
        ({"loss": {"name": "hint", "map_weight": 1}}, "loss hint has no option 'map_weight'"),
        ({"loss": {"cam_class": "guessed"}}, "cam_class"),
        ({"loss": {"dose": 0}}, "loss.dose: Input should be greater than 0, got 0"),
        ({"loss": {"dose": 1, "alpha": 0.3}}, "loss: a dose chooses alpha; leave alpha or dose out"),
        ({"loss": {"name": "hint", "dose": 1, "weight": 3}}, "loss: a dose chooses weight; leave weight or dose out"),
        ({"loss": {"also": {"hint": {"dose": 1, "weight": 3}}}}, "also.hint: a dose chooses weight"),
        ({"loss": {"also": {"hint": {"dose": -1}}}}, "also.hint: dose: Input should be greater than 0"),
        ({"loss": {"name": "ce", "dose": 1}}, "loss ce takes no dose: its total is not cross-entropy plus terms"),
        ({"loss": {"name": "rrr", "dose": 1}}, "loss rrr takes no dose"),
        ({"loss": {"name": "cdep", "decomposes": "network", "dose": 1}}, "loss cdep takes no dose"),
        ({"loss": {"name": "hint", "dose": 1}, "train": {"trainable": "head"}}, "which train.trainable: head does not"),
        ({"loss": {"ramp_epochs": "many"}}, "ramp_epochs"),
        ({"train": {"epochs": 0}}, "train.epochs: Input should be greater than or equal to 1, got 0"),
        ({"train": {"momentum": 1}}, "train.momentum"),
        ({"data": {"limit": 1}}, "data.limit"),
        ({"data": {"maps": "mine"}}, "data.maps: unknown 'mine'; there are own, shuffled, shuffled_within"),
        ({"data": {"maps": "shuffled@25"}}, "data.maps: unknown 'shuffled@25'; there are own"),
        ({"data": {"image_size": "big"}}, "data.image_size"),
        ({"name": "a/b"}, "name"),
        ({"name": "../up"}, "name"),
        ({"seed": -1}, "seed"),
        ({"loss": "ce"}, "loss"),
        ({1: 2}, "1: Keys should be strings"),
        ({"preset": "wacv"}, "preset: expected wacv2023 or mentor, got 'wacv'; did you mean 'wacv2023'?"),
    ],
)
def test_a_mistake_is_named_where_it_stands(manifest, change, message):
    assert refused(merge({"name": "n", "data": {"manifest": str(manifest)}}, change), "my.yaml", message)


def test_every_fault_is_told_at_once(manifest):
    content = {
        "data": {"manifest": str(manifest), "splitt": 1},
        "model": {"backbon": "x"},
        "loss": {"alhpa": 0.5, "penality": "l1"},
        "train": {"lr": -1, "select": "loss"},
        "extra": 1,
    }
    message = refused(
        content,
        "name: Field required",
        "data.splitt",
        "did you mean 'backbone'",
        "did you mean 'alpha'",
        "did you mean 'penalty'",
        "train.lr",
        "train.select",
        "extra: unknown key",
    )
    assert len(message.splitlines()) == 1 + 7  # a line per fault, those of the loss together


def test_all_values_of_options_that_the_loss_refuses_are_told_at_once(manifest):
    content = {"name": "n", "data": {"manifest": str(manifest)}, "loss": {"cam_class": "some", "ramp_epochs": "many"}}
    refused(content, "cam_class: Input should be 'true', 'predicted' or 'true_vs_rest'", "ramp_epochs: Input should be")


def test_loss_options_become_what_they_mean(manifest):
    """YAML reads `1e-1` and quoted numbers as text."""
    recipe = Recipe.build({"name": "n", "data": {"manifest": str(manifest)}, "loss": {"alpha": "1e-1"}})
    assert recipe.loss.options == {"alpha": 0.1}
    same = Recipe.build({"name": "n", "data": {"manifest": str(manifest)}, "loss": {"alpha": 0.1}})
    assert same.fingerprint() == recipe.fingerprint()


def test_a_dose_goes_to_the_loss_and_to_the_added_terms_that_name_it(manifest):
    also = {"hint": {"form": "mse", "dose": 2}, "energy": {"weight": 3}}
    loss = Recipe.build(with_loss(manifest, {"name": "swap", "dose": 0.5, "also": also})).loss.build()
    assert (loss.main.dose.dose, loss.also["hint"].dose.dose, loss.also["energy"].dose) == (0.5, 2, None)


def with_loss(manifest, loss):
    return {"name": "n", "data": {"manifest": str(manifest)}, "loss": loss}


def test_wacv2023_is_the_published_setting(manifest):
    """paper.md 1.1-1.4: the values of the public trainer."""
    recipe = Recipe.build({"name": "n", "preset": "wacv2023", "data": {"manifest": str(manifest)}})
    train = recipe.train
    assert (train.optimizer, train.lr, train.momentum, train.weight_decay) == ("sgd", 0.005, 0.9, 1e-6)
    assert (train.schedule, train.step_epochs, train.step_factor) == ("step", 12, 0.1)
    assert (train.epochs, train.batch_size, train.select, train.ties) == (50, 20, "accuracy", "last")
    assert (recipe.data.augment, recipe.data.image_size, recipe.model.weights) == ("none", 224, "imagenet")
    assert (recipe.loss.name, recipe.loss.class_weights) == ("cyborg", "none")
    assert recipe.loss.options == {"alpha": 0.5, "cam_class": "predicted", "penalty": "mse"}
    assert recipe.data.sampling == "natural"


def test_what_the_recipe_says_wins_over_the_preset(manifest):
    content = {"name": "n", "preset": "wacv2023", "data": {"manifest": str(manifest)}}
    recipe = Recipe.build(content | {"train": {"epochs": 3}, "loss": {"alpha": 0.9}})
    assert (recipe.train.epochs, recipe.train.lr) == (3, 0.005)
    assert recipe.loss.options == {"alpha": 0.9, "cam_class": "predicted", "penalty": "mse"}
    assert PRESETS["classify"]["wacv2023"]["train"]["epochs"] == 50


def test_what_a_recipe_leaves_out_is_as_it_was_measured_and_the_published_setting_keeps_its_own(manifest):
    content = {"name": "n", "data": {"manifest": str(manifest)}}
    usual = Recipe.build(content)
    train = usual.train
    assert usual.data.augment == "flip"
    assert (train.optimizer, train.lr, train.momentum, train.weight_decay) == ("sgd", 0.02, 0.9, 1e-4)
    assert (train.schedule, train.epochs, train.batch_size, train.select) == ("cosine", 30, 20, "auroc")
    assert Recipe.build(content | {"preset": "wacv2023"}).train.lr == 0.005


def test_another_loss_drops_the_options_of_the_first_and_keeps_class_weights(manifest):
    recipe = Recipe.build(full(manifest))
    plain = recipe.with_values({"loss": {"name": "ce"}})
    assert plain.loss == LossRecipe(name="ce", class_weights=[1.0, 2.5])
    assert recipe.with_values({"loss": {"name": "cyborg", "alpha": 0.1}}).loss.options["penalty"] == "l1"
    preset = Recipe.build({"name": "n", "preset": "wacv2023", "data": {"manifest": "m"}, "loss": {"name": "ce"}})
    assert preset.loss.options == {}


def test_overrides_win_and_are_read_as_yaml(manifest):
    path = manifest.with_name("r.yaml")
    path.write_text("name: n\ndata: {manifest: manifest.csv}\nloss: {alpha: 0.5, penalty: l1}\n")
    changes = ["train.lr=0.1", "data.test=[a, b]", "model.weights=null", "loss.alpha=0.25", "name=other", "seed=4"]
    recipe = Recipe.read(path, [*changes, "seed=5"])
    assert (recipe.train.lr, recipe.data.test, recipe.model.weights) == (0.1, ["a", "b"], None)
    assert (recipe.loss.options, recipe.name, recipe.seed) == ({"alpha": 0.25, "penalty": "l1"}, "other", 5)
    assert Recipe.read(path, ["loss.name=ce"]).loss.options == {}
    assert Recipe.read(path, ["model.args.drop_path_rate=0.2"]).model.args == {"drop_path_rate": 0.2}
    for wrong in ("train.lr", "=3", "train.lr 3"):
        with pytest.raises(SalignError, match=r"--set expects section.key=value"):
            Recipe.read(path, [wrong])
    with pytest.raises(SalignError, match="--set"):
        Recipe.read(path, ["data.classes=[a"])
    with pytest.raises(SalignError, match=r"train\.rl: unknown key"):
        Recipe.read(path, ["train.rl=0.1"])


def test_the_manifest_is_looked_for_beside_the_recipe_then_here(manifest, tmp_path, monkeypatch):
    recipes, here = tmp_path / "recipes", tmp_path / "here"
    for folder in (recipes, here):
        folder.mkdir()
    path = recipes / "r.yaml"
    path.write_text("name: n\ndata: {manifest: m.csv}\n")
    monkeypatch.chdir(here)
    shutil.copy(manifest, here / "m.csv")
    assert Recipe.read(path).data.manifest == str(here / "m.csv")
    shutil.copy(manifest, recipes / "m.csv")
    assert Recipe.read(path).data.manifest == str(recipes / "m.csv")
    assert Recipe.read(path, ["data.root=."]).data.root == str(here)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "expected a YAML recipe"),
        ("- 1\n- 2\n", "expected a mapping with name and data, got list"),
        ("", "got NoneType"),
        ("\x00", "expected a YAML recipe"),
        ("name: n\nseed: 010\ndata: {manifest: m.csv}", "r.yaml line 2: 010 may mean two things"),
        ("name: n\ndata: {manifest: m.csv, seed: 1, seed: 2}", "r.yaml line 2: the key 'seed' occurs twice"),
        ("a: &a [x, x, x]\n" + "".join(f"b{k}: &a [*a, *a, *a]\n" for k in range(20)), "each alias counted"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(SalignError, match=message):
        Recipe.read(path)
    with pytest.raises(SalignError, match=r"gone\.yaml"):
        Recipe.read(tmp_path / "gone.yaml")


def test_yes_and_no_are_what_the_key_asks_for(tmp_path):
    """YAML 1.1 makes booleans of them wherever they stand, also where a class is called so."""
    path = tmp_path / "r.yaml"
    path.write_text("name: n\ndata: {manifest: m.csv, classes: [no, yes], multi_label: yes}\n")
    data = Recipe.read(path, ["data.train=[on, off]"]).data
    assert (data.classes, data.multi_label, data.train) == (["no", "yes"], True, ["on", "off"])
    with pytest.raises(SalignError, match=r"model\.args: pretrained_strict is 'no'; write true or false there"):
        Recipe.read(path, ["model.args={pretrained_strict: no}"])
    with pytest.raises(SalignError, match=r"classes\.0: expected text, got true; if it is a name, quote it: 'true'"):
        Recipe.read(path, ["data.classes=[true, false]"])
    with pytest.raises(SalignError, match=r"classes\.1: expected text, got 1; if it is a name, quote it: '1'"):
        Recipe.read(path, ["data.classes=[a, 1]"])


def test_an_object_in_the_yaml_is_not_made(tmp_path):
    """A recipe is data: `!!python/object` must never be carried out."""
    path = tmp_path / "r.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'made'}]\n")
    with pytest.raises(SalignError):
        Recipe.read(path)
    assert not (tmp_path / "made").exists()


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
    for train in ({}, {"epochs": 3, "lr": 0.1}):
        assert Recipe.build({**by_hand, "train": train}).model.head == "small"
    assert Recipe.read(_written(tmp_path, Recipe.build(by_hand))).model.head == "small"


def _written(folder, recipe):
    path = folder / "again.yaml"
    path.write_text(recipe.to_yaml())
    return path


FINGERPRINTS = {
    "busi_100": "531b77f8", "busi_maps": "ad94cee7", "busi_mentor": "77392fb6", "busi_mentor_imagenet": "8ae671ee",
    "cxr_fewshot": "b3ccccda", "cxr_maps": "93750e3f", "digits_maps": "84217368", "digits_teacher": "029b84ec",
    "osie_maps": "fb9e1a92", "studies/arena": "e4fb4efa", "studies/arena_busi": "e6ceeafa",
    "studies/arena_cxr_view": "1a83ee46", "studies/arena_magnetic": "3da90414", "studies/arena_maps": "d8dac656",
    "studies/arena_real_tuning": "73599ec8", "studies/arena_tuning": "038577c7", "studies/busi": "f29c8b3b",
    "studies/busi_machine": "7260dd0b", "studies/busi_mentor": "ea05723d", "studies/busi_mentor_imagenet": "5e786ee6",
    "studies/cxr_machine": "ed324dbe", "studies/cxr_source": "1698d2d9", "studies/cxr_view": "54c01dcb",
    "studies/digits": "ed7e7078", "studies/digits_machine": "aa67d4dc", "studies/digits_machine_swap": "15838d45",
    "studies/magnetic": "8d43eb56", "studies/digits_noise": "a3a605eb", "studies/digits_tailed": "0acf7992",
    "studies/busi_three": "cbe4e84b", "digits_attack": "510f2560", "studies/binary": "dc0c7264",
    "studies/complexity": "e384ee62", "studies/rivals_busi": "13001909", "studies/rivals_digits": "12fc562d",
    "studies/small": "a01cf878", "studies/digits_inherit": "89bbc28d", "studies/busi_inherit": "da1808f4",
    "studies/digits_head": "4e36286c", "studies/busi_head": "12b5bbcb",
    "stanford40_maps": "d720714e", "studies/bar": "5f383fd2",
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


def test_a_loss_that_needs_a_map_is_refused_where_there_is_none(manifest):
    content = {"name": "vit", "data": {"manifest": str(manifest)}, "model": {"backbone": "test_vit", "cam": "none"}}
    for loss, known in (("cyborg", "ce, "), ("gain", "swap"), ("evidence", "sage")):
        refused({**content, "loss": {"name": loss}}, f"loss {loss} needs a map", "global_pool: avg", known)
    refused({**content, "loss": {"name": "swap", "evidence_weight": 1.0}}, "loss swap needs a map of evidence")
    for loss in ("ce", "swap", "sage"):
        accepted = Recipe.build({**content, "loss": {"name": loss}})
        assert accepted.fingerprint() != accepted.with_values({"model": {"cam": "proved"}}).fingerprint()


def test_what_goes_by_the_one_class_of_an_image_is_refused_with_several_labels(manifest):
    content = {"name": "tags", "data": {"manifest": str(manifest), "multi_label": True}}
    wrong = {"positive": "x", "species": "kind", "sampling": "balanced", "maps": "shuffled_within"}
    said = refused({**content, "data": content["data"] | wrong}, "multi_label does not go with", "leave that out")
    assert all(word in said for word in ("positive", "species", "sampling: balanced", "maps: shuffled_within"))
    assert "shuffled_across" in refused({**content, "data": content["data"] | {"maps": "shuffled_across"}})
    assert "subsample: classes" in refused({**content, "data": content["data"] | {"subsample": "classes"}})
    fair = {"limit": 5, "annotated": 0.5, "maps": "shuffled@0.5", "swap_outside": 0.5}
    accepted = Recipe.build({**content, "data": content["data"] | fair})
    assert accepted.fingerprint() != accepted.with_values({"data": {"multi_label": False}}).fingerprint()


def test_what_balances_groups_is_refused_where_no_column_makes_any(manifest):
    content, said = {"name": "n", "data": {"manifest": str(manifest)}}, "balances groups, and there are none"
    for changes in (
        {"data": {"sampling": "groups"}},
        {"data": {"subsample": "groups"}},
        {"loss": {"name": "group_dro"}},
    ):
        changed = {**content, **changes, "data": content["data"] | changes.get("data", {})}
        refused(changed, said, "data.groups: [COLUMN]")
        assert Recipe.build({**changed, "data": changed["data"] | {"groups": ["camera"]}}).data.groups == ["camera"]


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


def test_a_cache_that_cannot_be_written_is_told_with_the_recipe(manifest, tmp_path):
    (tmp_path / "taken").write_text("a file")
    path = _written(tmp_path, Recipe.build(full(manifest) | {"data": {"manifest": str(manifest)}}))
    with pytest.raises(SalignError, match=r"data\.cache: .*taken cannot be written to: it is not a folder"):
        Recipe.read(path, [f"data.cache={tmp_path / 'taken'}"], files=True)
    assert Recipe.read(path, ["data.cache=pixels"]).data.cache == str(Path("pixels").resolve())


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


values = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda below: st.dictionaries(st.sampled_from("abcd"), below, min_size=1, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@given(mappings, mappings)
@settings(max_examples=60, deadline=None)
def test_merging_keeps_both_and_lets_the_second_win(base, over):
    before = yaml.safe_dump([base, over])
    joined = merge(base, over)
    assert yaml.safe_dump([base, over]) == before
    for path, value in leaves(over):
        assert reach(joined, path) == value
    for path, value in leaves(base):
        if not any(path[: len(other)] == other or other[: len(path)] == path for other, _ in leaves(over)):
            assert reach(joined, path) == value
    assert merge(joined, over) == joined


def leaves(content, path=()):
    for key, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def reach(content, path):
    for key in path:
        content = content[key]
    return content


def test_short_keys_and_steps_are_one_list(manifest):
    content = {"name": "n", "data": {"manifest": str(manifest), "blur_outside": [4], "swap_outside": 0.5}}
    short, plain = Recipe.build(content), Recipe.build({**content, "data": {"manifest": str(manifest)}})
    said = [(step.name, step.options) for step in short.all_steps()]
    assert said == [("blur", {"sigmas": (4.0,)}), ("swap", {"probability": 0.5})]
    long = plain.with_values({"steps": [{"name": "swap"}, {"name": "blur", "sigmas": [4]}]})
    assert [step.name for step in long.all_steps()] == ["swap", "blur"]
    assert len({recipe.fingerprint() for recipe in (short, long, plain)}) == 3
    assert plain.with_values({"steps": []}).fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"snapshots": {}}}, "expected one of even, log and steps with a number"),
        ({"train": {"snapshots": {"even": 2, "log": 2}}}, "expected one of even, log and steps with a number"),
        ({"train": {"snapshots": [0, 30], "epochs": 30}}, r"the last of 30 is 29; got \[30\]"),
        ({"steps": [{"name": "swap"}, {"name": "swap"}]}, "the step swap stands twice in steps"),
        ({"data": {"test": ["val"]}}, r"data\.test: 'val' cannot name a test set.*test: {far: \[val\]}"),
        ({"data": {"test": {"val": ["test"]}}}, "'val' cannot name a test set"),
        ({"data": {"test": {"a/b": ["test"]}}}, "'a/b' cannot name a test set"),
        ({"data": {"test": {".a": ["test"]}}}, "'.a' cannot name a test set"),
    ],
)
def test_what_steps_snapshots_and_test_sets_cannot_be_is_told(tmp_path, changes, message):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("id,path,label,split,saliency\n")
    with pytest.raises(SalignError, match=message):
        Recipe.build({"name": "x", **changes, "data": {"manifest": str(manifest), **changes.get("data", {})}})


def test_a_fused_run_is_a_finished_run_to_a_recipe_file(manifest):
    teacher = manifest.parent / "fused"
    teacher.mkdir()
    content = {"name": "a", "data": {"manifest": str(manifest)}, "loss": {"name": "distill", "teacher": str(teacher)}}
    with pytest.raises(SalignError, match="no folder of a finished run"):
        Recipe.build(content, files=True)
    (teacher / "ensemble.json").write_text("{}")
    assert Recipe.build(content, files=True).loss.teacher == str(teacher)
