"""A run folder is found by its content and opened when it is whole; each reader notices a cut file of predictions."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from command import salign
from salign.errors import SalignError
from salign.evaluate import read_predictions
from salign.experiment.report.answers import read_answers
from salign.files import replace_text
from salign.runs.analyse import analyse_run
from salign.runs.compare import answers_note
from salign.runs.evaluate import evaluate_run
from salign.runs.folder import RunFolder, commit_of, environment
from salign.runs.run import Run
from salign.train.recipe import Recipe


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "m.csv").write_text("id\n")
    return Recipe.build({"name": "name", "data": {"manifest": str(tmp_path / "m.csv")}})


def test_the_folder_is_found_by_content(recipe, tmp_path):
    run = RunFolder.of(recipe, tmp_path)
    assert run.path == tmp_path / f"name-{recipe.fingerprint()}"
    assert RunFolder.of(recipe.with_values({"seed": 1}), tmp_path).path != run.path


def test_it_is_open_to_reading_only_when_done(recipe, tmp_path):
    run = RunFolder.of(recipe, tmp_path)
    with pytest.raises(SalignError, match=r"no run folder: expected recipe\.yaml"):
        RunFolder.open(run.path)
    run.start(recipe)
    run.resume.write_text("everything")
    with pytest.raises(SalignError, match=r"has not finished.*--resume"):
        RunFolder.open(run.path)
    assert not run.done
    run.finish()
    assert RunFolder.open(run.path) == run
    assert not run.resume.exists()
    assert Recipe.read(run.recipe_file) == recipe


def test_nothing_half_written_is_left_in_a_finished_run(recipe, tmp_path):
    """kill -9 between the first and the last byte leaves the partial file; the end of the run clears it away."""
    run = RunFolder.of(recipe, tmp_path)
    run.start(recipe)
    for name in (".weights.safetensors.123.partial", ".resume.ckpt.9.partial", ".metrics.csv.77.partial"):
        (run.path / name).write_bytes(b"half")
    run.predictions_file("val").parent.mkdir()
    (run.path / "predictions" / ".val.csv.99.partial").write_bytes(b"half")
    run.finish()
    assert sorted(path.name for path in run.path.rglob("*")) == [
        "done",
        "environment.json",
        "predictions",
        "recipe.yaml",
    ]


def test_the_environment_says_what_it_ran_on(recipe, tmp_path):
    run = RunFolder.of(recipe, tmp_path)
    run.start(recipe)
    read = json.loads((run.path / "environment.json").read_text())
    begun = datetime.datetime.fromisoformat(read.pop("begun"))
    assert abs(datetime.datetime.now(datetime.UTC) - begun) < datetime.timedelta(minutes=1)
    assert read == environment()
    assert read["processor"]
    assert read["libraries"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert read["threads"] == torch.get_num_threads()
    assert {"salign", "timm", "lightning", "numpy"} <= set(read["libraries"])


@pytest.mark.parametrize(("noted", "begun"), [('{"begun": "2026-01-02T03:04:05+00:00"}', "2026-01-02"), ("{", "20")])
def test_a_run_that_goes_on_began_when_it_began(recipe, tmp_path, noted, begun):
    run = RunFolder.of(recipe, tmp_path)
    run.path.mkdir()
    (run.path / "environment.json").write_text(noted)
    run.start(recipe)
    after = json.loads((run.path / "environment.json").read_text())
    assert after["begun"].startswith(begun)
    assert (after["begun"][:10] == "2026-01-02") == (begun == "2026-01-02")
    assert after["libraries"]["torch"]


def test_the_commit_of_a_checkout_is_noted_and_whether_it_was_changed(tmp_path):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True, text=True).stdout

    assert commit_of(tmp_path) is None  # no checkout
    commit_of.cache_clear()
    git("init", "-q")
    (tmp_path / "a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "-q", "-m", "a")
    head = git("rev-parse", "HEAD").strip()
    git("tag", "-a", "v1", "-m", "v1")
    assert commit_of(tmp_path) == head
    commit_of.cache_clear()
    (tmp_path / "a.txt").write_text("b")
    assert commit_of(tmp_path) == f"{head}-dirty"
    commit_of.cache_clear()


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    replace_text(path, "first ü")
    assert path.read_text("utf-8") == "first ü"

    def half(self, text, encoding, newline):
        with self.open("w") as file:
            file.write(text[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        replace_text(path, "second")
    assert path.read_text("utf-8") == "first ü"
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]


READERS = {
    "evaluate": lambda run: evaluate_run(run, resamples=0),
    "analyse": lambda run: analyse_run(run, images=2),
    "compare": lambda run: answers_note(run, "test_ood"),
    "report": lambda run: read_answers([str(run.path)], "test_ood"),
}


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a finished run, without what it was trained with."""
    return Run(shutil.copytree(trained, tmp_path / "run"))


def cut(run: Run, lines: int, letters: int = 0) -> str:
    """Leave so many lines of the file and so many letters of the next; give what the whole file was."""
    path = run.predictions_file("test_ood")
    whole = path.read_text()
    rows = whole.splitlines(keepends=True)
    path.write_text("".join(rows[:lines]) + rows[lines][:letters] if lines < len(rows) else whole[:-letters])
    return whole


def test_what_a_run_notes_is_the_rows_of_its_files(trained):
    lines = {path.stem: len(path.read_text().splitlines()) - 1 for path in (trained / "predictions").iterdir()}
    assert min(lines.values()) > 10
    assert json.loads((trained / "done").read_text()) == {"predicted": lines}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("lines", [1, 5, -1])
def test_a_cut_at_the_end_of_a_line(reader, lines, run, monkeypatch):
    rows = len(run.predictions_file("test_ood").read_text().splitlines()) - 1
    cut(run, lines if lines > 0 else rows)
    left = lines - 1 if lines > 0 else rows - 1
    monkeypatch.setattr("salign.runs.analyse._analyse_set", lambda *_, **__: pytest.fail("it was worked on first"))
    with pytest.raises(SalignError, match=rf"test_ood.csv is damaged: {left} rows of {rows}; it may have been cut off"):
        READERS[reader](run)


@pytest.mark.parametrize("reader", READERS)
def test_a_cut_within_the_last_line_that_leaves_a_row_as_good_as_any(reader, run):
    """The last cell is text of the manifest, or a number whose last digits are gone; the newline is."""
    rows = len(run.predictions_file("test_ood").read_text().splitlines()) - 1
    cut(run, rows + 1, letters=1)
    assert len(read_predictions(run.predictions_file("test_ood"))) == rows
    with pytest.raises(SalignError, match=rf"test_ood.csv is damaged: its last line, row {rows + 1}, has no end"):
        READERS[reader](run)


@pytest.mark.parametrize("letters", [1, 30, 60])
def test_a_cut_within_a_line_that_leaves_no_row(letters, run):
    cut(run, 5, letters)
    for reader in READERS.values():
        with pytest.raises(SalignError, match=r"test_ood\.csv"):
            reader(run)


def test_an_empty_file_and_none(run):
    run.predictions_file("test_ood").write_text("")
    with pytest.raises(SalignError, match=r"test_ood\.csv"):
        run.read_predictions("test_ood")
    run.predictions_file("test_ood").unlink()
    with pytest.raises(SalignError, match="no such file"):
        run.read_predictions("test_ood")


def test_the_commands_say_so_and_keep_what_they_had_written(run):
    before = run.evaluation.read_bytes()
    cut(run, 5)
    for command in ("evaluate", "analyse"):
        said = salign(command, run.path, code=2).err
        assert said.count("\n") == 1
        assert f"{run.predictions_file('test_ood')} is damaged: 4 rows of " in said
        assert f"delete {run.path} and train again" in said
    assert run.evaluation.read_bytes() == before


def test_a_run_from_before_noted_no_rows_and_is_read_as_it_is(run):
    """So that a cut at the end of a line cannot be known there, which the docstring says; one within a line is."""
    (run.path / "done").write_text("")
    cut(run, 5)
    assert len(run.read_predictions("test_ood")) == 4
    cut(run, 4, letters=12)
    with pytest.raises(SalignError, match=r"test_ood\.csv"):
        run.read_predictions("test_ood")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"predicted": {"val": "many"}}', '{"predicted": {}, "more": 1}', "[" * 5000]
)
def test_a_damaged_note_is_an_error(content, run):
    (run.path / "done").write_text(content)
    with pytest.raises(SalignError, match="done"):
        run.read_predictions("val")
