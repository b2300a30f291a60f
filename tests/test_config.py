"""What a user means by a setting is done or told: `none`, a file for another command, numbers that no run can take."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml

from command import salign, small, written
from salign.annotate.study import Study as AnnotationStudy
from salign.errors import SalignError
from salign.experiment.study import Study, expand
from salign.train.recipe import MapsRecipe, Recipe

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("id,path,label,split,saliency\n")
    return path


@pytest.fixture
def files(manifest, tmp_path):
    """One file of each kind, by what it is."""
    recipe = small(manifest)
    shared = {key: values for key, values in recipe.items() if key != "name"}
    return {
        "recipe": written(tmp_path / "recipe.yaml", recipe),
        "study": written(tmp_path / "study.yaml", {"name": "s", "recipe": shared, "grids": [{"arms": ["ce"]}]}),
        "annotation study": written(tmp_path / "annotate.yaml", {"question": "Which?", "classes": ["a", "b"]}),
    }


def complaint(read, *arguments, **options):
    with pytest.raises(SalignError) as caught:
        read(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("word", ["none", "None", "null", "~", ""])
@pytest.mark.parametrize("read", [Recipe.read, MapsRecipe.read])
def test_no_weights_are_none_however_they_are_written(read, word, files):
    plain = yaml.safe_load(files["recipe"].read_text())
    plain = {"name": "n", "data": plain["data"], "model": {"backbone": "test_resnet", "weights": None}}
    path = written(files["recipe"], plain)
    found = read(path, [f"model.weights={word}"])
    assert found.model.weights is None
    assert found.fingerprint() == read(path).fingerprint()


def test_a_file_called_none_can_still_be_meant(files):
    assert Recipe.read(files["recipe"], ["model.weights=./none"]).model.weights == "./none"


@pytest.mark.parametrize("key", ["data.limit", "data.annotated", "data.classes", "model.output_stride"])
def test_none_is_null_where_no_text_can_stand(key, files):
    section, name = key.split(".")
    given = {"data.limit": "30", "data.annotated": "0.5", "data.classes": "[a, b]", "model.output_stride": "16"}[key]
    assert getattr(getattr(Recipe.read(files["recipe"], [f"{key}={given}"]), section), name) is not None
    assert getattr(getattr(Recipe.read(files["recipe"], [f"{key}=none"]), section), name) is None


def test_none_is_a_name_where_a_name_can_stand(files):
    """A class, a column or a test set may be called so."""
    recipe = Recipe.read(files["recipe"], ["data.positive=none", "data.augment=none", "loss.class_weights=none"])
    assert (recipe.data.positive, recipe.data.augment, recipe.loss.class_weights) == ("none", "none", "none")
    study = Study.read(files["study"], ["reference=none", "analysis.sets=none"])
    assert (study.reference, study.analysis.sets) == ("none", None)
    assert AnnotationStudy.build({"classes": ["none", "a"], "target": "none", "enough": "none"}).target == "none"
    assert AnnotationStudy.build({"enough": "none"}).enough is None


def test_a_key_that_people_expect_is_answered_with_what_does_it(files):
    said = complaint(Recipe.read, files["recipe"], ["data.saliency=none"])
    assert said.splitlines()[1] == (
        "  data.saliency: unknown key; `map_column` names the column with the maps, `annotated: 0` trains without any, "
        "and a loss that needs none is loss.name: ce"
    )
    study = Study.read(files["study"], ["recipe.data.saliency=none"])
    assert "data.saliency: unknown key; `map_column` names" in complaint(expand, study)


COMMANDS = {
    "recipe": ["train", "saliency train", "pretrain"],
    "study": ["experiment", "report"],
    "annotation study": ["annotate . --config"],
}
MEANT = {
    "recipe": "salign train {path}",
    "study": "salign experiment {path}",
    "annotation study": "salign annotate FOLDER --config {path}",
}


@pytest.mark.parametrize("given", MEANT)
@pytest.mark.parametrize(("wanted", "command"), [(kind, one) for kind, all_ in COMMANDS.items() for one in all_])
def test_a_file_for_another_command_is_recognised(given, wanted, command, files, tmp_path, monkeypatch):
    if given == wanted:
        return
    monkeypatch.chdir(tmp_path)
    said = salign(*command.split(), files[given], code=2).err
    assert said.startswith(f"error: {files[given]}: expected a")
    assert f" {wanted} with " in said
    assert f" {given}, as it has " in said
    assert said.endswith(f"It is for: {MEANT[given].format(path=files[given])}\n")
    assert len(said.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "annotate.yaml",
        "manifest.csv",
        "recipe.yaml",
        "study.yaml",
    ]


def test_every_file_of_this_repository_is_taken_for_what_it_is():
    """None of those that were written before is taken for another kind."""
    found = [path for path in (REPOSITORY / "recipes").rglob("*.yaml") if "name" in yaml.safe_load(path.read_text())]
    assert len(found) > 10
    for path in found:
        other = AnnotationStudy.read
        expected = "study" if "grids" in yaml.safe_load(path.read_text()) else "recipe"
        assert f"got a {expected}, as it has " in complaint(other, path)


@pytest.mark.parametrize(
    "key",
    [
        "train.lr",
        "train.weight_decay",
        "train.momentum",
        "train.step_factor",
        "data.annotated",
        "data.swap_outside",
        "data.blur_outside",
        "loss.alpha",
        "loss.class_weights",
    ],
)
@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_what_is_not_finite_is_refused(key, value, files):
    given = f"[{value}]" if key in ("data.blur_outside", "loss.class_weights") else value
    said = complaint(Recipe.read, files["recipe"], [f"{key}={given}"])
    assert key.split(".")[1] in said
    assert "should be" in said
    assert f"got {float(value.replace('.', '')):}" in said


def test_so_it_is_in_studies_of_both_kinds(files):
    assert "grids.0.annotated.0: Input should be a finite number, got nan" in complaint(
        Study.read, files["study"], ["grids=[{arms: [ce], annotated: [.nan]}]"]
    )
    for key in ("lease_minutes", "gold_share"):
        assert f"{key}: Input should be a finite number" in complaint(AnnotationStudy.build, {key: math.inf})
    assert "export.sigma: Input should be a finite number, got inf" in complaint(
        AnnotationStudy.build, {"export": {"sigma": math.inf}}
    )


@pytest.mark.parametrize(
    ("key", "most", "told"),
    [
        ("data.image_size", 4096, "expected sides of 1 to 10,000 pixels, 16,777,216 in all at most; got {}"),
        ("data.image_size", [10_000, 1677], "expected sides of 1 to 10,000 pixels, 16,777,216 in all at most; got ({}"),
        ("data.workers", 1024, "expected auto, or 0 to 1,024 processes; got {}"),
        ("data.seed", 2**63 - 1, "Input should be less than or equal to 9223372036854775807, got {}"),
        ("seed", 2**63 - 1, "Input should be less than or equal to 9223372036854775807, got {}"),
        ("train.batch_size", 100_000, "Input should be less than or equal to 100000, got {}"),
    ],
)
def test_numbers_that_no_machine_can_take_are_refused(key, most, told, files):
    assert Recipe.read(files["recipe"], [f"{key}={json.dumps(most)}"])
    over = [most[0] + 1, most[1]] if isinstance(most, list) else most + 1
    shown = over[0] if isinstance(over, list) else over
    assert f"{key}: {told.format(shown)}" in complaint(Recipe.read, files["recipe"], [f"{key}={json.dumps(over)}"])
    if key != "train.batch_size":
        least = [-1, -1] if isinstance(most, list) else -1
        assert f"{key}: " in complaint(Recipe.read, files["recipe"], [f"{key}={json.dumps(least)}"])


def test_more_seeds_than_anybody_trains_are_refused_before_they_are_counted(files):
    said = complaint(Study.read, files["study"], ["grids=[{arms: [ce], seeds: 1000000000}]"])
    assert "grids.0.seeds: expected at most 10,000 seeds, or a list of them; got 1000000000" in said


@pytest.mark.parametrize(
    "call",
    [
        "evaluate RUN --seed {}",
        "explain RUN --seed {}",
        "analyse RUN --seed {}",
        "data plant M OUT -c a=1 --seed {}",
        "data decoy OUT --seed {}",
    ],
)
def test_seeds_of_commands_are_bounded_too(call):
    for seed in (-1, 2**63):
        said = salign(*call.format(seed).split(), code=2).err
        assert "Invalid value" in said
        assert "--seed" in said


@pytest.mark.parametrize(
    "call",
    [
        "predict RUN IMAGES --batch-size 100001",
        "predict RUN IMAGES --workers 1025",
        "saliency predict RUN IMAGES --batch-size 100001",
        "autoannotate MANIFEST RUN --batch-size 100001",
        "benchmark --image-size 10001",
        "benchmark --batch-size 100001",
        "experiment STUDY --workers 1025",
        "experiment STUDY --threads 1025",
    ],
)
def test_sizes_of_commands_are_bounded_too(call):
    said = salign(*call.split(), code=2).err
    assert "Invalid value" in said
    assert call.split()[-2] in said
