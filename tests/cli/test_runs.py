"""`salign runs` as typed, and names of runs where commands take a run."""

from __future__ import annotations

import pytest

from command import salign


def test_runs_and_studies_with_their_figures(trained, tmp_path, monkeypatch):
    (tmp_path / "runs").symlink_to(trained.parent, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    assert salign("runs").last.startswith("there is no run below this folder")  # links are not followed
    (tmp_path / "runs").unlink()
    study = tmp_path / "studies" / "s"
    for arm, seed, value in (("ce", 0, 0.5), ("ce", 1, 0.7), ("guided", 0, 0.9)):
        folder = study / "runs" / f"{arm}-seed{seed}-0123456{seed}"
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").touch()
        (folder / "cell.json").write_text(f'{{"seconds": 1.0, "figures": {{"test": {{"auroc": {value}}}}}}}')
    (study / "study.yaml").write_text("name: s\nrecipe: {}\ngrids: [{arms: [ce, guided], seeds: 2}]\n")
    (tmp_path / "runs" / trained.name).mkdir(parents=True)
    for name in ("recipe.yaml", "evaluation.csv", "done"):
        (tmp_path / "runs" / trained.name / name).write_bytes((trained / name).read_bytes())
    (study / "cells.json").write_text('["ce-seed0-01234560", "guided-seed0-01234560", "guided-seed1-89abcdef"]')
    (study / "runs" / ".guided-seed1-89abcdef.lock").touch()
    changed = salign("runs").out
    assert "study s (studies/s): 2 of 3 runs are done; auroc on test" in changed
    assert "0.500 (1 runs)" in changed
    assert "  and 1 of settings that the study had before" in changed
    (study / "cells.json").write_text("[")
    assert "studies/s: studies/s/cells.json" in salign("runs").out
    (study / "cells.json").unlink()  # as a version before left it
    shown = salign("runs")
    assert "study s (studies/s): 3 of 4 runs are done; auroc on test" in shown.out
    assert "0.600 ± 0.141 (2 runs)" in shown.out
    assert "0.900 (1 runs)" in shown.out
    assert "report: none yet; salign report studies/s/study.yaml --out studies" in shown.out
    assert trained.name in shown.out
    assert "test_iid: auroc" in shown.out
    assert "not finished: 0 epochs are done" in shown.out
    assert shown.last == "Next: salign explain last"


@pytest.mark.parametrize("words", [["evaluate"], ["explain"], ["analyse"], ["predict", "photos"]])
def test_a_name_that_no_run_has(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, *rest = words
    said = salign(command, "faces", *rest, code=2).err
    assert "faces is no run folder: expected recipe.yaml in it, or the name of a run" in said


def test_last_is_the_run_that_ended_last(trained, monkeypatch):
    monkeypatch.chdir(trained.parent.parent)
    said = salign("evaluate", "last", "--resamples", "0", "--threshold", "nonsense", code=2).err
    assert "nonsense" in said
