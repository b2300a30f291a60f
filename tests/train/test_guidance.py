"""A loss that looks at human maps is not trained without any in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import small
from salign.errors import SalignError
from salign.experiment.runner import LocalExecutor, run_study
from salign.experiment.store import StudyFolder
from salign.experiment.study import Study
from salign.runs.fit import fit
from salign.train.guidance import check_maps, tell_guidance
from salign.train.prepare import prepare
from salign.train.recipe import Recipe

UNMAPPED = (
    r"^loss cyborg guides by human maps, and none of the 4 training images has one in the column 'saliency' of "
    r".*m\.csv\. Bring maps"
)


@pytest.fixture
def photos(tmp_path):
    """Writes a manifest of four training and two validation images, with the maps that are named."""
    generator = np.random.default_rng(0)

    def made(**maps):
        rows = []
        for k, name in enumerate("abcdef"):
            Image.fromarray(generator.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / f"{name}.png")
            if name in maps:
                Image.new("L", (8, 8), maps[name]).save(tmp_path / f"map_{name}.png")
            map_file = f"map_{name}.png" if name in maps else None
            rows.append((name, f"{name}.png", ("cat", "dog")[k % 2], "train" if k < 4 else "val", map_file))
        table = pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"])
        if not maps:
            table = table.drop(columns="saliency")
        table.to_csv(tmp_path / "m.csv", index=False)
        return tmp_path / "m.csv"

    return made


def recipe_of(manifest, loss="cyborg", **data):
    return Recipe.build(
        small(manifest, data={"classes": None, "test": [], "groups": [], "image_size": 8, **data}, loss={"name": loss})
    )


def said_of(recipe):
    said = []
    data = prepare(recipe.data)
    tell_guidance(data, recipe, said.append)
    return said


@pytest.mark.parametrize("maps", [{}, {"e": 255}])
def test_no_map_to_guide_by_is_refused_before_anything_is_made(photos, tmp_path, maps):
    with pytest.raises(SalignError, match=UNMAPPED):
        fit(recipe_of(photos(**maps)), tmp_path / "runs", progress=False, say=lambda line: None)
    assert not list((tmp_path / "runs").glob("*/*"))


def test_who_asks_for_no_maps_gets_them(photos):
    no_maps = ["  no training image keeps a map (data.annotated: 0): loss cyborg has nothing to guide by"]
    assert said_of(recipe_of(photos(), annotated=0)) == no_maps
    assert said_of(recipe_of(photos(a=255, b=255), annotated=0)) == no_maps


def test_an_earlier_name_of_an_added_term_is_read_with_a_note(photos):
    recipe = recipe_of(photos(a=255, b=255), "swap").with_values({"loss": {"map_weight": 10}})
    note = "  loss.map_weight is an earlier name of loss.also: {hint: {form: mse, weight: 10.0}}, as which it is read"
    assert said_of(recipe) == [note]
    again = recipe.with_values({"loss": {"map_weight": 0, "also": {"hint": {"form": "mse", "weight": 10}}}})
    assert said_of(again) == []


def test_blank_maps_guide_nowhere(photos):
    with pytest.raises(SalignError, match=r"the 2 maps of the training images in .*m\.csv are all blank"):
        said_of(recipe_of(photos(a=0, b=0)))
    assert said_of(recipe_of(photos(a=0, b=0, c=0, d=1))) == []


def test_a_class_that_nobody_marked_is_named(photos):
    assert said_of(recipe_of(photos(b=255, d=255, e=255))) == [
        "  no training image of cat has a map: loss cyborg guides the other classes alone"
    ]
    assert said_of(recipe_of(photos(b=255, c=255))) == []


@pytest.mark.parametrize(
    "step", [{"name": "swap", "paint_over": True}, {"name": "blur"}, {"name": "attack", "region": "outside"}]
)
def test_a_step_that_looks_at_maps_is_not_trained_without_any_in_silence(photos, step):
    recipe = recipe_of(photos(), "ce").with_values({"steps": [step]})
    unmapped = (
        rf"^step {step['name']} guides by human maps, and none of the 4 .* or train without them: without that step"
    )
    with pytest.raises(SalignError, match=unmapped):
        said_of(recipe)
    with pytest.raises(SalignError, match=unmapped):
        check_maps([recipe])
    with pytest.raises(SalignError, match=r"^step .* the 1 maps of .* all blank"):
        said_of(recipe_of(photos(a=0), "ce").with_values({"steps": [step]}))
    assert said_of(recipe_of(photos(a=255, b=255), "ce").with_values({"steps": [step]})) == []
    none = f"  no training image keeps a map (data.annotated: 0): step {step['name']} has nothing to guide by"
    assert said_of(recipe_of(photos(), "ce", annotated=0).with_values({"steps": [step]})) == [none]
    anywhere = {"name": "attack", "region": "all"}
    assert said_of(recipe_of(photos(), "ce").with_values({"steps": [anywhere]})) == []


def test_a_loss_that_looks_at_no_map_needs_none(photos):
    assert said_of(recipe_of(photos(), loss="ce")) == []


def test_reaction_time_without_times_says_what_it_is(photos):
    assert said_of(recipe_of(photos(a=255, b=255), loss="reaction_time")) == [
        "  data.seconds_column names no column with seconds: loss reaction_time is CYBORG here"
    ]


def test_maps_are_looked_for_among_images_with_several_labels(photos):
    for maps in ({}, {"a": 255}):
        manifest = photos(**maps)
        pd.read_csv(manifest).assign(label="fur;tail").to_csv(manifest, index=False)
        recipe = recipe_of(manifest, classes=["fur", "tail"], multi_label=True)
        if maps:
            check_maps([recipe])
        else:
            with pytest.raises(SalignError, match=UNMAPPED):
                check_maps([recipe])


def test_a_recipe_whose_rows_cannot_be_read_is_left_to_its_run(photos):
    unknown, unmapped = recipe_of(photos(), classes=["cat", "cow"]), recipe_of(photos())
    check_maps([unknown])
    with pytest.raises(SalignError, match=UNMAPPED):
        check_maps([unknown, unmapped])


@pytest.mark.parametrize(("annotated", "refused"), [([1], True), ([0], False)])
def test_a_study_looks_for_maps_before_it_trains(photos, tmp_path, annotated, refused):
    content = small(photos(), data={"classes": None, "test": {"test": ["val"]}, "groups": [], "image_size": 8})
    del content["name"], content["loss"]
    grid = {"arms": ["ce", "cyborg"], "seeds": 1, "annotated": annotated}
    study = Study.build({"name": "s", "recipe": content, "target": "test", "grids": [grid]})
    folder = StudyFolder.of(study, tmp_path / "studies")

    class Nothing(LocalExecutor):
        def run(self, tasks):
            return iter(())

    if refused:
        with pytest.raises(SalignError, match=UNMAPPED):
            run_study(study, folder, Nothing(1, 1), progress=False)
        assert not folder.path.exists()
    else:
        assert run_study(study, folder, Nothing(1, 1), progress=False) == []
        assert folder.path.exists()
