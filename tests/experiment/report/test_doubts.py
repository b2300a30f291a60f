"""Runs that answer alike to everything are named and are nobody's best; maps that are alike are no control."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from made_study import study
from salign.errors import SalignError
from salign.evaluate.predictions import columns_for
from salign.evaluate.verdicts import Verdict
from salign.experiment.report.doubts import alike_answers, alike_in_words, shuffled_in_words, training_doubts
from salign.experiment.report.evidence import reliance
from salign.experiment.report.groups import Alike, groups_of
from salign.experiment.report.summary import findings, headline
from salign.experiment.store import PLACE
from salign.experiment.study import expand
from salign.pages.sheet import Text

LABELS = ["cat"] * 6 + ["dog"] * 2
KNOWS = [0.9, 0.8, 0.9, 0.7, 0.9, 0.2, 0.1, 0.3]
"""Probability of a cat; 7 of 8 answers are right."""
ALL_CATS = [0.9, 0.8, 0.9, 0.7, 0.9, 0.8, 0.6, 0.7]
"""6 of 8 are right, and the dogs have lower probabilities than most cats."""
BLIND = [0.701, 0.7, 0.702, 0.7, 0.701, 0.7, 0.7, 0.701]


@pytest.fixture
def answered(tmp_path):
    """Write runs, arm -> set -> a list of probabilities per seed, and return the tables of figures and of runs."""

    def write(arms, noted=True):
        figures, runs = [], []
        for arm, sets in arms.items():
            for seed in range(len(next(iter(sets.values())))):
                run = tmp_path / f"{arm}-{seed}"
                (run / "predictions").mkdir(parents=True)
                place = "data", "network", arm, -1, 1.0, seed
                runs.append((*place, str(run)))
                for name, seeds in sets.items():
                    cat = np.array(seeds[seed])
                    table = pd.DataFrame(
                        {"id": [f"{k}" for k in range(8)], "path": "x", "split": name, "label": LABELS}
                        | {"predicted": np.where(cat > 0.5, "cat", "dog"), "prob_cat": cat, "prob_dog": 1 - cat}
                        | {"logit_cat": np.log(cat), "logit_dog": np.log(1 - cat)}
                    )
                    table[columns_for(["cat", "dog"])].to_csv(run / "predictions" / f"{name}.csv", index=False)
                    right = (cat > 0.5) == (np.array(LABELS) == "cat")
                    figures.append((*place, name, "accuracy", right.mean()))
                    figures.append((*place, name, "reliance/all//accuracy", right.mean()))
                    for kept in ("inside", "outside"):
                        figures.append((*place, name, f"reliance/{kept}/other/accuracy", right.mean()))
                        figures.append((*place, name, f"reliance/{kept}/other/flipped", 0.0))
                    if noted:
                        balanced = (right[:6].mean() + right[6:].mean()) / 2
                        figures.append((*place, name, "balanced_accuracy", balanced))
        return (
            pd.DataFrame(figures, columns=[*PLACE, "set", "metric", "value"]),
            pd.DataFrame(runs, columns=[*PLACE, "path"]),
        )

    return write


def everywhere(*seeds):
    return {"test_ood": seeds, "test_iid": seeds}


@pytest.mark.parametrize("noted", [True, False])
def test_runs_with_one_answer_to_all_are_found_and_counted(answered, noted):
    arms = {"ce": everywhere(KNOWS, ALL_CATS, BLIND), "cyborg": everywhere(KNOWS, KNOWS, KNOWS)}
    figures, runs = answered(arms, noted)
    (group,) = groups_of(study("m.csv"), figures)
    first = "all 8 images are called cat, with probabilities that differ by at most 0.3"
    found = alike_answers(group, runs, "test_ood")
    assert found == {"ce": Alike(runs=2, of=3, blind=1, first=first)}
    assert (found["ce"].mostly("accuracy"), found["ce"].mostly("auroc")) == (True, False)
    assert alike_in_words({"test_ood": found, "test_iid": {}}) == (
        f"Runs that give all images of test_ood the same answer: 2 of 3 of ce ({first}). Their accuracy says how "
        "frequent that class is, and that nothing changes them is no strength."
    )
    assert alike_in_words({"test_ood": {}}) == ""


def test_only_runs_whose_balanced_accuracy_may_come_of_one_answer_are_read(answered):
    """KNOWS has (5/6 + 1) / 2; the file of a run that is not read may be gone."""
    figures, runs = answered({"ce": everywhere(KNOWS, ALL_CATS)})
    (group,) = groups_of(study("m.csv"), figures)
    gone = runs.assign(path=runs["path"].where(runs["seed"] == 1, "nowhere"))
    assert alike_answers(group, gone, "test_ood")["ce"].share == "1 of 2"


def test_a_classifier_of_one_answer_is_not_the_best_nor_unmoved(answered):
    half = [0.9, 0.8, 0.4, 0.3, 0.9, 0.2, 0.1, 0.3]
    arms = {"ce": everywhere(ALL_CATS, ALL_CATS, KNOWS), "cyborg": everywhere(half, half, half)}
    elsewhere = {"test_ood": [KNOWS] * 3, "test_iid": [BLIND] * 3}  # better on the target, constant on the reference
    arms |= {"swap": everywhere(BLIND, ALL_CATS, BLIND), "evidence": elsewhere}
    figures, runs = answered(arms)
    plan = study("m.csv", controls=[])
    (one,) = found = findings(plan, groups_of(plan, figures), runs)
    assert one.constant == ("ce",)
    assert not any("does better" in sentence for sentence in one.sentences)
    assert one.sentences[1].startswith("Runs that give all images of test_iid the same answer: 2 of 3 of ce (all 8")
    assert "; 3 of 3 of evidence (all 8 images are called cat, with probabilities that" in one.sentences[1]
    assert "Runs that give all images of test_ood the same answer: 2 of 3 of ce (all 8" in one.sentences[1]
    assert one.sentences[-1].endswith("But 2 of 3 runs of ce answer alike to everything, which nothing can change.")
    assert headline(plan, found, 12, 0)[-1] == (
        "Half or more of the runs answer alike to every image, which is no classifier: ce."
    )
    *_, table = reliance(plan, groups_of(plan, figures), runs, {})
    assert dict(zip(table.frame["arm"], table.frame["runs that answer alike"], strict=True)) == {
        "ce": "2 of 3", "cyborg": "none", "evidence": "none", "swap": "3 of 3",
    }  # fmt: skip
    assert "so that nothing can change what they answer" in table.caption


def test_runs_whose_training_is_doubted_are_counted_by_arm(monkeypatch):
    """Runs 0 and 2 are doubted for one reason, run 2 for another as well; the files of run 3 are gone."""
    few = Verdict("not converged", "the loss fell", "Train longer.")
    easy = Verdict("easy", "all perfect", "Take others.")
    doubts = {"0": [few], "1": [], "2": [few, easy]}

    def verdicts(run):
        if run.path.name not in doubts:
            raise SalignError("gone")
        return doubts[run.path.name]

    monkeypatch.setattr("salign.experiment.report.doubts.training_verdicts", verdicts)
    runs = pd.DataFrame({"arm": ["ce", "ce", "cyborg", "cyborg"], "path": list("0123")})
    assert training_doubts(runs) == [
        Text(["2 of 4 runs (1 of ce, 1 of cyborg); for instance: the loss fell. Train longer."], "Not converged"),
        Text(["1 of 4 runs (1 of cyborg); for instance: all perfect. Take others."], "Easy"),
    ]


def test_an_arm_that_is_better_is_named_with_what_it_does_on_the_reference(answered):
    half = [0.9, 0.8, 0.4, 0.3, 0.9, 0.2, 0.1, 0.3]  # 5 of 8
    arms = {"ce": everywhere(half, half), "cyborg": everywhere(half, half)}
    arms["swap"] = {"test_ood": [KNOWS] * 2, "test_iid": [[1 - p for p in KNOWS]] * 2}  # 7 of 8, 1 of 8
    figures, runs = answered(arms)
    plan = study("m.csv", controls=[])
    (one,) = findings(plan, groups_of(plan, figures), runs)
    (named,) = [sentence for sentence in one.sentences if "does better" in sentence]
    assert named == (
        "The arm swap does better than cyborg: +25.0 points [+25.0, +25.0] (above zero); on test_iid −50.0 points "
        "[−50.0, −50.0] (below zero)."
    )
    assert headline(plan, [one], 6, 0) == [one.sentences[0]]


@pytest.mark.parametrize(
    ("apart", "told"),
    [
        (0, "1.00 on average: shuffled maps mark nearly the same places and are hardly a control here. Take blobs or"),
        # three squares of 8 x 8 of 32 x 32 cells that do not touch: covariance -1/256, variance 15/256
        (10, "−0.07 on average: another image's map marks other places."),
    ],
)
def test_how_alike_the_maps_of_two_images_are_is_said_where_they_are_shuffled(tmp_path, apart, told):
    rows = []
    for k in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{k}.png")
        marked = np.zeros((32, 32), np.uint8)
        marked[4:12, apart * k : apart * k + 8] = 255
        Image.fromarray(marked).save(tmp_path / f"map{k}.png")
        rows.append((str(k), f"{k}.png", "1" if k else "7", "train", f"map{k}.png"))
    table = pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"])
    table.to_csv(tmp_path / "manifest.csv", index=False)
    plan = study(tmp_path / "manifest.csv")
    runs = []
    for cell in expand(plan):
        run = tmp_path / cell.recipe.name
        run.mkdir()
        (run / "recipe.yaml").write_text(cell.recipe.to_yaml())
        runs.append((*cell.key, str(run)))
    runs = pd.DataFrame(runs, columns=[*PLACE, "path"])
    figures = runs.drop(columns="path").assign(set="test_ood", metric="accuracy", value=0.5)
    (group,) = groups_of(plan, figures)
    said = shuffled_in_words(plan, group, runs)
    assert said.startswith(f"Maps of two training images correlate {told}")
    (without,) = groups_of(plan, figures[figures["arm"] != "shuffled"])
    assert shuffled_in_words(plan, without, runs) == ""
    (tmp_path / "map1.png").unlink()
    assert shuffled_in_words(plan, group, runs) == (
        "How alike the maps of two images are cannot be said: they are not where they were any more."
    )
