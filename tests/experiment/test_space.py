"""What a search leaves open, and the recipe of one choice."""

from __future__ import annotations

from typing import Any

import pytest

from salign.errors import SalignError
from salign.experiment.space import Axis, check_arms, chosen_values, default_space, parse_space
from salign.train.recipe import ClassifyRecipe


@pytest.fixture
def recipe(tmp_path) -> ClassifyRecipe:
    (tmp_path / "m.csv").write_text("id,path,label,split,saliency\n")
    loss = {"name": "swap", "weight": 2, "class_weights": "balanced"}
    content = {"name": "mine", "data": {"manifest": str(tmp_path / "m.csv")}, "loss": loss, "train": {"lr": 0.06}}
    return ClassifyRecipe.build(content)


def chosen(recipe: ClassifyRecipe, texts: list[str], **values: Any) -> tuple[dict[str, Any], list[str]]:
    """The values of a trial that takes `values`, underscores for dots, and the keys that it was asked for, in order."""
    asked = []
    given = {key.replace("__", "."): value for key, value in values.items()}

    def choose(key: str, axis: Axis) -> Any:
        asked.append(key)
        return given[key]

    return chosen_values(recipe.model_dump(mode="json"), parse_space(texts), choose), asked


def test_ranges_and_lists_are_read() -> None:
    space = parse_space(
        ["train.lr=0.01..0.1:log", "train.epochs=10..30", "loss.dose=.5..2", "train.batch_size=8,16", "arm=ce,swap@10",
         "model.weights=null,imagenet", "data.seed=1e1..2e1"]
    )  # fmt: skip
    assert space == {
        "train.lr": Axis(low=0.01, high=0.1, log=True),
        "train.epochs": Axis(low=10, high=30, whole=True),
        "loss.dose": Axis(low=0.5, high=2),
        "train.batch_size": Axis((8, 16)),
        "arm": Axis(("ce", "swap@10")),
        "model.weights": Axis((None, "imagenet")),
        "data.seed": Axis(low=10, high=20),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.lr", "there is no KEY=VALUES in it"),
        ("=1..2", "there is no KEY=VALUES in it"),
        ("train.lr=2..1", "the first number must be the smaller one"),
        ("train.lr=0..1:log", "the first number must be the smaller one, and above 0 on a log scale"),
        ("train.lr=a..1", "expected two numbers around the dots, got 'a' and '1'"),
        ("train.lr=1..inf", "the first number must be the smaller one"),
        ("train.lr=1..2:lin", "the only scale is log, got 'lin'"),
        ("train.lr=1,1", "a value stands in it twice"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_form(text: str, message: str) -> None:
    with pytest.raises(SalignError) as caught:
        parse_space(["train.epochs=1..3", text])
    assert f"--search {text}: {message}" in str(caught.value)
    assert "Write KEY=LOW..HIGH" in str(caught.value)


def test_all_faults_are_told_at_once_and_a_key_is_open_once() -> None:
    with pytest.raises(SalignError) as caught:
        parse_space(["a=1..2", "a=1..3", "b"])
    assert "--search a=1..3: a is open twice" in str(caught.value)
    assert "--search b: there is no" in str(caught.value)


def test_a_search_begins_with_what_the_recipe_has() -> None:
    assert Axis(low=0.01, high=1, log=True).start(0.3) == 0.3
    assert Axis(low=0.01, high=1, log=True).start(3) == pytest.approx(0.1)
    assert Axis(low=0, high=1).start(None) == 0.5
    assert Axis(low=1, high=8, log=True, whole=True).start(None) == 3
    assert (Axis(("a", "b")).start("b"), Axis(("a", "b")).start("c")) == ("b", "a")


def test_where_nothing_is_said_loss_dose_and_rate_are_open(recipe: ClassifyRecipe) -> None:
    space = default_space(recipe, guided=True)
    assert space["arm"].values == ("ce", "swap", "swap_hint", "hint_mse", "cyborg", "mixed_rand")
    assert (space["train.lr"].low, space["train.lr"].high) == (pytest.approx(0.02), pytest.approx(0.18))
    assert (space["loss.dose"].low, space["loss.dose"].high, space["loss.dose"].log) == (0.1, 10, True)
    assert set(default_space(recipe, guided=False)) == {"arm", "train.lr"}


SPACE = ["loss.dose=0.1..1", "arm=ce,swap,swap_hint,hint@30", "train.lr=0.01..1"]


def test_a_dose_stands_in_for_weights_and_goes_to_added_terms(recipe: ClassifyRecipe) -> None:
    values, asked = chosen(recipe, SPACE, arm="swap_hint", loss__dose=0.5, train__lr=0.2)
    assert asked == ["arm", "loss.dose", "train.lr"]
    loss = {key: value for key, value in values["loss"].items() if key != "teacher"}
    also = {"hint": {"form": "mse", "dose": 0.5}}
    assert loss == {"name": "swap", "class_weights": "balanced", "dose": 0.5, "also": also}
    assert (values["name"], values["train"]["lr"]) == ("mine-swap_hint", 0.2)
    assert ClassifyRecipe.build(values).loss.dose == 0.5


def test_what_an_arm_says_or_its_loss_has_not_is_not_asked_for(recipe: ClassifyRecipe) -> None:
    for arm, loss in (("ce", {"name": "ce"}), ("hint@30", {"name": "hint", "weight": 30.0})):
        values, asked = chosen(recipe, SPACE, arm=arm, train__lr=0.2)
        assert asked == ["arm", "train.lr"]
        assert values["loss"] == {"class_weights": "balanced", **loss}
    _, asked = chosen(recipe, ["loss.form=ce,kl", "loss.name=hint,energy"], loss__name="energy")
    assert asked == ["loss.name"]


def test_single_keys_may_be_open(recipe: ClassifyRecipe) -> None:
    values, _ = chosen(
        recipe, ["loss.weight=0.1..3", "train.optimizer=sgd,adamw"], loss__weight=1.5, train__optimizer="adamw"
    )
    assert (values["loss"]["weight"], values["train"]["optimizer"], values["name"]) == (1.5, "adamw", "mine-swap")


def test_an_arm_that_is_made_of_a_run_is_for_studies() -> None:
    with pytest.raises(SalignError, match="arm 'kd:swap' is made of the run of 'swap'"):
        check_arms(parse_space(["arm=ce,kd:swap"]))
    with pytest.raises(SalignError, match="no arm is called 'swpa'; did you mean 'swap'"):
        check_arms(parse_space(["arm=ce,swpa"]))
