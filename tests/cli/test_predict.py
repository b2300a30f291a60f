from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from command import salign
from salign.data.reading.image import read_image
from salign.maps.render import overlay

PROBABILITIES = ["prob_1", "prob_7"]


@pytest.fixture
def folder(trained, digits, tmp_path):
    """The test images of the run, in a folder of their own."""
    table = pd.read_csv(trained / "predictions" / "test_ood.csv")
    for path in table["path"]:
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(digits.parent / path, tmp_path / "in" / path)
    return tmp_path / "in"


def known(trained):
    return pd.read_csv(trained / "predictions" / "test_ood.csv").set_index("path").sort_index()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("options", [(), ("--batch-size", 3), ("--workers", 1)])
def test_the_test_images_get_the_answers_of_the_run(trained, folder, tmp_path, suffix, options):
    out = tmp_path / f"p{suffix}"
    ended = salign("predict", trained, folder, "--out", out, *options)
    table = (pd.read_csv if suffix == ".csv" else pd.read_parquet)(out).set_index("path")
    expected = known(trained)
    assert table.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(table[PROBABILITIES], expected[PROBABILITIES], atol=1e-6)
    assert table["predicted"].astype(str).tolist() == expected["predicted"].astype(str).tolist()
    assert f"wrote {out} ({len(table)} images)" in ended.out
    kept = json.loads((trained / "model.json").read_text())["threshold"]
    called = ["7" if row.prob_7 >= kept["probability"] else "1" for row in table.itertuples()]
    assert table["predicted_at_threshold"].astype(str).tolist() == called
    assert f"predicted_at_threshold: called 7 from a probability of {kept['probability']:.4g} on" in ended.out


def test_a_run_without_a_threshold_predicts_as_before(trained, folder, tmp_path):
    run = shutil.copytree(trained, tmp_path / "old")
    config = json.loads((run / "model.json").read_text())
    del config["threshold"]
    (run / "model.json").write_text(json.dumps(config))
    ended = salign("predict", run, folder, "--out", tmp_path / "p.csv")
    columns = ["id", "path", "split", "label", "predicted", "logit_1", "logit_7", *PROBABILITIES]
    assert pd.read_csv(tmp_path / "p.csv").columns.tolist() == columns
    assert "predicted_at_threshold" not in ended.out


def test_maps_are_written_beside_and_named_after_the_images(trained, folder, tmp_path):
    laid = tmp_path / "laid"
    ended = salign(
        "predict", trained, folder, "--out", tmp_path / "p.csv", "--maps", tmp_path / "maps", "--overlays", laid
    )
    paths = sorted(path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png"))
    assert paths == known(trained).index.tolist()
    for path in paths:
        values = np.asarray(Image.open(tmp_path / "maps" / path))
        assert values.shape == (8, 8)
        assert (values.min(), values.max()) == (0, 255)
        expected = overlay(read_image(folder / path), torch.from_numpy(values / np.float32(255)))
        assert (
            np.abs(np.asarray(Image.open(laid / path)).astype(int) - np.asarray(expected)).mean() < 1
        )  # the map has 256 steps
    assert f"maps in {tmp_path / 'maps'}, overlays in {laid}" in ended.out
    for option in ("--maps", "--overlays"):
        assert "outside" in salign("predict", trained, folder, option, folder, code=2).err


def test_faulty_images_stop_or_are_left_out(trained, folder, tmp_path):
    first, second, *rest = known(trained).index
    (folder / first).write_bytes(b"broken")
    whole = (folder / second).read_bytes()
    (folder / second).write_bytes(whole[:-200])
    out = tmp_path / "p.csv"
    told = salign("predict", trained, folder, "--out", out, code=2).err
    assert told.startswith(f"error: {folder.resolve() / first}: the file is damaged or of another kind; expected PNG")
    assert told.endswith("--leave-out-faulty goes on without such images.\n")
    assert not out.exists()
    ended = salign("predict", trained, folder, "--out", out, "--leave-out-faulty")
    assert pd.read_csv(out)["path"].tolist() == rest
    assert ended.err.count("left out: ") == 2
    assert f"left out: {first}: the file is damaged" in ended.err
    assert f"left out: {second}: cannot be read: " in ended.err


def test_one_image(trained, folder, tmp_path):
    path = known(trained).index[3]
    salign("predict", trained, folder / path, "--out", tmp_path / "p.csv")
    table = pd.read_csv(tmp_path / "p.csv")
    np.testing.assert_allclose(table[PROBABILITIES], known(trained).loc[[path], PROBABILITIES], atol=1e-6)


def test_mistakes(trained, tmp_path):
    assert "no such folder or image" in salign("predict", trained, tmp_path / "gone", code=2).err
    (tmp_path / "none").mkdir()
    told = salign("predict", trained, tmp_path / "none", "--out", tmp_path / "p.txt", code=2).err
    assert f"--out {tmp_path / 'p.txt'}: ending: expected .csv or .parquet, got '.txt'" in told
    assert "found no image" in salign("predict", trained, tmp_path / "none", "--out", tmp_path / "p.csv", code=2).err
