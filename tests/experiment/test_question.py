"""What a study asked is written down once, before its first run, and every later change is named."""

from __future__ import annotations

import datetime
import json

import pytest

from salign.errors import SalignError
from salign.experiment.question import note_question, question_in_words, read_question
from salign.experiment.store import StudyFolder
from salign.experiment.study import Study


def study_of(**changes):
    content = {
        "name": "small",
        "question": "Does it help?",
        "success": "cyborg is above ce.",
        "recipe": {"data": {"manifest": "/home/somebody/set/manifest.csv"}},
        "grids": [{"arms": ["ce", "cyborg"], "seeds": 2}],
    }
    return Study.build(content | changes)


def test_what_is_asked_is_written_down_at_the_first_run_alone(tmp_path):
    folder = StudyFolder(tmp_path / "small")
    folder.start(study_of(), [])
    first = (folder.path / "question.json").read_bytes()
    folder.start(study_of(metric="accuracy"), [], finished=3)
    assert (folder.path / "question.json").read_bytes() == first
    content = json.loads(first)
    begun = datetime.datetime.fromisoformat(content["date"])
    assert abs(datetime.datetime.now(datetime.UTC) - begun) < datetime.timedelta(minutes=1)
    assert (content["finished"], content["study"]["metric"]) == (0, "auroc")
    assert content["study"]["success"] == "cyborg is above ce."
    assert "somebody" not in first.decode()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, "no"),
        ({"title": "Another title", "analysis": {"images": 5}}, "no"),  # decides nothing
        ({"recipe": {"data": {"manifest": "/elsewhere/manifest.csv"}}}, "no"),  # the same files on another machine
        ({"metric": "accuracy", "success": "cyborg is not below ce."}, "success, metric"),
        ({"grids": [{"arms": ["ce", "cyborg"], "seeds": 3}]}, "grids"),
        ({"arms": {"cyborg": {"loss": {"name": "cyborg", "alpha": 0.02}}}}, "arms"),
        ({"recipe": {"data": {"manifest": "/elsewhere/manifest.csv", "limit": 5}}}, "recipe"),
    ],
)
def test_what_was_changed_since_is_named(tmp_path, changes, named):
    note_question(study_of(), tmp_path, 0)
    date = read_question(tmp_path).date
    words = question_in_words(study_of(**changes), tmp_path)
    when = f"{date[:10]} {date[11:16]}"
    assert words[-1] == f"Asked on {when} UTC, before run 1; changed since: {named}."
    assert words[0] == f"Success was to be: {changes.get('success', 'cyborg is above ce.')}"


def test_a_study_that_was_begun_earlier_says_how_much_was_finished(tmp_path):
    assert question_in_words(study_of(success=""), tmp_path) == [
        "What was asked before the first run was not written down."
    ]
    note_question(study_of(), tmp_path, 4)
    assert "when 4 runs were already finished; changed since: no." in question_in_words(study_of(), tmp_path)[-1]


def test_a_key_that_came_later_is_no_change(tmp_path):
    note_question(study_of(), tmp_path, 0)
    path = tmp_path / "question.json"
    content = json.loads(path.read_text())
    del content["study"]["success"]
    path.write_text(json.dumps(content))
    assert read_question(tmp_path).changes(study_of(success="")) == []
    assert read_question(tmp_path).changes(study_of()) == ["success"]


@pytest.mark.parametrize("content", ["", "[]", '{"date": 5}', '{"date": "x", "finished": "1", "study": {}}'])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "question.json").write_text(content)
    with pytest.raises(SalignError, match=r"question\.json"):
        read_question(tmp_path)
