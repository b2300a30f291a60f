"""A run knows its data: what it gives is what training had, each thing read once, and nothing checked again."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

import salign
from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.experiment.store import Measured, summarise
from salign.readers import file
from salign.runs import run as module
from salign.runs.evaluate import evaluate_run, predict_sets
from salign.runs.run import Run
from salign.train import prepare as preparing
from salign.train.prepare import prepare


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run that may be changed."""
    return Run(shutil.copytree(trained, tmp_path / "run"))


def test_a_run_gives_its_images_model_and_predictions(trained, digits):
    run = salign.Run.open(trained)
    assert run.sets == ["val", "test_iid", "test_ood"]
    assert (run.classes, run.multi_label, run.recipe.seed) == (("1", "7"), False, 0)
    table = pd.read_csv(digits, dtype=str)
    for name in run.sets:
        rows = table[(table["split"] == name) & table["label"].isin(["1", "7"])]
        assert run.data(name).manifest.table["id"].tolist() == rows["id"].tolist()
        predicted = run.predictions(name)
        assert predicted["id"].tolist() == rows["id"].tolist()
        first = run.data(name)[0]
        with torch.inference_mode():
            logits = run.model()(first.images[None]).logits[0]
        np.testing.assert_allclose(predicted[["logit_1", "logit_7"]].iloc[0], logits.numpy(), atol=1e-4)
    assert len(run.data("train")) == ((table["split"] == "train") & table["label"].isin(["1", "7"])).sum()
    accuracy = run.figures().query("split == 'val' and metric == 'accuracy' and group_column == ''")["value"]
    assert accuracy.item() == (run.predictions("val")["label"] == run.predictions("val")["predicted"]).mean()


def test_a_set_that_is_not_there_is_named_beside_those_that_are(trained):
    with pytest.raises(SalignError, match="set: expected train, val, test_iid or test_ood, got 'test'"):
        Run.open(trained).data("test")


def test_what_training_wrote_is_kept_as_a_reader_would_read_it(run):
    written = run.predictions("val")
    predict_sets(run, run.model())
    assert run.predictions_file("val").read_bytes() == Run(run.path).predictions_file("val").read_bytes()
    for name in run.sets:
        pd.testing.assert_frame_equal(run.predictions(name), Run(run.path).predictions(name))
    pd.testing.assert_frame_equal(run.predictions("val"), written, atol=1e-4)


def test_who_changes_a_table_changes_no_other_answer(run):
    mine = run.predictions("val")
    mine["label"] = "changed"
    assert set(run.predictions("val")["label"]) == {"1", "7"}


def counted(monkeypatch, calls):
    """Count the calls of functions, which go through: (module, name) -> number."""
    found: Counter[str] = Counter()
    for where, name in calls:
        original = getattr(where, name)

        def through(*given, original=original, name=name, **options):
            found[name] += 1
            return original(*given, **options)

        monkeypatch.setattr(where, name, through)
    return found


def test_a_cell_reads_manifest_and_predictions_once(run, monkeypatch):
    """Evaluated, analysed and summed up by one object: one manifest, one file of predictions per set."""
    monkeypatch.setattr(sys.modules["salign.train.prepare"], "_READ", {})  # another test may hold this manifest
    read = counted(monkeypatch, [(module, "prepare"), (Manifest, "unchecked"), (Run, "read_predictions")])
    evaluate_run(run, resamples=0)
    summarise(run, 1.0, Measured(sets=None, images=4))
    assert read == {"prepare": 1, "unchecked": 1, "read_predictions": 3}


def test_after_training_nothing_is_read_again(run, monkeypatch):
    run.remember(run.recipe, prepare(run.recipe.data))
    predict_sets(run, run.model())
    read = counted(monkeypatch, [(module, "prepare"), (Manifest, "unchecked"), (Run, "read_predictions")])
    evaluate_run(run, resamples=0)
    summarise(run, 1.0, Measured(sets=None, images=4))
    assert read == {}


def test_no_image_is_checked_again(run, monkeypatch):
    checked = counted(monkeypatch, [(preparing, "find_faults")])
    run.data("val")
    assert checked == {}


def test_runs_on_one_manifest_share_it_until_it_changes(run, digits, tmp_path):
    place = shutil.copytree(digits.parent, tmp_path / "set")
    run.recipe_file.write_text(run.recipe.with_values({"data": {"manifest": str(place / digits.name)}}).to_yaml())
    one, two = Run(run.path), Run(run.path)
    assert one.manifest is two.manifest
    table = Manifest.read(digits).table
    Manifest.of(table.drop(columns="row").head(150), place).write(place / digits.name)
    assert (len(one.manifest), len(Run(run.path).manifest)) == (len(table), 150)


def test_a_run_whose_folder_was_moved_finds_the_manifest_that_moved_along(trained, digits, tmp_path):
    before, now = tmp_path / "before", tmp_path / "now"
    shutil.copytree(trained, now / "studies" / "s" / "runs" / trained.name)
    run = Run(now / "studies" / "s" / "runs" / trained.name)
    text = run.recipe_file.read_text()
    run.recipe_file.write_text(text.replace(str(digits), str(before / digits.name)))
    shutil.copy(digits, now)
    assert run.recipe.data.manifest == str(now / digits.name)
    with (now / digits.name).open("a") as written:
        written.write("\n")  # another manifest is not taken for it
    assert Run(run.path).recipe.data.manifest == str(before / digits.name)
    before.mkdir()
    shutil.copy(digits, before)  # who is where it was is taken
    shutil.copy(digits, now)
    assert Run(run.path).recipe.data.manifest == str(before / digits.name)


def test_a_manifest_is_hashed_once_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "manifest.csv"
    path.write_text("one")
    read = counted(monkeypatch, [(file, "file_digest")])
    two_fresh = file.known_digest(path), file.known_digest(path)
    assert (two_fresh[0], read["file_digest"]) == (two_fresh[1], 2)  # changed just now: it may change again unseen
    os.utime(path, (1e9, 1e9))
    assert [file.known_digest(path) for _ in range(3)] == [two_fresh[0]] * 3
    assert read["file_digest"] == 3
    path.write_text("two")
    os.utime(path, (1e9, 1e9))
    assert file.known_digest(path) == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
    path.unlink()
    with pytest.raises(SalignError, match="no such file"):
        file.known_digest(path)


def test_rows_that_training_left_out_stay_left_out(run, digits, tmp_path):
    """Also where their files can be read by now: the run never saw them."""
    place = shutil.copytree(digits.parent, tmp_path / "set")
    table = pd.read_csv(digits, dtype=str)
    chosen = table[table["label"].isin(["1", "7"])]
    gone = [chosen[chosen["split"] == split].index[0] for split in ("train", "test_ood")]
    recipe = run.recipe.with_values({"data": {"manifest": str(place / digits.name), "faults": "leave_out"}})
    run.recipe_file.write_text(recipe.to_yaml())
    for row in gone:
        (place / table["path"][row]).write_bytes(b"no image")
    before = prepare(recipe.data)
    pd.DataFrame(before.left_out).to_csv(run.path / "left_out.csv", index=False)
    for row in gone:
        Image.new("RGB", (64, 64)).save(place / table["path"][row], format="PNG")
    later = Run(run.path)
    assert [fault.row for fault in before.left_out] == [row + 2 for row in gone]
    assert later.prepared.left_out == before.left_out
    for name, dataset in {"train": before.train, **before.sets}.items():
        assert later.data(name).manifest.table["id"].tolist() == dataset.manifest.table["id"].tolist()
    assert not set(table["id"][gone]) & set(later.training_rows.table["id"])
    assert len(later.training_rows) == len(before.train)


def test_sets_that_are_measured_need_nothing_that_training_alone_took(run, tmp_path):
    recipe = yaml.safe_load(run.recipe_file.read_text())
    recipe["data"] |= {"drawn": {"by": str(tmp_path / "gone")}, "targets": str(tmp_path / "gone.csv")}
    expected = run.data("val")[3]
    run.recipe_file.write_text(yaml.safe_dump(recipe))
    got = Run(run.path).data("val")[3]
    assert torch.equal(got.images, expected.images)
    assert torch.equal(got.saliency, expected.saliency)
    with pytest.raises(SalignError, match="gone"):
        Run(run.path).data("train")
