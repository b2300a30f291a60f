from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from salign.errors import SalignError
from salign.files import replace_text
from salign.runs.folder import RunFolder, environment
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
    assert Recipe.read(run.recipe) == recipe


def test_nothing_half_written_is_left_in_a_finished_run(recipe, tmp_path):
    """kill -9 between the first and the last byte leaves the partial file; the end of the run clears it away."""
    run = RunFolder.of(recipe, tmp_path)
    run.start(recipe)
    for name in (".weights.safetensors.123.partial", ".resume.ckpt.9.partial", ".metrics.csv.77.partial"):
        (run.path / name).write_bytes(b"half")
    run.predictions("val").parent.mkdir()
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
    assert read == environment()
    assert read["libraries"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert read["threads"] == torch.get_num_threads()
    assert {"salign", "timm", "lightning", "numpy"} <= set(read["libraries"])


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    replace_text(path, "first ü")
    assert path.read_text("utf-8") == "first ü"

    def half(self, text, encoding):
        with self.open("w") as file:
            file.write(text[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        replace_text(path, "second")
    assert path.read_text("utf-8") == "first ü"
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]
