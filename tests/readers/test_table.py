import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from salign.errors import SalignError
from salign.readers import read_csv, read_parquet, read_row_groups


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def many(text, rows):
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), pa.array([text]))


def test_a_table_that_unpacks_to_twenty_gigabytes_is_refused_before_it_does(tmp_path):
    path = parquet(tmp_path / "a.parquet", id=many("x" * 2_000_000, 10_000))
    assert path.stat().st_size < 10_000
    before = pa.total_allocated_bytes()
    with pytest.raises(SalignError, match=r"a\.parquet: 20\.0 GB when unpacked; a table has at most 2 GB"):
        read_parquet(path)
    assert pa.total_allocated_bytes() - before < 10**8


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"a": pa.nulls(20_000_001)}, "20,000,001 rows; a table has at most 20,000,000"),
        ({f"c{k}": [1] for k in range(10_001)}, "10,001 columns; a table has at most 10,000"),
        ({"a": [[1, 2]]}, "expected plain values in each cell; column 'a' holds list<element: int64>"),
        ({"a": [{"b": 1}]}, "expected plain values in each cell; column 'a' holds struct<b: int64>"),
    ],
    ids=["rows", "columns", "lists", "objects"],
)
def test_parquet_that_is_refused(columns, complaint, tmp_path):
    with pytest.raises(SalignError, match=complaint):
        read_parquet(parquet(tmp_path / "a.parquet", **columns))


def test_parquet_comes_back_as_it_was(tmp_path):
    table = pa.table(
        {"id": ["a", "b", None, "a"], "n": [1, 2, 3, None], "x": [0.5, -1.0, None, 2.0], "ä": [True, False, None, True]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found = read_parquet(tmp_path / "a.parquet")
    assert found.to_pydict() == table.to_pydict()
    assert found.schema.types == table.schema.types


def test_row_groups_come_one_after_the_other_each_within_the_limits(tmp_path):
    table = pa.table({"id": ["a", "b", "c", "d", "e"], "n": [1, 2, 3, 4, 5]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    found = [rows.to_pydict() for rows in read_row_groups(tmp_path / "a.parquet")]
    assert found == [{"id": ["a", "b"], "n": [1, 2]}, {"id": ["c", "d"], "n": [3, 4]}, {"id": ["e"], "n": [5]}]
    with pytest.raises(SalignError, match=r"20\.0 GB when unpacked"):
        list(read_row_groups(parquet(tmp_path / "large.parquet", id=many("x" * 2_000_000, 10_000))))


def test_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,x\n007,1.5\n"a,b",2\n')
    assert read_csv(path, dtype={"id": str}).to_dict("list") == {"id": ["007", "a,b"], "x": [1.5, 2.0]}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", r"a\.csv: cannot be read as a table: No columns"),
        (b"id,x\n\xff,1", "cannot be read as a table: .*utf-8"),
        (b"id,x\na,b", "cannot be read as a table: could not convert"),
        (b"id\na", "cannot be read as a table: Usecols do not match"),
        (b"," * 10_000, "10,001 columns; a table has at most 10,000"),
    ],
    ids=["empty", "latin", "no number", "lacking", "columns"],
)
def test_csv_that_is_refused(content, complaint, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(SalignError, match=complaint):
        read_csv(tmp_path / "a.csv", usecols=["id", "x"], dtype={"id": str, "x": float})


def test_a_line_with_too_many_cells_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("id,x\na,1\nb,2,3")
    with pytest.raises(SalignError, match=r"cannot be read as a table: .*line 3"):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("read", [read_csv, read_parquet])
def test_a_pipe_is_no_table(read, tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(SalignError, match="is a named pipe; expected a file"):
        read(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    if read is read_parquet:
        with pytest.raises(SalignError, match="b cannot be read as PARQUET"):
            read(tmp_path / "b")


def test_pandas_reads_the_same(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "prob_x": [0.25, 0.75]})
    frame.to_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a.parquet").to_pandas(), frame)
