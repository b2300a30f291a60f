"""A row of evidence names its runs, its data and its figure; the table of this project names studies that there are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from salign.cli import app
from salign.errors import SalignError
from salign.experiment import runner
from salign.experiment.reproduce import EvidenceTable, figure_of_row, study_of_row
from salign.experiment.store import StudyFolder, cell_file
from salign.experiment.study import Study, expand

ROOT = Path(__file__).parents[2]
ROW = {
    "study": "study.yaml",
    "arm": "cyborg",
    "minus": "ce",
    "images": 20,
    "seeds": [0, 2],
    "set": "test_ood",
    "metric": "accuracy",
    "expected": 0.25,
    "tolerance": 0.02,
    "minutes": 1,
    "prepare": ["python prepare.py digits data/digits"],
    "commit": "abc1234",
}


@pytest.fixture
def table(tmp_path, digits):
    def write(**changes):
        study = {
            "name": "small",
            "recipe": {"data": {"manifest": str(digits), "test": ["test_iid", "test_ood"], "classes": ["1", "7"]}},
            "target": "test_iid",
            "grids": [{"arms": ["ce", "cyborg", "shuffled"], "seeds": 9}],
        }
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | changes.pop("study", {})))
        path = tmp_path / "evidence.yaml"
        path.write_text(yaml.safe_dump({"rows": {"gain": ROW | changes}}))
        return path

    return write


def figures(values):
    """Accuracy of arms by seed; what belongs to other sets, sizes and metrics is 9."""
    rows = []
    for arm, by_seed in values.items():
        for seed, value in by_seed.items():
            place = ("data", "network", arm)
            rows.append((*place, 20, 1.0, seed, "test_ood", "accuracy", value))
            rows.append((*place, 20, 1.0, seed, "test_iid", "accuracy", 9.0))
            rows.append((*place, 20, 1.0, seed, "test_ood", "ece", 9.0))
            rows.append((*place, -1, 1.0, seed, "test_ood", "accuracy", 9.0))
            rows.append((*place, 20, 0.5, seed, "test_ood", "accuracy", 9.0))
    columns = ["dataset", "network", "arm", "images", "annotated", "seed", "set", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


def finish(study, out, accuracy):
    """Write what the finished runs of a study leave: this accuracy for cyborg, and .5 for the other arm."""
    for cell in expand(study):
        run = StudyFolder.of(study, out).run(cell)
        run.path.mkdir(parents=True)
        value = accuracy if cell.arm == "cyborg" else 0.5
        cell_file(run).write_text(f'{{"seconds": 1.0, "figures": {{"test_ood": {{"accuracy": {value}}}}}}}')


def test_a_row_needs_its_own_runs_alone(table):
    path = table()
    study = study_of_row(EvidenceTable.read(path).rows["gain"], path)
    cells = expand(study)
    assert {(cell.arm, cell.images, cell.seed) for cell in cells} == {
        (arm, 20, seed) for arm in ("ce", "cyborg") for seed in (0, 2)
    }
    whole = Study.read(path.parent / "study.yaml", ["grids=[{arms: [ce, cyborg], images: [20], seeds: [0, 2]}]"])
    assert {cell.recipe.fingerprint() for cell in cells} == {cell.recipe.fingerprint() for cell in expand(whole)}


def test_the_figure_is_the_mean_over_seeds_less_that_of_the_other_arm(table):
    values = {"cyborg": {0: 0.75, 1: 9.0, 2: 0.5}, "ce": {0: 0.25, 1: 9.0, 2: 0.5}}
    assert figure_of_row(EvidenceTable.read(table()).rows["gain"], figures(values)) == 0.25
    assert figure_of_row(EvidenceTable.read(table(minus=None)).rows["gain"], figures(values)) == 0.625
    del values["ce"][2]
    with pytest.raises(SalignError, match=r"not measured for the arm ce, seeds 2\."):
        figure_of_row(EvidenceTable.read(table()).rows["gain"], figures(values))


def test_without_its_data_it_says_what_writes_them(table, tmp_path):
    path = table(study={"recipe": {"data": {"manifest": str(tmp_path / "gone" / "manifest.csv")}}})
    with pytest.raises(SalignError, match=r"gone/manifest\.csv\. Write them first: python prepare\.py digits"):
        study_of_row(EvidenceTable.read(path).rows["gain"], path)


@pytest.mark.parametrize(("value", "code", "words"), [(0.74, 0, ": within"), (0.78, 1, ": NOT within")])
def test_the_command_says_whether_the_figure_is_within_the_tolerance(table, tmp_path, monkeypatch, value, code, words):
    """Nothing is trained: the runs are finished, and hold this value and .5."""
    path = table()
    finish(study_of_row(EvidenceTable.read(path).rows["gain"], path), tmp_path / "out", value)
    monkeypatch.setattr(runner, "check_maps", lambda recipes: None)
    answer = CliRunner().invoke(app, ["reproduce", "gain", "--table", str(path), "--out", str(tmp_path / "out")])
    assert answer.exit_code == code
    assert "gain: accuracy on test_ood of cyborg − ce, 20 training images, seeds 0, 2; about 1 min" in answer.output
    found = f"gain: expected 0.2500 ± 0.02 (commit abc1234), got {value - 0.5:.4f}{words} the tolerance"
    assert found in answer.output


def test_a_pattern_names_several_rows_and_each_is_compared(table, tmp_path, monkeypatch):
    path = table()
    rows = {"swap-gain": ROW, "other": ROW, "swap-plain": ROW | {"minus": None, "expected": 0.5}}
    path.write_text(yaml.safe_dump({"rows": rows}, sort_keys=False))
    evidence = EvidenceTable.read(path)
    assert list(evidence.matching("swap-*")) == ["swap-gain", "swap-plain"]
    assert list(evidence.matching("other")) == ["other"]
    with pytest.raises(SalignError, match="no row is called 'swop-gain'; did you mean 'swap-gain'"):
        evidence.matching("swop-gain")
    finish(study_of_row(evidence.rows["swap-gain"], path), tmp_path / "out", 0.75)
    monkeypatch.setattr(runner, "check_maps", lambda recipes: None)
    answer = CliRunner().invoke(app, ["reproduce", "swap-*", "--table", str(path), "--out", str(tmp_path / "out")])
    assert answer.exit_code == 1
    assert "swap-gain: expected 0.2500 ± 0.02 (commit abc1234), got 0.2500: within the tolerance" in answer.output
    assert "swap-plain: expected 0.5000 ± 0.02 (commit abc1234), got 0.7500: NOT within the tolerance" in answer.output
    assert "compare recipe.yaml and environment.json of swap-plain" in answer.output
    assert "other:" not in answer.output


def test_the_rows_of_this_project_name_arms_and_sets_of_studies_that_there_are(monkeypatch):
    path = ROOT / "recipes" / "evidence.yaml"
    rows = EvidenceTable.read(path).rows
    monkeypatch.setattr("salign.experiment.reproduce.Path.exists", lambda self: True)
    for row in rows.values():
        study = study_of_row(row, path)
        assert study.target == row.set
        assert row.set in dict.fromkeys(study.recipe["data"]["test"])
    listed = CliRunner().invoke(app, ["reproduce", "--table", str(path)]).output
    assert all(f"{name}: " in listed for name in rows)


def test_a_row_names_the_network_where_its_study_has_several(table):
    networks = {"small": {}, "large": {"model": {"backbone": "resnet50"}}}
    path = table(study={"networks": networks})
    row = EvidenceTable.read(path).rows["gain"]
    measured = figures({"cyborg": {0: 0.75, 2: 0.7}, "ce": {0: 0.5, 2: 0.5}}).replace("network", "small")
    measured = pd.concat([measured, measured.assign(network="large", value=0.5)])
    with pytest.raises(SalignError, match="network: the row must name one of large, small"):
        figure_of_row(row, measured)
    path = table(study={"networks": networks}, network="small")
    row = EvidenceTable.read(path).rows["gain"]
    assert figure_of_row(row, measured) == pytest.approx(0.225)
    assert {cell.network for cell in expand(study_of_row(row, path))} == {"small"}
