"""Stages of a recipe: what each takes from the recipe around it, what refers to it, and what it is found by."""

from __future__ import annotations

import pytest

from command import small, written
from salign.errors import SalignError
from salign.train.recipe import MapsRecipe, Recipe, named_runs, resolved, stages_of

NET = {"task": "maps", "model": {"weights": None, "width": 16}, "train": {"epochs": 3}}


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("id,path,label,split,saliency\n")
    return path


def staged(manifest, **changes):
    return small(manifest, **({"stages": {"net": NET}, "model": {"weights": "stage:net"}} | changes))


def refused(content, message):
    with pytest.raises(SalignError, match=message):
        Recipe.build(content, "my.yaml")


def test_a_stage_takes_the_images_the_seed_the_backbone_and_the_device_and_nothing_else(manifest):
    around = {"limit": 50, "annotated": 0.5, "maps": "shuffled", "augment": "none", "drawn": {"by": "stage:net"}}
    net, last = stages_of(Recipe.build(staged(manifest, seed=7, data=around | {"seed": 9}))).values()
    assert isinstance(net, MapsRecipe)
    assert (net.name, net.seed, net.data.seed, net.stages) == ("net", 7, 9, {})
    assert (net.data.manifest, net.data.classes, net.data.image_size) == (str(manifest), ["1", "7"], 64)
    assert (net.data.augment, net.data.test) == ("none", [])
    assert (net.data.limit, net.data.annotated, net.data.maps, net.data.drawn) == (None, None, "own", None)
    assert (net.model.backbone, net.model.weights, net.model.width) == ("test_resnet", None, 16)
    assert (net.train.device, net.train.epochs, net.train.lr) == ("cpu", 3, 0.001)
    assert (last.task, last.data.limit, last.model.weights) == ("classify", 50, "stage:net")


def test_a_preset_wins_over_what_is_taken_and_the_stage_over_both(manifest):
    plain = small(manifest, preset="mentor", model={})
    maps, last = stages_of(Recipe.build({**plain, "model": {"backbone": "test_resnet"}})).values()
    assert (maps.data.image_size, maps.data.augment, maps.model.decoder) == (256, "none", "unet++")
    assert (maps.train.epochs, maps.model.backbone, last.model.weights) == (11, "test_resnet", "stage:maps")
    stages = {"maps": {"data": {"image_size": 96}, "train": {"epochs": 2}}}
    maps, _ = stages_of(Recipe.build({**plain, "stages": stages, "model": {"backbone": "test_resnet"}})).values()
    assert (maps.data.image_size, maps.train.epochs, maps.train.batch_size) == (96, 2, 4)


def test_what_nothing_refers_to_is_no_stage_and_counts_for_nothing(manifest):
    plain = Recipe.build(small(manifest))
    idle = Recipe.build(small(manifest, stages={"net": NET, "more": {"model": {"weights": "stage:net"}}}))
    assert list(stages_of(idle)) == [""]
    assert idle.fingerprint() == plain.fingerprint()
    chained = {"net": NET, "more": {"model": {"weights": "stage:net"}}, "idle": {}}
    assert list(stages_of(Recipe.build(staged(manifest, stages=chained)))) == ["net", ""]
    used = Recipe.build(staged(manifest, stages=chained, model={"weights": "stage:more"}))
    assert list(stages_of(used)) == ["net", "more", ""]


def test_a_reference_counts_by_what_the_stage_is_and_not_by_the_recipe_around_it(manifest):
    first = resolved(Recipe.build(staged(manifest)))
    other = resolved(Recipe.build(staged(manifest, name="other", loss={"name": "ce"}, data={"limit": 50})))
    assert first["net"].fingerprint() == other["net"].fingerprint()
    assert first[""].model.weights == f"stage:{first['net'].fingerprint()}"
    longer = Recipe.build(staged(manifest, stages={"net": NET | {"train": {"epochs": 4}}}))
    prints = [Recipe.build(staged(manifest)).fingerprint(), longer.fingerprint()]
    assert prints[0] == first[""].fingerprint() != prints[1]
    alone = Recipe.build({"name": "net", **NET, "data": first["net"].data.model_dump(), "model": {
        "backbone": "test_resnet", "weights": None, "width": 16}, "train": {"epochs": 3, "device": "cpu"}})  # fmt: skip
    assert alone.fingerprint() == first["net"].fingerprint()


def test_a_run_counts_by_its_weights_wherever_it_lies(manifest, tmp_path):
    prints = set()
    for place, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        folder = tmp_path / place
        folder.mkdir()
        for name, text in (("recipe.yaml", b""), ("model.json", b"{}"), ("weights.safetensors", content)):
            (folder / name).write_bytes(text)
        recipe = Recipe.build(small(manifest, data={"drawn": {"by": str(folder)}}))
        assert named_runs(recipe) == [folder]
        prints.add((content, recipe.fingerprint()))
    assert len(prints) == 2
    assert named_runs(Recipe.build(small(manifest))) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": {}}, r"my\.yaml: model\.weights: no stage 'net' comes before"),
        ({"model": {"weights": "stage:nett"}}, r"model\.weights: no stage 'nett' comes before; did you mean 'net'"),
        (
            {"stages": {"a": {"model": {"weights": "stage:net"}}, "net": NET}},
            r"stages\.a\.model\.weights: no stage 'net' comes before",
        ),
        ({"stages": {"net": {"epochs": 3}}}, r"my\.yaml: stages\.net: 1 fault\(s\)\n  epochs: unknown key"),
        ({"stages": {"net": NET | {"stages": {}}}}, r"stages\.net: a stage has no stages"),
        ({"stages": {"net": {**NET, "model": {"backbone": "test_vit"}}}}, "trains test_vit, and this is for"),
        (
            {
                "stages": {"net": NET, "image": {**NET, "loss": {"target": "image"}}},
                "data": {"drawn": {"by": ["stage:net", "stage:image"]}},
            },
            r"data\.drawn\.by: stage 'image' gives back images",
        ),
        (
            {"stages": {"net": NET, "image": {**NET, "loss": {"target": "image"}}},
             "model": {"region": {"by": "stage:image"}}},
            r"model\.region\.by: stage 'image' gives back images",
        ),
        (
            {"stages": {"net": NET, "teacher": {"loss": {"name": "ce"}}}, "model": {"region": {"by": "stage:teacher"}}},
            r"model\.region\.by: stage 'teacher' is a classifier; a region is drawn by a net \(task: maps\)",
        ),
        (
            {"stages": {"net": NET, "seen": {"model": {"region": {"by": "stage:net"}}, "loss": {"name": "ce"}}},
             "posthoc": {"name": "rebalance", "run": "stage:seen"}},
            r"posthoc\.run: stage 'seen' sees regions alone \(model\.region\)",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_its_stage(manifest, changes, message):
    refused(staged(manifest, **changes), message)


def test_a_region_counts_by_the_net_that_draws_it_and_a_recipe_without_one_as_before(manifest):
    crops = {"model": {"weights": None, "region": {"by": "stage:net"}}}
    prints = [Recipe.build(staged(manifest, **crops)).fingerprint()]
    prints.append(Recipe.build(staged(manifest, stages={"net": NET | {"train": {"epochs": 4}}}, **crops)).fingerprint())
    plain = Recipe.build(small(manifest, model={"weights": None}))
    prints += [Recipe.build(small(manifest, model={"weights": None, "region": None})).fingerprint()]
    assert len(set(prints)) == 3
    assert prints[2] == plain.fingerprint()
    assert list(stages_of(Recipe.build(staged(manifest, **crops)))) == ["net", ""]


def test_only_where_a_run_may_stand_does_the_word_stage_refer_to_one(manifest):
    tumours = ["stage: II", "stage: III"]
    recipe = Recipe.build(small(manifest, data={"classes": tumours, "positive": "stage: III"}))
    assert (recipe.data.classes, recipe.data.positive, list(stages_of(recipe))) == (tumours, "stage: III", [""])


def test_only_keys_that_name_files_get_their_paths(manifest, tmp_path):
    content = small(manifest, data={"test": {"root": ["far"], "targets": ["near"]}})
    path = written(tmp_path / "recipe.yaml", content)
    assert Recipe.read(path).data.test == {"root": ["far"], "targets": ["near"]}


def test_a_stage_of_another_backbone_has_none_of_the_keywords_of_this_one(manifest):
    args = {"zero_init_last": False}
    stages = {"near": NET, "far": {"model": {"backbone": "test_efficientnet", "weights": None}}}
    model = {"args": args, "weights": "stage:near"}
    loss = {"name": "distill", "teacher": "stage:far"}
    near, far, last = stages_of(Recipe.build(small(manifest, stages=stages, model=model, loss=loss))).values()
    assert (near.model.args, far.model.args, last.model.args) == (args, {}, args)


def test_a_stage_may_be_made_of_a_finished_one(manifest):
    long = {"loss": {"name": "ce"}, "model": {"weights": None}, "train": {"snapshots": {"even": 2}}}
    fused = {"posthoc": {"name": "fuse", "run": "stage:long"}}
    loss = {"name": "distill", "teacher": "stage:fused"}
    recipe = Recipe.build(small(manifest, stages={"long": long, "fused": fused}, loss=loss))
    chain = resolved(recipe)
    assert list(chain) == ["long", "fused", ""]
    assert chain["fused"].posthoc.run == f"stage:{chain['long'].fingerprint()}"
    assert chain[""].loss.teacher == f"stage:{chain['fused'].fingerprint()}"
    other = small(manifest, stages={"long": long, "fused": {"posthoc": {**fused["posthoc"], "window": 0}}}, loss=loss)
    assert Recipe.build(other).fingerprint() != recipe.fingerprint()
    last = small(manifest, stages={"long": long}, posthoc={"name": "rebalance", "run": "stage:long"})
    assert list(resolved(Recipe.build(last))) == ["long", ""]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {"name": "fuse"}, "keeps no weights of single epochs"),
        ({"train": {"snapshots": {"steps": 3}}}, {"name": "fuse"}, "keeps no weights of single epochs"),
        ({"posthoc": {"name": "fuse", "run": "stage:zero"}}, {"name": "fuse"}, "is made by posthoc itself"),
        ({"posthoc": {"name": "fuse", "run": "stage:zero"}}, {"name": "rebalance"}, "each of its members has a head"),
        ({"data": {"multi_label": True}}, {"name": "rebalance"}, "so that no class is the rare one"),
        (NET, {"name": "rebalance"}, "posthoc makes a classifier of a classifier"),
        ({}, {"name": "rebalance", "method": "adasyn"}, "'eos', 'smote', 'repeat' or 'plain'"),
        ({}, {"name": "average"}, "'fuse', 'rebalance', 'dfr'"),
    ],
)
def test_what_a_stage_cannot_be_made_of_is_told(manifest, first, second, said):
    zero = {"train": {"snapshots": {"even": 2}}}
    stages = {"zero": zero, "first": first}
    refused(small(manifest, stages=stages, posthoc={"run": "stage:first", **second}), said)
