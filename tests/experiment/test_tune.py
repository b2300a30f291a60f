"""A search: what is proposed, run, found again and chosen; nothing is trained but in one test."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from command import salign, small, written
from salign.errors import SalignError
from salign.evaluate.predictions import columns_for
from salign.experiment.space import parse_space
from salign.experiment.store import cell_file
from salign.experiment.tune import Tried, Tuning, choose, read_trials, run_tuning, trials_table, with_plain
from salign.experiment.tune_page import in_short, table_in_words, write_results
from salign.experiment.worker import Outcome, Task
from salign.runs.folder import RunFolder
from salign.runs.run import Run
from salign.train.recipe import ClassifyRecipe, Recipe

SEARCH = ["arm=ce,swap,hint_mse", "loss.dose=0.1..10:log", "train.lr=0.01..0.1:log"]


class Made:
    """Writes what a run leaves: `region` grows with the dose, `validation` falls, and large doses of hint collapse."""

    def __init__(self, stop_after: int = 1000, plain: float = 0.5) -> None:
        self.begun: list[str] = []
        self.together: list[int] = []
        self.stop_after, self.plain = stop_after, plain

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        self.together.append(0)
        for task in tasks:
            self.together[-1] += 1
            if len(self.begun) == self.stop_after:
                raise KeyboardInterrupt
            loss, run = task.recipe.loss, RunFolder.of(task.recipe, task.out)
            assert (task.measured.sets, task.measured.draws) == (["val"], 8)
            self.begun.append(run.path.name)
            if loss.name == "hint" and loss.dose > 3:
                yield Outcome(
                    task, "training collapsed: the probabilities of all 8 validation images are alike, and ..."
                )
                continue
            dose = loss.dose or 0.01
            leave(
                run,
                task.recipe,
                validation=0.9 - 0.02 * dose,
                region=0.5 + 0.03 * dose,
                worst=0.6,
                alike=loss.name == "hint",
                auroc=self.plain if loss.name == "ce" else 0.9,
            )
            yield Outcome(task, None)


def leave(
    run: RunFolder,
    recipe: Recipe,
    *,
    validation: float,
    region: float,
    worst: float,
    alike: bool = False,
    auroc: float = 0.5,
) -> None:
    figures = {"accuracy": validation, "worst_class_accuracy": worst, "reliance/inside/other/accuracy": region}
    figures["reliance/inside/other/auroc"] = auroc
    run.path.mkdir(parents=True, exist_ok=True)
    run.recipe_file.write_text(recipe.to_yaml())
    cell_file(run).write_text(json.dumps({"seconds": 2.5, "figures": {"val": figures}}))
    (run.path / "done").write_text("")
    names = ("1", "7")
    probabilities = np.tile([[0.4, 0.6]], (8, 1)) if alike else np.array([[0.9, 0.1], [0.2, 0.8]] * 4)
    table = pd.DataFrame({"id": [*"abcdefgh"], "path": "x.png", "split": "val", "label": ["1", "7"] * 4})
    table["predicted"] = [names[k] for k in probabilities.argmax(1)]
    for k, name in enumerate(names):
        table[f"logit_{name}"], table[f"prob_{name}"] = np.log(probabilities[:, k]), probabilities[:, k]
    (run.path / "predictions").mkdir(exist_ok=True)
    table[[*columns_for(names)]].to_csv(run.predictions_file("val"), index=False)


@pytest.fixture
def tuning(digits: Path) -> Tuning:
    recipe = ClassifyRecipe.build(small(digits, loss={"name": "swap", "weight": 5}, data={"groups": []}))
    return Tuning(recipe, parse_space(SEARCH), "region", "accuracy", trials=6)


def test_every_arm_is_tried_first_with_the_values_of_the_recipe(tuning: Tuning, tmp_path: Path) -> None:
    tried = run_tuning(tuning, tmp_path, Made(), progress=False)
    assert [trial.number for trial in tried] == [1, 2, 3, 4, 5, 6]
    assert [trial.values for trial in tried[:3]] == [
        {"arm": "ce", "train.lr": 0.05},
        {"arm": "swap", "loss.dose": pytest.approx(1), "train.lr": 0.05},
        {"arm": "hint_mse", "loss.dose": pytest.approx(1), "train.lr": 0.05},
    ]
    recipe = Recipe.read(tried[1].run.recipe_file)
    assert (recipe.name, recipe.loss.dose, recipe.loss.options) == ("small-swap", pytest.approx(1), {})
    assert (recipe.train.collapse_patience, recipe.train.precision) == (3, "float32")
    assert tried[0].figures == {"validation": pytest.approx(0.8998), "worst": 0.6, "region": pytest.approx(0.5003)}
    assert tried[0].seconds == 2.5


def test_a_third_of_the_epochs_of_the_trial_is_waited_for_before_it_counts_as_collapsed(tuning: Tuning) -> None:
    longer = replace(tuning, space=parse_space(["train.epochs=6,60"]))
    patience = [longer.recipe_of(lambda *_, n=n: n).train.collapse_patience for n in (6, 60)]
    assert patience == [3, 20]


def test_a_search_that_was_cut_off_ends_as_if_it_had_not_been_and_runs_nothing_twice(
    tuning: Tuning, tmp_path: Path
) -> None:
    whole = Made()
    expected = run_tuning(tuning, tmp_path / "whole", whole, progress=False)
    parts = []
    for stop in (1, 1, 1, 1000):
        made = Made(stop)
        parts.append(made)
        try:
            tried = run_tuning(tuning, tmp_path / "parts", made, progress=False)
        except KeyboardInterrupt:
            continue
    assert [trial.values for trial in tried] == [trial.values for trial in expected]
    assert [name for made in parts for name in made.begun] == whole.begun
    again = Made()
    assert run_tuning(tuning, tmp_path / "parts", again, progress=False) == tried
    assert again.begun == []
    more = Made()
    assert len(run_tuning(replace(tuning, trials=8), tmp_path / "parts", more, progress=False)) == 8
    assert len(more.begun) == 2


@pytest.mark.parametrize(
    ("plain", "rule", "reason"),
    [
        (
            0.5,
            "region",
            "AUROC 0.500 where surroundings are exchanged (chance is 0.5): surroundings decide its answers",
        ),
        (
            0.51,
            "validation",
            "AUROC 0.510 where surroundings are exchanged (chance is 0.5): they do not decide its answers",
        ),
    ],
)
def test_plain_cross_entropy_runs_first_alone_and_by_it_auto_takes_its_rule(
    tuning: Tuning, plain: float, rule: str, reason: str, tmp_path: Path
) -> None:
    auto, made = replace(tuning, select="auto"), Made(plain=plain)
    tried = run_tuning(auto, tmp_path / "whole", made, progress=False)
    assert made.together == [1, 5]
    found = with_plain(auto, tmp_path / "whole")
    assert (found.rule, found.plain, found.name) == (rule, plain, auto.name)
    assert found.reason == f"The rule is {rule}, since plain cross-entropy has {reason}."
    best = choose(tried, rule)
    assert write_results(found, tried, tmp_path, again="salign tune x.yaml") == best
    assert f"is the best by the rule {rule}" in (tmp_path / "tune.html").read_text()
    with pytest.raises(KeyboardInterrupt):
        run_tuning(auto, tmp_path / "parts", Made(3, plain), progress=False)
    rest = run_tuning(auto, tmp_path / "parts", Made(plain=plain), progress=False)
    assert [trial.values for trial in rest] == [trial.values for trial in tried]


@pytest.mark.parametrize("arms", ["arm=swap,cyborg", "loss.dose=0.1..10:log"])
def test_auto_takes_the_region_test_where_plain_cross_entropy_is_not_tried(
    tuning: Tuning, arms: str, tmp_path: Path
) -> None:
    auto = replace(tuning, select="auto", space=parse_space([arms]), trials=3)
    run_tuning(auto, tmp_path, Made(), progress=False)
    found = with_plain(auto, tmp_path)
    assert (found.rule, found.reason) == ("region", "")


def test_auto_judges_groups_by_the_worst_of_them(digits: Path) -> None:
    grouped = Tuning(ClassifyRecipe.build(small(digits, data={"groups": ["decoy"]})), {}, "auto")
    assert [replace(grouped, plain=plain).rule for plain in (0.5, 0.51)] == ["region", "worst"]


def test_another_search_in_the_same_folder_finds_the_runs(tuning: Tuning, tmp_path: Path) -> None:
    run_tuning(replace(tuning, trials=3), tmp_path, Made(), progress=False)
    other = replace(tuning, trials=3, select="validation")
    assert other.name != tuning.name
    assert read_trials(other, tmp_path) == []
    tried = run_tuning(other, tmp_path, Made(), progress=False)
    assert len(list((tmp_path / "runs").iterdir())) == len(tried) == 3


def numbered(*figures: tuple[float, float, float] | str) -> list[Tried]:
    """Trials with these figures of validation, worst and region; a text is why one collapsed."""
    rules = ("validation", "worst", "region")
    return [
        Tried(k, {"arm": "ce" if k == 1 else "swap", "loss.dose": 0.1 * k}, RunFolder(Path(f"runs/r{k}")), collapsed=of)
        if isinstance(of, str)
        else Tried(
            k,
            {"arm": "ce" if k == 1 else "swap", "loss.dose": 0.1 * k},
            RunFolder(Path(f"runs/r{k}")),
            dict(zip(rules, of, strict=True)),
        )
        for k, of in enumerate(figures, start=1)
    ]


def test_the_best_by_a_rule_is_chosen_and_of_equals_the_best_on_validation() -> None:
    nan = float("nan")
    tried = numbered((0.9, 0.5, 0.2), (0.8, 0.6, 0.7), (0.85, 0.4, 0.7), (0.7, 0.3, nan), "training collapsed: so")
    assert [choose(tried, rule).number for rule in ("validation", "worst", "region")] == [1, 2, 3]
    assert choose(tried[3:], "region") is None
    table = trials_table(tried)
    assert table["chosen_by"].tolist() == ["validation", "worst", "region", "", ""]
    assert table["note"].tolist() == [""] * 4 + ["training collapsed: so"]
    assert list(table) == [
        "trial",
        "arm",
        "loss.dose",
        "validation",
        "worst",
        "region",
        "region_sd",
        "chosen_by",
        "seconds",
        "run",
        "note",
    ]


def test_of_trials_that_another_draw_might_put_first_the_best_on_validation_is_chosen() -> None:
    tried = numbered((0.6, 0.5, 0.95), (0.8, 0.5, 0.94), (0.9, 0.5, 0.925), (0.7, 0.5, 0.945))
    spread = [replace(trial, spread=sd) for trial, sd in zip(tried, (0.02, 0.0, 0.5, 0.5), strict=True)]
    assert [choose(trials, "region").number for trials in (tried, spread, spread[1:], spread[:1])] == [1, 2, 3, 1]
    assert choose(spread, "worst").number == 3  # of equals; the spread is that of the region test alone
    assert trials_table(spread)["region_sd"].tolist() == [0.02, 0.0, 0.5, 0.5]


def test_a_trial_that_was_stopped_or_tells_no_images_apart_is_said_and_never_chosen(
    tuning: Tuning, tmp_path: Path
) -> None:
    both = replace(tuning, space=parse_space(["arm=hint_mse,swap", "loss.dose=9,2"]), trials=2)
    stopped, swap = run_tuning(both, tmp_path, Made(), progress=False)
    alike = run_tuning(
        replace(both, space=parse_space(["arm=hint_mse", "loss.dose=2,9"]), trials=1), tmp_path, Made(), progress=False
    )[0]
    assert stopped.collapsed.startswith("training collapsed: the probabilities")
    assert alike.collapsed == "all 8 images are called 7, with probabilities that differ by at most 0"
    assert (swap.collapsed, choose([stopped, alike, swap], "validation")) == ("", swap)


def test_the_page_the_table_and_the_recipe(tuning: Tuning, tmp_path: Path) -> None:
    tried = run_tuning(tuning, tmp_path, Made(), progress=False)
    best = write_results(tuning, tried, tmp_path, again="salign tune x.yaml")
    assert best == max(tried, key=lambda trial: trial.figures["region"] if not trial.collapsed else 0)
    recipe = Recipe.read(tmp_path / "best.yaml")
    assert RunFolder.of(recipe, tmp_path / "runs") == best.run
    assert (tmp_path / "best.yaml").read_text().startswith("# Chosen by: salign tune x.yaml\n# Trial ")
    assert pd.read_csv(tmp_path / "trials.csv")["trial"].tolist() == [1, 2, 3, 4, 5, 6]
    page = (tmp_path / "tune.html").read_text()
    assert f"Trial {best.number} of 6 is the best by the rule region: {best.values['arm']}, loss.dose" in page
    assert "The best plain cross-entropy has validation 0.900 (accuracy), worst 0.600 (accuracy), region 0.500" in page
    assert page.count("<svg") == 1


def test_the_page_says_why_a_trial_is_chosen_that_another_one_beats_by_less_than_a_draw(tuning: Tuning) -> None:
    tried = numbered((0.6, 0.5, 0.95), (0.8, 0.5, 0.94))
    tried[0] = replace(tried[0], spread=0.0213)
    told = in_short(tuning, tried, choose(tried, "region"))
    assert told.startswith("Trial 2 of 2 is the best by the rule region: swap")
    assert "Trial 1 has region 0.950 ± 0.021 over draws of the surroundings: another draw might" in told
    assert "over draws" not in in_short(tuning, tried[:1], tried[0])


def test_the_page_has_the_spread_of_the_region_test_and_the_terminal_has_no_room_for_it(tuning: Tuning) -> None:
    tried = [
        replace(trial, spread=sd)
        for trial, sd in zip(numbered((0.9, 0.5, 0.7), (0.9, 0.5, 0.6)), (0.04, 0), strict=True)
    ]
    table = trials_table(tried)
    assert table_in_words(tuning, table)["region"].tolist() == ["0.700 ± 0.040", "0.600"]
    assert table_in_words(tuning, table, spread=False)["region"].tolist() == ["0.700", "0.600"]


def test_the_page_says_that_surroundings_decide_the_answers_of_all_trials(tuning: Tuning) -> None:
    by_area, by_share = replace(tuning, metric="auroc"), replace(tuning, metric="accuracy")
    low, high = (numbered((0.9, 0.5, region)) for region in (0.5, 0.51))
    warning = "Surroundings decide the answers of this trial, too"
    assert warning in in_short(by_area, low, low[0])
    assert warning not in in_short(by_area, high, high[0])
    assert warning not in in_short(by_share, low, low[0])
    assert warning not in in_short(replace(by_area, select="validation"), low, low[0])


def test_two_searches_at_once_in_a_folder_are_refused(tuning: Tuning, tmp_path: Path) -> None:
    class Again(Made):
        def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
            run_tuning(tuning, tmp_path, Made(), progress=False)
            return super().run(tasks)

    with pytest.raises(SalignError, match="another salign tune is at work in"):
        run_tuning(tuning, tmp_path, Again(), progress=False)


def test_a_search_of_which_no_trial_can_be_run_says_why(tuning: Tuning, tmp_path: Path) -> None:
    class Broken(Made):
        def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
            return (Outcome(task, "no room on the disk") for task in tasks)

    with pytest.raises(SalignError, match=r"none of 6 trials came to an end\. The first: no room on the disk"):
        run_tuning(tuning, tmp_path, Broken(), progress=False)


def test_without_optuna_it_is_said_how_to_have_it(tuning: Tuning, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SalignError, match=r"a search needs the package optuna; .*pip install -e '.\[tune\]'"):
        run_tuning(tuning, tmp_path, Made(), progress=False)


@pytest.mark.slow
def test_the_command_searches_goes_on_and_its_recipe_is_the_run(digits: Path, tmp_path: Path) -> None:
    content = small(digits, data={"groups": []}, train={"epochs": 3, "lr": 0.1})
    recipe, out = written(tmp_path / "r.yaml", content), tmp_path / "tunes"
    call = (
        "tune",
        recipe,
        "--search",
        "loss.dose=0.1,1",
        "--select",
        "region",
        "--out",
        out,
        "--workers",
        1,
        "--quiet",
    )
    assert "no trial is done yet. Begin with: salign tune" in salign(*call, "--trials", 1, "--list").out
    first = salign(*call, "--trials", 1)
    assert "Trial 1 of 1 is the best by the rule region: loss.dose 0.1." in first.out
    shown = salign(*call, "--trials", 2).out
    assert len(list((out / "small" / "runs").glob("small-cyborg-*"))) == 2
    best = Run.open(shown.rsplit("salign explain ", 1)[1].strip())
    assert best.recipe.loss.dose in (0.1, 1)
    weights = pd.read_csv(best.metrics)["train/saliency_weight"]
    assert (weights > 0).all()
    again = salign("train", out / "small" / "best.yaml", "--out", out / "small" / "runs", "--quiet")
    assert "is already done; nothing to train" in again.out


def test_the_region_test_needs_maps_on_validation_images(digits: Path, tmp_path: Path) -> None:
    content = small(digits, data={"annotated_val": 0})
    call = ("tune", written(tmp_path / "r.yaml", content), "--out", tmp_path / "tunes")
    said = salign(*call, "--select", "region", code=2).err
    assert "Something is marked on images of no class alone. Mark validation images of two classes" in said
    assert "--select worst" in salign(*call, "--list").out
    assert "--select auto" in salign("tune", written(tmp_path / "s.yaml", small(digits)), "--list").out
