from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.manifest.derive import free_columns
from salign.data.reading.datamodule import collate
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate import read_predictions
from salign.models import Classifier, Threshold
from salign.runs import predict as module
from salign.runs.predict import predict_batches, predict_folder

CLASSES = ("left", "right", "other")


@pytest.fixture(scope="module")
def classifier():
    model = Classifier("test_resnet", CLASSES, image_size=(32, 48), seed=3)
    model.train()(
        torch.rand(16, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    )  # running statistics of batch norm that differ from the start
    return model.eval()


@pytest.fixture
def folder(tmp_path):
    """Nine images of different sizes and formats in nested folders, and files that are none."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(
        ("b.png", "a.PNG", "z/c.jpg", "z/d.bmp", "z/y/e.tif", "z/y/f.webp", "é x.png", "1.png", "2.png")
    ):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20 + 3 * k, 40, 3), dtype=np.uint8)).save(path)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return tmp_path / "in"


def one_by_one(classifier, folder, paths):
    """Logits `(N, K)` and maps of every image by itself."""
    from salign.data.reading.image import read_image

    transform = build_transform(classifier.image_size)
    with torch.inference_mode():
        outputs = [classifier(transform(read_image(folder / path), None)[0][None]) for path in paths]
        maps = [output.cam(output.logits.argmax(1))[0] for output in outputs]
        return torch.cat([output.logits for output in outputs]).double(), maps


def predicted(classifier, folder, out, **options):
    count, faults = predict_folder(classifier, folder, out, workers=0, **options)
    table = read_predictions(out)
    assert count == len(table)
    return table, faults


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("chunk", [2, 4096])
def test_a_folder_is_predicted_to_the_bottom(classifier, folder, tmp_path, monkeypatch, suffix, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    table, faults = predicted(classifier, folder, tmp_path / f"out{suffix}", batch_size=4)
    paths = ["1.png", "2.png", "a.PNG", "b.png", "é x.png", "z/c.jpg", "z/d.bmp", "z/y/e.tif", "z/y/f.webp"]
    assert (table["path"].tolist(), faults) == (paths, [])
    assert table["id"].tolist() == paths
    assert (table[["label", "split"]] == "").all(axis=None)
    logits, _ = one_by_one(classifier, folder, paths)
    np.testing.assert_allclose(table[[f"logit_{name}" for name in CLASSES]], logits, atol=1e-5)
    np.testing.assert_allclose(table[[f"prob_{name}" for name in CLASSES]], logits.softmax(1), atol=1e-6)
    assert table["predicted"].tolist() == [CLASSES[k] for k in logits.argmax(1)]
    assert len(set(table["logit_left"].round(5))) == len(paths)  # they are told apart at all


@pytest.mark.parametrize("positive", ["left", "right"])
def test_the_class_at_the_threshold_stands_beside_the_most_probable(folder, tmp_path, positive):
    """The threshold is the probability of one image itself, which is called positive then, too."""
    model = Classifier("test_resnet", CLASSES[:2], image_size=32, seed=3).eval()
    plain, _ = predicted(model, folder, tmp_path / "plain.csv")
    scores = plain[f"prob_{positive}"].tolist()
    least = sorted(scores)[6]
    assert len(set(scores)) == 9
    model.threshold = Threshold(positive=positive, probability=least, rule="eer")
    table, _ = predicted(model, folder, tmp_path / "out.csv")
    other = {"left": "right", "right": "left"}[positive]
    assert table["predicted_at_threshold"].tolist() == [positive if one >= least else other for one in scores]
    assert table["predicted_at_threshold"].tolist().count(positive) == 3
    assert table.drop(columns="predicted_at_threshold").equals(plain)


def test_maps_are_those_of_the_predicted_class(classifier, folder, tmp_path):
    table, _ = predicted(classifier, folder, tmp_path / "o.csv", maps=tmp_path / "maps", batch_size=4)
    files = {path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png")}
    assert len(files) == len(table)
    _, maps = one_by_one(classifier, folder, table["path"])
    for path, cam in zip(table["path"], maps, strict=True):
        written = np.asarray(Image.open(tmp_path / "maps" / Path(path).with_suffix(".png"))).astype(float)
        expected = 255 * (cam - cam.min()) / (cam.max() - cam.min())
        assert np.abs(written - expected.numpy()).max() <= 0.51


def test_images_that_differ_in_their_suffix_keep_a_map_each(classifier, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "a.bmp"):
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 255, (32, 48), dtype=np.uint8)).save(folder / name)
    maps = tmp_path / "in-maps"  # beside the images, by a name that begins alike
    predicted(classifier, folder, tmp_path / "o.csv", maps=maps)
    assert sorted(path.name for path in maps.iterdir()) == ["a.bmp.png", "a.png.png"]


@pytest.mark.parametrize("place", [".", "z", "z/maps"])
def test_maps_never_replace_the_images(classifier, folder, tmp_path, place):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SalignError, match="choose a folder outside"):
        predict_folder(classifier, folder, tmp_path / "o.csv", maps=folder / place)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_single_image(classifier, folder, tmp_path):
    table, _ = predicted(classifier, folder / "z" / "c.jpg", tmp_path / "o.csv")
    assert table["path"].tolist() == ["c.jpg"]


def test_faulty_images_stop_with_their_name_or_are_left_out_with_it(classifier, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 3)
    out = tmp_path / "o.csv"
    out.write_text("of yesterday")
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "z" / "d.bmp").write_bytes(b"BM")
    with pytest.raises(SalignError, match=r"b\.png"):
        predict_folder(classifier, folder, out, workers=0)
    assert out.read_text() == "of yesterday"
    assert [path.name for path in tmp_path.iterdir()].count("o.csv") == 1
    assert not list(tmp_path.glob(".o.csv*"))
    table, faults = predicted(classifier, folder, out, leave_out=True)
    assert len(table) == 7
    assert ["b.png" in str(faults[0]), "d.bmp" in str(faults[1]), len(faults)] == [True, True, 2]
    assert not {"b.png", "z/d.bmp"} & set(table["path"])


def test_where_there_is_nothing(classifier, tmp_path):
    with pytest.raises(SalignError, match="no such folder or image"):
        predict_folder(classifier, tmp_path / "gone", tmp_path / "o.csv")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("a")
    with pytest.raises(SalignError, match=r"found no image; expected files that end in .*\.png"):
        predict_folder(classifier, tmp_path / "empty", tmp_path / "o.csv")
    assert not (tmp_path / "o.csv").exists()


def test_batches_carry_labels_splits_and_free_columns_in_order(classifier, folder):
    paths = ["b.png", "1.png", "z/c.jpg"]
    table = pd.DataFrame(
        {"id": ["x", "y", "w"], "path": paths, "label": ["left", "other", "left"], "split": "s", "saliency": None}
    ).assign(sex=["f", "m", None])
    manifest = Manifest.of(table, folder)
    assert free_columns(manifest) == ["sex"]
    dataset = SaliencyDataset(manifest, CLASSES, build_transform(classifier.image_size))
    seen = []
    classifier.train()
    rows = pd.concat(
        predict_batches(classifier, dataset, batch_size=2, workers=0, visit=lambda batch, output: seen.append(batch))
    )
    assert rows["id"].tolist() == ["x", "y", "w"]
    assert rows["label"].tolist() == ["left", "other", "left"]
    assert rows["sex"].tolist() == ["f", "m", ""]  # as a reader of the file finds it
    assert [len(batch.labels) for batch in seen] == [2, 1]
    assert not classifier.training
    whole = collate([dataset[i] for i in range(3)])
    with torch.inference_mode():
        expected = classifier(whole.images).logits
    np.testing.assert_allclose(rows[[f"logit_{name}" for name in CLASSES]], expected, atol=1e-5)


def test_logits_that_are_not_finite_have_no_class(classifier, folder, tmp_path):
    broken = copy.deepcopy(classifier)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(SalignError, match=r"/in/1\.png: the network's answer is not finite, so that it names no class"):
        predict_folder(broken, folder, tmp_path / "o.csv")
    assert not (tmp_path / "o.csv").exists()
