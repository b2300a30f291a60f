"""A recipe as it is read, completed by presets and overrides, and written."""

from __future__ import annotations

import shutil

import pytest
import yaml
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from salign.config import merge
from salign.errors import SalignError
from salign.train.recipe import ClassifyRecipe, DataRecipe, LossRecipe, MapsRecipe, ModelRecipe, Recipe, TrainRecipe
from salign.train.recipe.presets import PRESETS
from whole_recipe import full, refused


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


def test_loss_options_become_what_they_mean(manifest):
    """YAML reads `1e-1` and quoted numbers as text."""
    recipe = Recipe.build({"name": "n", "data": {"manifest": str(manifest)}, "loss": {"alpha": "1e-1"}})
    assert recipe.loss.options == {"alpha": 0.1}
    same = Recipe.build({"name": "n", "data": {"manifest": str(manifest)}, "loss": {"alpha": 0.1}})
    assert same.fingerprint() == recipe.fingerprint()


def with_loss(manifest, loss):
    return {"name": "n", "data": {"manifest": str(manifest)}, "loss": loss}


def test_a_dose_goes_to_the_loss_and_to_the_added_terms_that_name_it(manifest):
    also = {"hint": {"form": "mse", "dose": 2}, "energy": {"weight": 3}}
    loss = Recipe.build(with_loss(manifest, {"name": "swap", "dose": 0.5, "also": also})).loss.build()
    assert (loss.main.dose.dose, loss.also["hint"].dose.dose, loss.also["energy"].dose) == (0.5, 2, None)


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
