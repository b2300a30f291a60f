"""The predictions table: round trips and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from references.tables import predictions
from salign.errors import SalignError
from salign.evaluate import PredictionsWriter, columns_for, read_predictions, validate

CLASSES = ["NA", "1", 'naïve, "so"']


@pytest.fixture
def table() -> pd.DataFrame:
    return predictions([CLASSES[k % 3] for k in range(11)], CLASSES, group=["", "x"] * 5 + [""])


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_what_is_written_in_pieces_comes_back(tmp_path: Path, table: pd.DataFrame, name: str) -> None:
    with PredictionsWriter(tmp_path / "new" / name, CLASSES, ["group"]) as writer:
        writer.write(table.iloc[:4])
        writer.write(table.iloc[4:][table.columns[::-1]])
    assert writer.rows == 11
    again = read_predictions(tmp_path / "new" / name)
    assert list(again.columns) == [*columns_for(CLASSES), "group"]
    pd.testing.assert_frame_equal(again, table[again.columns], check_dtype=False)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_a_failed_writer_leaves_the_old_file(tmp_path: Path, table: pd.DataFrame, name: str) -> None:
    path = tmp_path / name
    path.write_text("old")

    def interrupted() -> None:
        with PredictionsWriter(path, CLASSES, ["group"]) as writer:
            writer.write(table)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    with pytest.raises(SalignError, match="group"), PredictionsWriter(path, CLASSES) as writer:
        writer.write(table)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_writer_that_cannot_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SalignError, match="cannot be written"), PredictionsWriter(tmp_path / "file" / "p.csv", CLASSES):
        pass


def test_an_unlabelled_table_is_valid_until_labels_are_asked_for(table: pd.DataFrame) -> None:
    table["label"] = [pd.NA, ""] * 5 + [CLASSES[0]]
    validate(table, CLASSES)
    with pytest.raises(SalignError, match=r"10 fault(?s:.)*row 2 \(i0\), label: empty"):
        validate(table, CLASSES, labelled=True)


def test_all_faults_are_reported_with_their_rows(tmp_path: Path, table: pd.DataFrame) -> None:
    table = table.astype(dict.fromkeys(table.columns, object))
    table.loc[0, "id"] = ""
    table.loc[2, "id"] = "i1"
    table.loc[3, "prob_1"] = np.nan
    table.loc[4, "logit_NA"] = "high"
    table.loc[5, ["prob_NA", "prob_1"]] = [0.9, 0.9]
    table.loc[6, "predicted"] = "cat"
    worst = int(np.argmin(table.loc[7, [f"prob_{name}" for name in CLASSES]].to_numpy(float)))
    table.loc[7, "predicted"] = CLASSES[worst]
    table.loc[8, "label"] = "dog"
    table.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(SalignError) as caught:
        read_predictions(tmp_path / "p.csv")
    lines = str(caught.value).splitlines()
    assert "p.csv: 8 fault(s)" in lines[0]
    wanted = {
        2: "id: empty", 4: "id: comes twice", 5: "prob_1: '' is not a finite", 6: "logit_NA: 'high' is not",
        7: "no probabilities", 8: "predicted: 'cat'", 9: "not the highest", 10: "label: 'dog'",
    }  # fmt: skip
    assert len(lines) == 1 + len(wanted)
    for line, (row, message) in zip(lines[1:], wanted.items(), strict=True):
        assert line.strip().startswith(f"row {row} (")
        assert message in line


@pytest.mark.parametrize("number", range(3))
def test_the_class_predicted_has_the_highest_probability_whichever_it_is(table: pd.DataFrame, number: int) -> None:
    row = int(np.flatnonzero(table["predicted"] != CLASSES[number])[0])
    odd = table.copy()
    odd.loc[row, "predicted"] = CLASSES[number]
    odd.loc[row, [f"prob_{name}" for name in CLASSES]] = [0.5005, 0.5, 0.5] if number else [0.5, 0.5005, 0.5]
    odd.loc[row, [f"prob_{name}" for name in CLASSES]] /= 1.5005
    validate(odd, CLASSES)  # equal but for rounding
    odd.loc[row, [f"prob_{name}" for name in CLASSES]] = [0.6 if k == (number + 1) % 3 else 0.2 for k in range(3)]
    with pytest.raises(SalignError, match=rf"1 fault(?s:.)*row {row + 2} .*has not the highest prob"):
        validate(odd, CLASSES)


def test_a_number_that_is_missing_is_a_fault_whatever_kind_of_column_it_is_in(table: pd.DataFrame) -> None:
    for kind in ("Float64", "float64", object):
        odd = table.assign(prob_1=table["prob_1"].astype(kind))
        odd.loc[3, "prob_1"] = pd.NA if kind == "Float64" else np.nan
        with pytest.raises(SalignError, match=r"1 fault(?s:.)*row 5 \(i3\), prob_1: .* is not a finite number"):
            validate(odd, CLASSES)


def test_many_faults_are_counted_not_listed(table: pd.DataFrame) -> None:
    with pytest.raises(SalignError, match="and 35 more"):
        validate(pd.concat([table.assign(label="?", id=table.id + str(k)) for k in range(5)]), CLASSES)


def test_what_is_not_a_table_is_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    with pytest.raises(SalignError, match="no such file"):
        read_predictions(tmp_path / "none.csv")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(SalignError, match="cannot be read"):
        read_predictions(tmp_path / "bad.parquet")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(SalignError, match="cannot be read"):
        read_predictions(tmp_path / "empty.csv")
    with pytest.raises(SalignError, match=r"logit_cat.*missing; the classes in this table are: NA, 1"):
        validate(table, ["cat", "1"])
    with pytest.raises(SalignError, match="two or more"):
        validate(table, ["1"])
