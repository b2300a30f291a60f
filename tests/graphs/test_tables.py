"""What is read of nodes and links, what is counted, and every fault with its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salign.errors import SalignError
from salign.graphs.tables import draw_splits, group_numbers, read_links, read_nodes, same_texts, training_rows

NODES = "id,label,split,patient\na,x,train,p\nb,y,train,q\nc,x,test,p\nd,,test,\ne,y,test,q\n"


@pytest.fixture
def nodes(tmp_path: Path):
    (tmp_path / "nodes.csv").write_text(NODES)
    return read_nodes(tmp_path / "nodes.csv", ["split"])


def links(tmp_path: Path, text: str) -> Path:
    (tmp_path / "links.csv").write_text("source,target\n" + text)
    return tmp_path / "links.csv"


def test_nodes_and_their_labels(nodes) -> None:
    assert nodes.classes == ("x", "y")
    assert nodes.labels.tolist() == [0, 1, 0, -1, 1]
    assert training_rows(nodes, "train").tolist() == [0, 1]
    assert nodes.rows_of("test").tolist() == [2, 4]  # d has no label


def test_links_come_once_and_what_is_left_out_is_counted(nodes, tmp_path: Path) -> None:
    read = read_links(links(tmp_path, "b,a\na,b\na,a\na,c\nc,a\nc,a\n"), nodes)
    assert read.pairs.tolist() == [[0, 0], [1, 2]]
    assert read.describe(5) == (
        "5 nodes, 2 links; left out: 1 of a node with itself and 3 that came twice; 2 nodes have no link"
    )


def test_links_by_number_of_row(nodes, tmp_path: Path) -> None:
    assert read_links(links(tmp_path, "0,4\n3,1\n"), nodes, by_row=True).pairs.tolist() == [[0, 1], [4, 3]]
    with pytest.raises(
        SalignError, match=r"source: 1 links name no node of .*, whose rows has such as '0':\n  row 3: '5'"
    ):
        read_links(links(tmp_path, "0,4\n5,1\n"), nodes, by_row=True)


def test_an_unknown_node_is_told_with_its_row(nodes, tmp_path: Path) -> None:
    text = "a,b\n" + "".join(f"z{k},a\n" for k in range(15))
    with pytest.raises(SalignError, match=r"(?s)15 links name no node .*row 3: 'z0'.*row 12: 'z9'; and 5 more"):
        read_links(links(tmp_path, text), nodes)
    with pytest.raises(SalignError, match="row 2: the cell is empty"):
        read_links(links(tmp_path, "a,\n"), nodes)


def test_a_class_without_a_training_node_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text("id,label,split\na,x,train\nb,y,test\n")
    with pytest.raises(SalignError, match="'train' has no node of class y"):
        training_rows(read_nodes(tmp_path / "nodes.csv", ["split"]), "train")


def test_groups(nodes) -> None:
    assert group_numbers(nodes, "patient").tolist() == [0, 1, 0, -1, 1]


def test_splits_keep_equal_texts_together() -> None:
    texts = pd.Series(["Red  sky", "red sky", "blue", "", None, "x"] + [f"t{k}" for k in range(94)], dtype="string")
    assert same_texts(texts)[:2].tolist() == [0, 0]
    assert len(set(same_texts(texts)[2:6].tolist())) == 4  # nothing equals nothing
    splits = draw_splits(texts, {"train": 0.6, "val": 0.2, "test": 0.2}, 0)
    assert splits[0] == splits[1]
    names, counts = np.unique(splits, return_counts=True)
    assert names.tolist() == ["test", "train", "val"]
    assert np.abs(counts - [20, 60, 20]).max() <= 1
    assert (splits != draw_splits(texts, {"train": 0.6, "val": 0.2, "test": 0.2}, 1)).any()
