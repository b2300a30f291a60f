"""A row per run: what ran where, and each figure in the column of its set, group and name."""

from __future__ import annotations

import json
import math

import pandas as pd

from salign.experiment.run_table import run_table, write_run_table

HEAD = "split,group_column,group,metric,value,low,high,n,note"


def run_at(path, lines, environment=None):
    path.mkdir()
    (path / "evaluation.csv").write_text("\n".join([HEAD, *lines, ""]))
    if environment is not None:
        (path / "environment.json").write_text(environment)
    return str(path)


def rows_of(*paths):
    """Runs of the arms b, a, ... of one study, in this order."""
    rows = [
        ("data", "network", arm, -1, 1.0, 0, path, f"hash{arm}", 1.5) for arm, path in zip("bac", paths, strict=False)
    ]
    columns = ["dataset", "network", "arm", "images", "annotated", "seed", "path", "hash", "seconds"]
    return pd.DataFrame(rows, columns=columns)


def test_every_figure_has_a_column_and_every_run_a_row(tmp_path):
    environment = {"commit": "abc-dirty", "processor": "a CPU", "threads": 2, "begun": "2026-01-02T03:04:05+00:00"}
    first = run_at(
        tmp_path / "b-1",
        [
            "val,,,accuracy,0.75,0.5,1.0,4,",
            'test,,,"auroc[a,b]",0.25,,,4,"a note, with a comma"',
            "test,site,north,accuracy,0.5,,,2,",
            "test,site,NA,accuracy,0.25,,,2,",
            "test,site,NA,auroc,,,,2,one class only",
        ],
        json.dumps(environment | {"libraries": {"salign": "0.1.0", "torch": "2.0"}}),
    )
    second = run_at(tmp_path / "a-1", ["val,,,accuracy,1.0,,,4,"], "damaged")
    table = run_table(rows_of(first, second))
    assert list(table["arm"]) == ["a", "b"]
    assert list(table["run"]) == ["a-1", "b-1"]
    assert list(table["val/accuracy"]) == [1.0, 0.75]
    row = table.iloc[1]
    assert (row["commit"], row["processor"], row["begun"]) == ("abc-dirty", "a CPU", "2026-01-02T03:04:05+00:00")
    assert (row["salign"], row["torch"], row["threads"], row["hash"]) == ("0.1.0", "2.0", 2, "hashb")
    assert row["test/auroc[a,b]"] == 0.25
    assert (row["test/site=north/accuracy"], row["test/site=NA/accuracy"]) == (0.5, 0.25)
    assert row["test/site/worst_group_accuracy"] == 0.25
    assert math.isnan(row["test/site=NA/auroc"])
    assert table.iloc[0][["commit", "test/site/worst_group_accuracy"]].isna().all()


def test_it_is_read_back_from_the_folder_of_the_study(tmp_path):
    path = run_at(tmp_path / "b-1", ["val,,,accuracy,0.1,,,4,"])
    read = pd.read_csv(write_run_table(rows_of(path), tmp_path))
    assert read.loc[0, ["arm", "run", "val/accuracy"]].tolist() == ["b", "b-1", 0.1]


def test_a_study_without_runs_has_the_columns(tmp_path):
    assert list(pd.read_csv(write_run_table(rows_of(), tmp_path)))[:3] == ["dataset", "network", "arm"]
