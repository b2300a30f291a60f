from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from command import salign
from salign.errors import SalignError
from salign.evaluate.robustness import COLUMNS, attack_images, robust_accuracy
from salign.models import load
from salign.pages.sheet import Plots, Table, Text
from salign.runs import robustness as module
from salign.runs.analyse import draw_images
from salign.runs.page import run_sections
from salign.runs.robustness import attack_run, read_robustness, robustness_blocks, table_by_radius
from salign.runs.run import Run

FEW = {"images": 5, "epsilons": [2.0, 1.0], "steps": 2, "restarts": 1}


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A copy of the finished run, attacked on one set."""
    copy = Run(shutil.copytree(trained, tmp_path_factory.mktemp("attacked") / "run"))
    attack_run(copy, sets=["test_ood"], seed=3, **FEW)
    return copy


def test_it_attacks_the_images_that_analyse_draws(run):
    dataset = draw_images(run, "test_ood", 5, 3)
    model = load(run.path)
    batch = dataset.batch(range(5))
    rows = attack_images(
        lambda images: model(images).logits, [batch], ids=dataset.manifest.table["id"].tolist(), names=["?"] * 5,
        generator=torch.Generator().manual_seed(3), epsilons=[1, 2], steps=2, restarts=1,
    )  # fmt: skip
    expected = robust_accuracy(rows, [1, 2])
    found = read_robustness(run)
    assert found["set"].tolist() == ["test_ood"] * 9
    assert found["norm"].tolist() == ["linf"] * 9
    for column in ("images", "attacked", "epsilon", "n"):
        assert found[column].tolist() == expected[column].tolist()
    for column in ("accuracy", "low", "high", "effect_inside"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-6)
    assert found["accuracy"].between(0, 1).all()


def test_asked_again_it_reads_and_asked_otherwise_it_attacks(run, monkeypatch, tmp_path):
    copy = Run(shutil.copytree(run.path, tmp_path / "run"))
    asked = []
    monkeypatch.setattr(module, "attack_images", lambda *args, **options: asked.append(options) or attack_images_of())
    again = attack_run(copy, sets=["test_ood"], seed=3, **FEW)
    assert asked == []
    assert again["accuracy"].tolist() == read_robustness(run)["accuracy"].tolist()
    attack_run(copy, sets=["test_ood"], seed=3, **{**FEW, "norm": "l2"})
    assert [options["norm"] for options in asked] == ["l2"]


def attack_images_of():
    columns = ["id", "label", "attacked", "fooled_from", "effect_inside", "area_inside"]
    return pd.DataFrame([("a", "1", "all", 2.0, np.nan, np.nan)], columns=columns)


def test_the_page_of_the_run_shows_the_curves_and_where_the_effect_lies(run):
    plot, table, text = robustness_blocks(run)
    assert isinstance(plot, Plots)
    assert "Accuracy under attack, test_ood" in plot.svgs[0]
    assert isinstance(table, Table)
    figures = read_robustness(run)
    count = f"{figures['n'].iloc[0]:.0f} images"
    assert list(table.frame.columns) == [
        "radius",
        *(f"{side}, {count}" for side in ("everywhere", "outside", "inside")),
    ]
    assert table.frame["radius"].tolist() == ["0", "1", "2"]
    row = figures[(figures["attacked"] == "inside") & (figures["epsilon"] == 1)].iloc[0]
    assert table.frame.iloc[1, 3] == f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    assert isinstance(text, Text)
    shares = read_robustness(run).dropna(subset=["effect_inside"]).iloc[0]
    assert f"{100 * shares['effect_inside']:.0f} % of what the attack of radius 2 does" in text.paragraphs[0]
    assert f"which is {100 * shares['area_inside']:.0f} % of the image" in text.paragraphs[0]
    assert (run.path / "analysis" / "robustness.html").is_file()


def test_a_run_that_was_not_attacked_has_no_such_part(trained):
    assert robustness_blocks(Run(trained)) == []
    titles = [section.title for section in run_sections({"run": Run(trained)})]
    assert "Where it looks and what it uses" in titles


def test_the_command_prints_the_table(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = salign(
        "analyse", run.path, "--sets", "test_ood", "--images", 5, "--seed", 3, "--attack", "--epsilon", 1, "--epsilon",
        2, "--attack-steps", 2, "--restarts", 1,
    )  # fmt: skip
    figures = read_robustness(run)
    row = figures[(figures["attacked"] == "outside") & (figures["epsilon"] == 2)].iloc[0]
    (line,) = (line for line in ended.out.splitlines() if re.match(r"│ +2 │", line))
    assert f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in line.split("│")[3]
    assert f"wrote {run.path / 'analysis' / 'robustness.html'}" in ended.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epsilon", 4], "--epsilon, --norm, --attack-steps and --restarts describe an attack; add --attack."),
        (["--attack", "--epsilon", 0], "epsilon: expected a number above 0, got 0.0"),
        (["--attack", "--norm", "l3"], "norm: expected linf or l2, got 'l3'"),
    ],
)
def test_what_is_no_attack_is_refused(run, options, message):
    assert message in salign("analyse", run.path, *options, code=2).err


def test_an_unknown_set_is_refused(run):
    with pytest.raises(SalignError, match="set: expected val, test_iid or test_ood, got 'test'"):
        attack_run(run, sets=["test"])


def test_the_table_tells_images_with_a_map_from_all():
    rows = [
        ("val", "linf", which, side, epsilon, 0.5, 0.25, 0.75, n, np.nan, np.nan)
        for which, side, n in (("all", "all", 8), ("with a map", "all", 4), ("with a map", "outside", 4))
        for epsilon in (0.0, 2.5)
    ]
    frame = table_by_radius(pd.DataFrame(rows, columns=["set", "norm", *COLUMNS]))
    cell = "0.500 [0.250, 0.750]"
    assert frame.to_dict("list") == {
        "radius": ["0", "2.5"],
        "everywhere, 8 images": [cell] * 2,
        "everywhere, 4 images with a map": [cell] * 2,
        "outside, 4 images": [cell] * 2,
    }
