from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.reading.datamodule import collate, predict_loader
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate.agreement import METRICS
from salign.evaluate.reliance import FILLS, reliance
from salign.models import load
from salign.runs import analyse as module
from salign.runs.analyse import NAMED, analyse_run, draw_images, unmarked_classes
from salign.runs.compare import read_maps
from salign.runs.run import Run
from salign.train.recipe import Recipe

SETS = ("val", "test_iid", "test_ood")


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run that may be changed."""
    return Run(shutil.copytree(trained, tmp_path / "run"))


def one_by_one(run, digits, name, images, seed, of):
    """The images drawn, in the order drawn, each read, shown to the model and compared by itself."""
    classifier = load(run.path)
    table = pd.read_csv(run.predictions_file(name), dtype=str)
    order = np.random.default_rng(seed).permutation(len(table))[:images]
    manifest = Manifest.read(digits)
    rows = [int(np.flatnonzero(manifest.table["id"] == table["id"][k])[0]) for k in order]
    dataset = SaliencyDataset(manifest.take(rows), classifier.classes, build_transform(64))
    seen = []
    for k in range(len(dataset)):
        batch = collate([dataset[k]])
        with torch.inference_mode():
            output = classifier(batch.images)
            seen.append((batch, output, output.cam(batch.labels if of == "true" else output.logits.argmax(1))))
    return classifier, table.iloc[order], seen


@pytest.mark.parametrize("of", ["predicted", "true"])
def test_every_row_is_what_the_image_gives_by_itself(run, digits, of):
    found = analyse_run(run, images=12, seed=3, of=of)["agreement"]
    assert list(found.columns) == [*NAMED, *METRICS]
    assert found["set"].tolist() == [name for name in SETS for _ in range(12)]
    for name in SETS:
        _, table, seen = one_by_one(run, digits, name, 12, 3, of)
        rows = found[found["set"] == name]
        assert rows["id"].tolist() == table["id"].tolist()
        assert rows["label"].tolist() == table["label"].tolist()
        assert rows["predicted"].tolist() == table["predicted"].tolist()
        for metric, compare in METRICS.items():
            expected = [float(compare(raw, batch.saliency[:, 0])) for batch, _, raw in seen]
            np.testing.assert_allclose(rows[metric], expected, rtol=1e-3, atol=1e-4)
    assert found["cc"].nunique() == len(found)


def test_maps_are_scaled_and_stand_beside_the_mean_of_peoples(run, digits):
    analyse_run(run, images=9, seed=1)
    with np.load(run.path / "analysis" / "maps.npz", allow_pickle=False) as file:
        assert set(file.files) == {f"{name}/{field}" for name in SETS for field in
                                   ("ids", "maps", "human", "annotated", "predicted")}  # fmt: skip
    for name, kept in read_maps(run).items():
        classifier, table, seen = one_by_one(run, digits, name, 9, 1, "predicted")
        assert kept.ids.tolist() == table["id"].tolist()
        assert kept.annotated.all()
        assert [classifier.classes[k] for k in kept.predicted] == table["predicted"].tolist()
        people = 0
        for got, (batch, _, raw) in zip(kept.maps, seen, strict=True):
            values = raw[0].numpy()
            np.testing.assert_allclose(got, (values - values.min()) / (values.max() - values.min()), atol=1e-3)
            cells = batch.saliency[0, 0].numpy().reshape(8, 8, 8, 8).mean((1, 3))
            people = people + (cells - cells.min()) / (cells.max() - cells.min()) / 9
        np.testing.assert_allclose(kept.human, people, atol=1e-5)
        assert (kept.maps.dtype, kept.human.dtype, kept.annotated.dtype, kept.predicted.dtype) == (
            np.float16, np.float32, np.bool_, np.int64,
        )  # fmt: skip


def test_reliance_is_measured_on_the_same_images(run, digits):
    found = analyse_run(run, images=12, seed=3)["reliance"]
    assert list(found.columns) == ["set", "kept", "fill", "metric", "value", "sd", "images", "note"]
    for name in SETS:
        classifier, _, seen = one_by_one(run, digits, name, 12, 3, "predicted")
        expected = reliance(
            lambda images, model=classifier: model(images).logits,
            [batch for batch, _, _ in seen],
            positive=1,
            generator=torch.Generator().manual_seed(3),
            classes=("1", "7"),
        )
        got = found[found["set"] == name].drop(columns="set").reset_index(drop=True)
        assert len(got) == 4 * (1 + 2 * len(FILLS))
        pd.testing.assert_frame_equal(got, expected, rtol=1e-4, atol=1e-4)


def test_all_runs_of_a_study_see_the_same_images(run, trained, tmp_path):
    other = Run(shutil.copytree(trained, tmp_path / "other"))
    analyse_run(run, images=10)
    analyse_run(other, sets=["test_ood", "test_ood"], images=10)
    first, second = read_maps(run), read_maps(other)
    assert list(second) == ["test_ood"]
    assert first["test_ood"].ids.tolist() == second["test_ood"].ids.tolist()
    analyse_run(other, sets=["test_ood"], images=10, seed=1)
    assert set(read_maps(other)["test_ood"].ids) != set(first["test_ood"].ids)


def test_the_same_question_is_answered_from_what_is_there(run, monkeypatch):
    first = analyse_run(run, images=5, sets=["val"])
    done = run.path / "analysis" / "done"
    assert json.loads(done.read_text()) == {"sets": ["val"], "images": 5, "of": "predicted", "seed": 0}
    monkeypatch.setattr(Run, "model", lambda run: pytest.fail("the network was loaded again"))
    again = analyse_run(run, images=5, sets=["val"])
    for kind, table in first.items():
        pd.testing.assert_frame_equal(again[kind], table, check_exact=True)
    monkeypatch.undo()
    written = {path.name: path.read_bytes() for path in done.parent.iterdir()}
    assert set(written) == {"agreement.csv", "reliance.csv", "maps.npz", "done"}
    assert len(analyse_run(run, images=6, sets=["val"])["agreement"]) == 6  # another question
    assert len(analyse_run(run, images=5, sets=["val"])["agreement"]) == 5
    assert {name: (done.parent / name).read_bytes() for name in ("agreement.csv", "reliance.csv", "done")} == {
        name: written[name] for name in ("agreement.csv", "reliance.csv", "done")
    }


def test_several_draws_are_another_question_and_have_a_standard_deviation(run, monkeypatch):
    analyse_run(run, images=5, sets=["val"])
    file = run.path / "analysis" / "reliance.csv"
    assert file.read_text().splitlines()[0] == "set,kept,fill,metric,value,images,note"
    first = analyse_run(run, images=5, sets=["val"], draws=2)["reliance"]
    assert file.read_text().splitlines()[0] == "set,kept,fill,metric,value,sd,images,note"
    assert json.loads((run.path / "analysis" / "done").read_text())["draws"] == 2
    assert first.loc[first["fill"].isin(["other", "noise"]), "sd"].notna().all()
    monkeypatch.setattr(Run, "model", lambda run: pytest.fail("the network was loaded again"))
    again = analyse_run(run, images=5, sets=["val"], draws=2)["reliance"]
    pd.testing.assert_frame_equal(again, first, check_exact=True)


def test_what_was_cut_off_is_not_taken_for_finished(run, monkeypatch):
    analyse_run(run, images=5, sets=["val"])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        analyse_run(run, images=6, sets=["val"])
    monkeypatch.undo()
    with pytest.raises(SalignError, match="has not been analysed: run salign analyse"):
        read_maps(run)
    assert len(analyse_run(run, images=5, sets=["val"])["agreement"]) == 5
    assert len(read_maps(run)["val"].ids) == 5


def with_manifest(run, digits, change, root=None):
    """Let the run's recipe point to a changed copy of its manifest."""
    table = change(pd.read_csv(digits, dtype=str))
    table.to_csv(run.path / "manifest.csv", index=False)
    content = yaml.safe_load(run.recipe_file.read_text())
    content["data"] |= {"manifest": str(run.path / "manifest.csv"), "root": str(root or digits.parent)}
    run.recipe_file.write_text(yaml.safe_dump(content))


def test_images_without_a_marked_map_give_maps_and_nothing_else(run, digits):
    blank = "maps/blank.png"

    def change(table):
        table.loc[table["split"] == "val", "saliency"] = None
        odd = (table["split"] == "test_iid") & (table.index % 2 == 1)
        table.loc[odd, "saliency"] = blank
        return table

    shutil.copytree(digits.parent / "images", run.path / "images")
    shutil.copytree(digits.parent / "maps", run.path / "maps")
    Image.new("L", (64, 64)).save(run.path / blank)
    with_manifest(run, digits, change, root=run.path)

    found, maps = analyse_run(run, sets=["val", "test_iid"]), read_maps(run)
    table = pd.read_csv(run.path / "manifest.csv", dtype=str).set_index("id")["saliency"]
    assert set(found["agreement"]["set"]) == set(found["reliance"]["set"]) == {"test_iid"}
    kept = maps["test_iid"]
    assert kept.annotated.tolist() == [table[name] != blank for name in kept.ids]
    assert found["agreement"]["id"].tolist() == kept.ids[kept.annotated].tolist()
    assert set(found["reliance"]["images"]) == {int(kept.annotated.sum())}
    assert 0 < kept.annotated.sum() < len(kept.ids)
    assert np.isfinite(kept.human).all()
    assert (np.isnan(maps["val"].human).all(), maps["val"].annotated.any()) == (True, False)
    assert maps["val"].maps.max(axis=(1, 2)).min() == 1
    nothing = analyse_run(run, sets=["val"])
    assert {kind: len(rows) for kind, rows in nothing.items()} == {"agreement": 0, "reliance": 0}
    assert list(nothing["agreement"].columns) == [*NAMED, *METRICS]


def test_a_class_on_which_nothing_is_marked_borrows_the_regions_of_the_other(run, digits):
    def change(table):
        table.loc[table["label"] == "1", "saliency"] = None
        return table

    with_manifest(run, digits, change)
    found = analyse_run(run, sets=["test_ood"], images=20, draws=3)["reliance"]
    images = draw_images(run, "test_ood", 20, 0)
    model = run.model()
    expected = reliance(
        lambda pixels: model(pixels).logits,
        predict_loader(images, 32, 0),
        positive=1,
        generator=torch.Generator().manual_seed(0),
        classes=("1", "7"),
        unmarked=[0],
        draws=3,
    )
    assert set(found["images"]) == {20}
    assert found["value"].notna().all()
    pd.testing.assert_frame_equal(found.drop(columns="set"), expected, rtol=1e-4, atol=1e-4)
    assert unmarked_classes(images) == [0]
    assert unmarked_classes(run.data("val")) == [0]
    with_manifest(run, digits, lambda table: table)
    assert unmarked_classes(Run(run.path).data("val")) == []


def test_mistakes_say_what_there_is(run, digits):
    for options, message in (
        ({"sets": ["train"]}, "set: expected val, test_iid or test_ood, got 'train'"),
        ({"of": "both"}, "of: expected predicted or true, got 'both'"),
        ({"images": 0}, "at least one image and one set"),
        ({"sets": []}, "at least one image and one set"),
    ):
        with pytest.raises(SalignError, match=message):
            analyse_run(run, **options)
    assert not (run.path / "analysis").exists()
    with_manifest(run, digits, lambda table: table[(table["split"] != "test_ood") | (table["label"] == "1")])
    with pytest.raises(SalignError, match=r"has no image 'test_ood_.*no longer the manifest of this run"):
        analyse_run(Run(run.path))


@pytest.mark.parametrize(("named", "number"), [(None, 1), ("1", 0), ("7", 1)])
def test_the_class_to_detect_is_that_of_the_recipe(run, monkeypatch, named, number):
    """The classes are 1 and 7; without a name the last one counts."""
    asked = []
    measured = module.reliance
    monkeypatch.setattr(
        module, "reliance", lambda *given, **options: asked.append(options) or measured(*given, **options)
    )
    run.recipe_file.write_text(Recipe.read(run.recipe_file).with_values({"data": {"positive": named}}).to_yaml())
    analyse_run(run, sets=["test_ood"], images=4)
    assert [options["positive"] for options in asked] == [number]


def test_of_three_classes_none_is_the_one_to_detect(run, monkeypatch):
    ids, asked = run.read_predictions("test_ood", ["1", "7"]), []
    classifier = SimpleNamespace(to=lambda device: classifier)

    def analysed(*given, positive, **options):
        asked.append(positive)
        raise SalignError("enough seen")

    monkeypatch.setattr(Run, "model", lambda run: classifier)
    monkeypatch.setattr(Run, "classes", ("1", "4", "7"))
    monkeypatch.setattr(Run, "read_predictions", lambda *given, **options: ids)
    monkeypatch.setattr(module, "_analyse_set", analysed)
    with pytest.raises(SalignError, match="enough seen"):
        analyse_run(run, sets=["test_ood"], images=4)
    assert asked == [None]
