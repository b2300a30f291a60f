"""Soft targets: read by id with every fault, and counted from the answers of people who disagree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from references import targets as slow
from salign.cli import app
from salign.data.manifest.targets import count_answers, read_targets
from salign.data.manifest.text_table import for_spreadsheets
from salign.errors import SalignError

IDS, LABELS, CLASSES = ["a", "b", "c"], np.array([1, 0, 1]), ("cat", "dog")


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_probabilities_are_found_by_id_and_the_others_keep_their_label(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "dog,id,note,cat\n0.25,c,x,0.75\n1,z,y,0\n0.6665,a,,0.333\n")
    got = read_targets(path, IDS, LABELS, CLASSES)
    np.testing.assert_allclose(got, [[0.333 / 0.9995, 0.6665 / 0.9995], [1, 0], [0.75, 0.25]], rtol=1e-6)
    assert got.dtype == np.float32
    parquet = tmp_path / "t.parquet"
    pd.read_csv(path).to_parquet(parquet)
    np.testing.assert_array_equal(read_targets(parquet, IDS, LABELS, CLASSES), got)


def test_of_several_labels_each_probability_stands_by_itself(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "id,cat,dog\na,0.9,0.8\nb,0,0\n")
    several = np.array([[1, 1], [0, 1], [0, 1]])
    np.testing.assert_allclose(read_targets(path, IDS, several, CLASSES), [[0.9, 0.8], [0, 0], [0, 1]], rtol=1e-6)


def test_every_fault_is_told_with_its_row(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "id,cat,dog\na,0.5,0.6\nb,much,0.5\nb,1.5,0\n,0.5,0.5\nc,,1\na,0,1\nd,0,0\n")
    with pytest.raises(SalignError) as caught:
        read_targets(path, IDS, LABELS, CLASSES)
    assert str(caught.value).splitlines() == [
        f"{path}: 9 faults",
        "  row 2, id: the probabilities of 'a' sum to 1.1, not 1",
        "  row 3, cat: expected a probability from 0 to 1; got 'much'",
        "  row 4, id: 'b' comes twice; an image has one row",
        "  row 4, cat: expected a probability from 0 to 1; got '1.5'",
        "  row 4, id: the probabilities of 'b' sum to 1.5, not 1",
        "  row 5, id: the cell is empty",
        "  row 6, cat: expected a probability from 0 to 1; the cell is empty",
        "  row 7, id: 'a' comes twice; an image has one row",
        "  row 8, id: the probabilities of 'd' sum to 0, not 1",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,cat\na,1\n", "dog: the column is missing; the header has id, cat"),
        ("name,cat,dog\na,1,0\n", "id: the column is missing; the header has name, cat, dog"),
        ("id,cat,dog\nx,1,0\n", "none of the 3 training images is in it; expected ids such as 'a', got .'x'"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SalignError, match=message):
        read_targets(written(tmp_path / "t.csv", text), IDS, LABELS, CLASSES)


def test_answers_are_counted_person_by_person(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    answers = [
        (f"i{generator.integers(6)}", f"p{generator.integers(4)}", ("cat", "dog", "=owl")[generator.integers(3)])
        for _ in range(60)
    ]
    table = pd.DataFrame(answers, columns=["images", "annotator", "answer"])
    skipped = pd.DataFrame({"images": ["i0", "i9"], "annotator": ["p9", "p9"], "answer": [None, None]})
    path = tmp_path / "annotations.csv"
    for_spreadsheets(pd.concat([table, skipped])).to_csv(path, index=False)
    assert "'=owl" in path.read_text()
    got = count_answers(path)
    assert list(got.columns) == ["id", "=owl", "cat", "dog"]
    expected = slow.shares(answers)
    assert got["id"].tolist() == sorted(expected)
    for row in got.to_dict("records"):
        for answer in ("=owl", "cat", "dog"):
            assert row[answer] == pytest.approx(expected[row["id"]].get(answer, 0.0), abs=1e-12)


def test_without_names_every_row_is_somebody_elses(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "id,answer\na,cat\na,cat\na,dog\nb,dog\n")
    got = count_answers(path).set_index("id")
    assert got.loc["a"].to_dict() == pytest.approx({"cat": 2 / 3, "dog": 1 / 3})
    assert got.loc["b"].to_dict() == {"cat": 0, "dog": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\na,cat\n", "expected a row per answer with the columns id .or images. and answer"),
        ("id,answer\na,\n", "no row has an answer"),
        ("id,answer\na,id\n", "'id' is an answer"),
        ("unit,images,answer\nc,c,x\npair-0,a b,b\n", "row 3: .* which image of a pair was chosen, 'b' of 'a b'"),
        ("images,answer\na b,b\nc d,c\n", "row 2: .* which image of a pair was chosen, 'b' of 'a b'"),
        ("unit,images,answer,review\na,a,edit,edit\nb,b,accept,accept\n", "whether the draft of a map is accepted"),
    ],
)
def test_a_table_without_answers_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SalignError, match=message):
        count_answers(written(tmp_path / "a.csv", text))


def test_an_image_whose_name_has_a_space_is_no_pair_and_a_review_may_ask_for_classes(tmp_path: Path) -> None:
    text = "unit,images,answer,review\ncat 1.png,cat 1.png,cat,accept\ncat 2.png,cat 2.png,cat,reject\nc,c,edit,edit\n"
    got = count_answers(written(tmp_path / "a.csv", text))
    assert got.to_dict("list") == {"id": ["cat 1.png", "cat 2.png"], "cat": [1, 1]}


def test_a_class_that_nobody_chose_has_no_share_and_an_answer_that_is_no_class_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "id,answer\na,cat\na,dog\nb,dog\n")
    got = count_answers(path, ["owl", "dog", "cat"])
    assert got.to_dict("split")["data"] == [["a", 0, 0.5, 0.5], ["b", 0, 1, 0]]
    assert list(got.columns) == ["id", "owl", "dog", "cat"]
    options = ["--class", "owl", "--class", "dog", "--class", "cat"]
    done = CliRunner().invoke(app, ["data", "targets", str(path), str(tmp_path / "t.csv"), *options])
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(
        read_targets(tmp_path / "t.csv", ["b", "a"], np.array([0, 0]), ["cat", "owl", "dog"]),
        [[0, 0, 1], [0.5, 0, 0.5]],
    )
    with pytest.raises(SalignError, match="the answers 'cat' are not among the classes owl, dog"):
        count_answers(path, ["owl", "dog"])
