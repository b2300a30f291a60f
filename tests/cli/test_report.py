from __future__ import annotations

import pytest
import yaml

from command import salign
from made_study import made, study


@pytest.fixture
def folder(digits, tmp_path):
    """A study file, and its finished cells in `studies`."""
    plan = study(digits, grids=[{"arms": ["ce", "cyborg"], "seeds": 2}])
    (tmp_path / "small.yaml").write_text(plan.to_yaml())
    made(tmp_path / "studies", digits, plan)
    return tmp_path


def test_the_page_and_its_tables_are_written(folder):
    ended = salign("report", folder / "small.yaml", "--out", folder / "studies")
    page = folder / "studies/small/report.html"
    assert ended.last.startswith(f"wrote {page}. Next: open it in a browser")
    assert "cyborg reaches accuracy" in page.read_text("utf-8")
    for name in ("results.csv", "table.csv", "table.md", "table.tex"):
        assert "cyborg" in (page.parent / name).read_text("utf-8")


def test_a_study_that_is_not_finished_says_so(folder):
    content = yaml.safe_load((folder / "small.yaml").read_text())
    content["grids"][0]["seeds"] = 3
    (folder / "small.yaml").write_text(yaml.safe_dump(content))
    ended = salign("report", folder / "small.yaml", "--out", folder / "studies", "--quiet")
    assert "2 of 6 runs are missing" in ended.out
    assert "2 of 6 cells are missing" in (folder / "studies/small/report.html").read_text("utf-8")


def test_a_folder_is_taken_as_salign_run_takes_it(folder):
    (folder / "study.yaml").write_text((folder / "small.yaml").read_text())
    assert f"wrote {folder}/studies/small/report.html" in salign("report", folder).last


def test_a_report_of_other_values_does_not_replace_that_of_what_was_run(folder):
    """As after `salign run --set ...` and `salign report` without it: the page would say that all runs are missing."""
    (folder / "study.yaml").write_text((folder / "small.yaml").read_text())
    salign("report", folder)
    page, ran = folder / "studies/small/report.html", folder / "studies/small/study.yaml"
    ran.write_text((folder / "study.yaml").read_text())
    before = page.read_bytes()
    changed = yaml.safe_load((folder / "study.yaml").read_text())
    changed["recipe"].setdefault("train", {})["epochs"] = 7
    (folder / "study.yaml").write_text(yaml.safe_dump(changed))
    said = salign("report", folder, code=2).err
    assert f"salign report {ran} --out {folder}/studies" in said
    assert "the 4 runs in" in said
    assert page.read_bytes() == before
    assert "4 of 4" not in salign("report", ran, "--out", folder / "studies").out


def test_the_folder_of_the_study_itself_is_taken_and_names_lead_to_it(folder, monkeypatch):
    plan, own = folder / "small.yaml", folder / "studies" / "small"
    (own / "study.yaml").write_text(plan.read_text())
    assert f"wrote {own}/report.html" in salign("report", own).last
    (folder / "other").mkdir()
    (folder / "other" / "study.yaml").write_text("name: other\n")
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder)
    for typed, meant in {
        "small": "studies/small",
        "smal": "studies/small",
        "studies": "studies/small",
        "othr": "other",
        "other/study.yml": "other/study.yaml",
    }.items():
        said = salign("report", typed, code=2).err
        assert said.endswith(f"or the folder that it lies in. Perhaps: salign report {meant}\n"), said
    plan.rename("of people.yaml")
    assert salign("report", "of people", code=2).err.endswith("salign report 'of people.yaml'\n")
    assert "salign runs lists the studies" in salign("report", "last", code=2).err
    assert "For a folder of images: salign init empty" in salign("report", "empty", code=2).err
    monkeypatch.chdir(folder / "empty")
    said = salign("report", "small", "--out", folder / "studies", code=2).err
    assert said.endswith(f"Perhaps: salign report {own}\n")


def test_overrides_reach_the_report(folder):
    salign("report", folder / "small.yaml", "--out", folder / "studies", "--set", "baseline=cyborg")
    assert "Differences to cyborg" in (folder / "studies/small/report.html").read_text("utf-8")
    assert "basline" in salign("report", folder / "small.yaml", "--set", "basline=ce", code=2).err


def test_a_file_that_is_no_study(tmp_path):
    assert str(tmp_path / "gone.yaml") in salign("report", tmp_path / "gone.yaml", code=2).err
