"""`salign graph labels` and `salign graph train` as a user runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from command import salign
from salign.data.manifest.targets import read_targets

NODES = "id,label,split,tile\na,x,train,1\nb,y,train,1\nc,x,train,2\nd,y,test,2\ne,y,train,\n"


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    (tmp_path / "nodes.csv").write_text(NODES)
    return tmp_path / "nodes.csv"


def test_targets_of_a_column_are_as_a_recipe_reads_them(nodes: Path) -> None:
    done = salign("graph", "labels", nodes, "--link", "tile", "--hops", 1)
    assert "5 nodes in 2 groups by tile; the target of 2 of 4 training nodes is their label alone" in done.out
    assert done.last.endswith(f"train with data.targets: {nodes.with_name('nodes-targets.csv')}")
    targets = read_targets(
        nodes.with_name("nodes-targets.csv"), ["a", "b", "c", "e"], np.array([0, 1, 0, 1]), ["x", "y"]
    )
    # a and b are each other's neighbours; c's only neighbour is a test node, and e has none
    assert targets.tolist() == [[0.5, 0.5], [0.5, 0.5], [1, 0], [0, 1]]
    page = nodes.with_name("nodes-targets.html").read_text()
    assert "2 groups by tile" in page
    assert "<svg" in page


def test_hops_are_weighed(nodes: Path, tmp_path: Path) -> None:
    (tmp_path / "links.csv").write_text("source,target\na,b\nb,c\n")
    options = ["--hops", 2, "--weight", 1, "--weight", 3, "--alpha", 0.8]
    salign("graph", "labels", nodes, tmp_path / "links.csv", *options, "--out", tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv").set_index("id")
    # Y1 = (y, x, y) and Y2 = (x, y, x) for a, b, c: a gets .8 (1/4 y + 3/4 x) + .2 x
    np.testing.assert_allclose(table.loc[["a", "b", "c", "e"], "x"], [0.8, 0.2, 0.8, 0.0], atol=1e-6)
    np.testing.assert_allclose(table[["x", "y"]].sum(axis=1), 1)


def test_texts_are_trained_on_and_answered(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = ["red", "blue"]
    rows = [f"n{k},{colours[k % 2]},{colours[k % 2]} word{rng.integers(5)} {k}" for k in range(60)]
    (tmp_path / "nodes.csv").write_text("id,label,text\n" + "\n".join(rows))
    links = [f"n{a},n{b}" for a, b in zip(range(0, 58), range(2, 60), strict=True)]
    (tmp_path / "links.csv").write_text("source,target\n" + "\n".join(links))
    arguments = ["--shares", "0.5/0.2/0.3", "--epochs", 30, "--head-epochs", 50, "--out", tmp_path / "out", "--quiet"]
    done = salign("graph", "train", tmp_path / "nodes.csv", tmp_path / "links.csv", *arguments, "--learned")
    assert "60 nodes, 58 links" in done.out
    assert "test (18 nodes): " in done.out
    assert "100.0 % with neighbours" in done.out
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert list(table) == ["id", "split", "label", "predicted", "prob_blue", "prob_red"]
    test = table[table["split"] == "test"]
    assert (test["label"] == test["predicted"]).all()
    np.testing.assert_allclose(table[["prob_blue", "prob_red"]].sum(axis=1), 1, atol=1e-6)
    assert "with neighbours" in (tmp_path / "out" / "page.html").read_text()
