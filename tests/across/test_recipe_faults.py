"""What a recipe cannot be, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from salign.config import merge
from salign.errors import SalignError
from salign.train.recipe import Recipe
from whole_recipe import full, header_alone, refused, write


@pytest.fixture
def manifest(tmp_path):
    return header_alone(tmp_path)


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


def test_an_object_in_the_yaml_is_not_made(tmp_path):
    """A recipe is data: `!!python/object` must never be carried out."""
    path = tmp_path / "r.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'made'}]\n")
    with pytest.raises(SalignError):
        Recipe.read(path)
    assert not (tmp_path / "made").exists()


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


def test_a_cache_that_cannot_be_written_is_told_with_the_recipe(manifest, tmp_path):
    (tmp_path / "taken").write_text("a file")
    path = write(tmp_path, Recipe.build(full(manifest) | {"data": {"manifest": str(manifest)}}))
    with pytest.raises(SalignError, match=r"data\.cache: .*taken cannot be written to: it is not a folder"):
        Recipe.read(path, [f"data.cache={tmp_path / 'taken'}"], files=True)
    assert Recipe.read(path, ["data.cache=pixels"]).data.cache == str(Path("pixels").resolve())


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
