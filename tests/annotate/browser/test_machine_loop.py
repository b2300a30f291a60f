"""The loop people -> machine -> people: painted in a browser, learned, drafted, judged in a browser, trained with."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browsing import Server, Visitor
from command import salign, small, written
from drawn import stroke
from salign.data.manifest import Manifest
from salign.data.shortcuts.decoy import write_decoy_digits

pytestmark = [pytest.mark.slow, pytest.mark.long]

SIZE = (64, 64)
GIVEN = 8
"""Training images whose maps somebody called ann drew before."""


@contextmanager
def serving(folder: Path, *options: object, **study: object) -> Iterator[Server]:
    server = Server(folder, *map(str, options), **study)
    try:
        yield server
    finally:
        server.stop()


def units(out: Path) -> list[str]:
    """The images that were answered, in the order they were handed out."""
    with sqlite3.connect(f"file:{out}/annotations.db?mode=ro", uri=True) as store:
        rows = store.execute("select unit from tasks where revision > 0 order by position").fetchall()
    return [unit for (unit,) in rows]


def few_maps(place: Path) -> Path:
    """Ones and sevens; of the training images the first have a person's map, all of the others too."""
    table = Manifest.read(write_decoy_digits(place, train=120, val=60, test=40, size=64)).table.drop(columns="row")
    table = table[table["label"].isin(["1", "7"])].reset_index(drop=True)
    train = (table["split"] == "train").astype(bool)
    kept = ~train | (train.cumsum() <= GIVEN)
    table = table.assign(saliency=table["saliency"].where(kept), provenance=np.where(kept, "human:ann", ""))
    return Manifest.of(table, place).write(place / "few.csv")


def by_id(manifest: Path, root: Path) -> dict[str, dict[str, str]]:
    table = Manifest.read(manifest, root).table.fillna("")
    return {str(row["id"]): row for row in table.to_dict("records")}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), dtype=np.float64)


def heat_range(visitor: Visitor) -> tuple[int, int]:
    """Least and highest opacity of the draft's colours."""
    visitor.page.wait_for_function("() => salign.work.stages[0].heat")
    low, high = visitor.page.evaluate(
        "() => { const { heat } = salign.work.stages[0];"
        "const { data } = heat.getContext('2d').getImageData(0, 0, heat.width, heat.height);"
        "const alphas = data.filter((_, i) => i % 4 === 3);"
        "return [alphas.reduce((a, b) => Math.min(a, b)), alphas.reduce((a, b) => Math.max(a, b))] }"
    )
    return low, high


def press(visitor: Visitor, *keys: str) -> None:
    for key in keys:
        visitor.page.keyboard.press(key)


def test_people_teach_a_machine_whose_drafts_people_judge(
    visit: Callable[..., Visitor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "set"
    few = few_maps(place)

    # a person paints two more
    unmarked = by_id(few, place)
    gold = [name for name, row in unmarked.items() if row["saliency"] == ""][:2]
    only = tmp_path / "unmarked.csv"
    rows = Manifest.read(few).table.drop(columns="row")
    Manifest.of(rows[rows["id"].isin(gold)], place).write(only)
    with serving(place, "--manifest", only, "--out", tmp_path / "painting", question="Which digit?") as server:
        visitor = visit(server)
        visitor.join("Painter")
        for _ in range(2):
            press(visitor, "b", "1")
            visitor.drag([(20, 15), (40, 40)])
            press(visitor, "Enter")
            visitor.sent()
        visitor.page.wait_for_selector("#pause-title:has-text('All done')")
    salign(
        "annotate", place, "--manifest", only, "--out", tmp_path / "painting",
        "--export", place / "painted", "--into", few,
    )  # fmt: skip
    painted = by_id(place / "painted" / "manifest.csv", place)
    assert {painted[name]["provenance"] for name in gold} == {"human:Painter"}

    # a net learns from the ten and marks the rest; what it is not sure of comes to people
    net = {
        "name": "maps",
        "data": {
            "manifest": str(place / "painted" / "manifest.csv"), "root": str(place), "test": ["test_iid"],
            "image_size": 64, "workers": 0,
        },
        "model": {"backbone": "test_resnet", "weights": None, "width": 16},
        "train": {"epochs": 2, "batch_size": 4, "lr": 0.003, "device": "cpu"},
    }  # fmt: skip
    salign("saliency", "train", written(tmp_path / "maps.yaml", net), "--out", tmp_path / "nets", "--quiet")
    (run,) = (tmp_path / "nets").iterdir()
    whole = (place / "painted" / "manifest.csv", run, "--root", place)
    salign("autoannotate", *whole, "--out", place / "all")
    sure = {name: row["confidence"] for name, row in by_id(place / "all.csv", place).items() if row["confidence"]}
    below = float(np.median([float(value) for value in sure.values()]))
    said = salign("autoannotate", *whole, "--out", place / "machine", "--below", below).out
    drafts = by_id(place / "machine-drafts.csv", place)
    asked = list(drafts)
    assert 4 < len(asked) < len(sure)
    assert asked == sorted(asked, key=lambda name: float(sure[name]))
    assert f"{len(asked)} maps that are less sure" in " ".join(said.split())

    # people see the least sure first, and accept, edit and reject
    review = ("--manifest", place / "machine-drafts.csv", "--out", tmp_path / "review", "--mode", "review")
    with serving(place, *review, enough=0.8) as server:
        visitor = visit(server)
        visitor.join("Rev")
        (by,) = {row["provenance"] for row in drafts.values()}
        assert re.fullmatch(r"model:test_resnet@[0-9a-f]{8}", by)
        assert visitor.page.inner_text("#review-title").startswith("Map of a machine: ")
        assert visitor.page.get_attribute("#review-title", "title") == by.removeprefix("model:")
        assert visitor.page.inner_text("#question") == "Is this map right? Accept it, edit it, or reject it."
        assert heat_range(visitor) == (0, 255), "a faint draft is stretched"
        press(visitor, "a")
        visitor.next(lambda: press(visitor, "Enter"))
        press(visitor, "e", "b")
        outlined = len(visitor.shapes())
        line = visitor.snap([(6, 50), (30, 58)])
        visitor.drag(line)
        assert len(visitor.shapes()) == outlined + 1
        (radius, *_) = visitor.shapes()[-1]["radii"]
        visitor.next(lambda: press(visitor, "Enter"))
        press(visitor, "r")
        visitor.next(lambda: press(visitor, "Enter"))
        visitor.sent()
        assert units(tmp_path / "review") == asked[:3]
        visitor.page.goto(f"{server.url}/owner")
        visitor.page.wait_for_selector("#overview:not([hidden])")
        figures = " ".join(visitor.page.inner_text("#figures").split())
        assert "Drafts accepted 1 of 3 1 edited, 1 rejected" in figures
        assert f"Maps nobody drew {len(asked) - 2} of {len(asked)} 1 accepted, {len(asked) - 3} not asked" in figures
        assert "from 10 verdicts on it is known whether that is enough (0.8)" in figures
    said = salign("annotate", place, *review, "--export", place / "reviewed", "--into", place / "machine.csv").out
    assert "drafts: 1 accepted, 1 edited, 1 rejected" in said
    assert f"maps nobody had to draw: {len(asked) - 2} of {len(asked)}" in said

    # everything says whose it is
    accepted, edited, rejected = asked[:3]
    after = by_id(place / "reviewed" / "manifest.csv", place)
    train = {name: row for name, row in after.items() if row["split"] == "train"}
    expected = dict.fromkeys(sure, by) | {accepted: "human:Rev", edited: "human:Rev", rejected: ""}
    expected |= {name: "human:ann" for name in train if name not in sure} | dict.fromkeys(gold, "human:Painter")
    assert {name: row["provenance"] for name, row in train.items()} == expected
    assert [name for name, row in train.items() if not row["saliency"]] == [rejected]
    maps = {name: pixels(place / after[name]["saliency"]) for name in (accepted, edited)}
    drafted = {name: pixels(place / drafts[name]["saliency"]) for name in (accepted, edited)}
    assert np.abs(maps[accepted] - drafted[accepted]).max() <= 1
    ours = stroke(line, radius - 1, SIZE)
    assert ours.sum() > 20
    assert (maps[edited][ours] == maps[edited].max()).all(), "what was painted is in it"

    # and a classifier trains with it
    machines = len(sure) - 3
    content = small(
        place / "reviewed" / "manifest.csv", train={"epochs": 1},
        data={"root": str(place), "test": ["test_iid"], "groups": []},
    )  # fmt: skip
    trained = salign("train", written(tmp_path / "small.yaml", content), "--out", tmp_path / "runs").out
    told = " ".join(trained.split())
    assert f"{len(train) - 1} with a saliency map ({machines} of them made by a machine)" in told
