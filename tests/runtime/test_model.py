from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from PIL import Image

from salign import runtime
from salign.data.reading.image import read_image
from salign.errors import SalignError
from salign.maps import min_max
from salign.maps.overlay import scaled
from salign.maps.render import overlay
from salign.models import load
from salign.runtime.model import Answer, check_digest, sealed


@pytest.fixture(scope="module")
def model(exported):
    return runtime.load(exported)


@pytest.fixture(scope="module")
def by_torch(trained, digits):
    """The run's own predictions of its test images, with the path of each."""
    table = pd.read_csv(trained / "predictions" / "test_ood.csv").head(4)
    return [(digits.parent / row.path, row) for row in table.itertuples()]


def test_answers_are_those_of_the_run(model, by_torch, trained):
    threshold = json.loads((trained / "model.json").read_text())["threshold"]
    assert model.threshold._asdict() == threshold
    answers = model.batch([path for path, _ in by_torch])
    for answer, (path, row) in zip(answers, by_torch, strict=True):
        assert answer.predicted == str(row.predicted)
        np.testing.assert_allclose(
            [answer.probabilities["1"], answer.probabilities["7"]], [row.prob_1, row.prob_7], atol=1e-5
        )
        assert answer.at_threshold == ("7" if row.prob_7 >= threshold["probability"] else "1")
        alone = model(str(path))
        np.testing.assert_allclose(list(alone.probabilities.values()), list(answer.probabilities.values()), atol=1e-6)


@pytest.mark.parametrize(("predicted", "rows"), [("x;y", [0]), ("z", [1]), ("z;w", [1, 2]), ("", [])])
def test_of_the_maps_of_every_class_those_of_the_answer_are_shown(predicted, rows):
    maps = np.random.default_rng(0).random((3, 4, 4), dtype=np.float32)
    probabilities = dict.fromkeys(["x;y", "z", "w"], 0.5)  # one of these names has the sign that joins several
    answer = Answer(predicted, probabilities, probabilities, None, maps, None)
    expected = scaled(maps[rows].mean(0)) if rows else np.zeros((4, 4))
    np.testing.assert_array_equal(answer.scaled_map, expected)


def test_maps_and_overlays_are_those_of_torch(model, by_torch, trained):
    classifier = load(trained)
    for path, _ in by_torch:
        answer = model(path)
        image = read_image(path)
        with torch.no_grad():
            output = classifier(image[None].float() / 255)
        raw = output.cam(output.logits.argmax(1))[0].detach()
        np.testing.assert_allclose(answer.map, raw, atol=1e-5 * float(raw.abs().max()))
        expected = np.array(overlay(image, min_max(raw))).astype(int)
        differs = np.abs(np.array(answer.overlay()) - expected)
        assert np.median(differs) == 0
        assert (differs > 1).any(-1).mean() < 0.01  # a pixel of the outline, where the map is just one half


def test_a_picture_may_be_an_array_of_any_size(model):
    grey = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    assert model(grey).probabilities == model(colour).probabilities
    assert model(grey).overlay().size == (70, 90)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.new("RGB", (9, 9)), r"got Image; of a Pillow image, give np.asarray"),
        (np.zeros((9, 9, 4), np.uint8), r"got uint8 \(9, 9, 4\)"),
        (np.zeros((1, 9), np.uint8), r"of 2 pixels or more"),
        (np.zeros((9, 9), np.int64), r"got int64"),
        (np.full((9, 9), np.nan, np.float32), "from 0 to 1, got nan"),
        (np.full((9, 9), 0.5, np.float32), "more than 8 bits, .* --pixels float32"),
        ("gone.png", "no such file: gone.png"),
    ],
)
def test_what_is_no_picture_is_refused(model, picture, words):
    with pytest.raises(SalignError, match=words):
        model(picture)


def test_one_array_is_no_list_of_pictures(model):
    pixels = np.zeros((9, 9, 3), np.uint8)
    assert len(model.batch(pixels[None])) == len(model.batch([pixels])) == 1
    with pytest.raises(SalignError, match=r"expected a list of arrays, got a single array \(9, 9, 3\)"):
        model.batch(pixels)


def test_another_threshold(model):
    named = {"1": 0.55, "7": 0.45}
    assert [model.with_threshold(p).called(named) for p in (0.4, 0.45, 0.5)] == ["7", "7", "1"]
    with pytest.raises(SalignError, match="expected a probability from 0 to 1, got 2"):
        model.with_threshold(2)


def test_a_file_of_somebody_else_and_a_changed_one_are_refused(exported, tmp_path):
    content = exported.read_bytes()
    for name, changed, words in (
        ("text", b"no model", "is no file of `salign export`"),
        ("strange", onnx.ModelProto().SerializeToString(), "is no file of `salign export`"),
        ("saved again", onnx.load_from_string(content).SerializeToString() + b"\x0a\x00", "is no file of"),
        ("changed", content[:1000] + bytes([content[1000] ^ 1]) + content[1001:], "was changed since"),
        ("cut", content[5000:], "was changed since"),
        ("cut off", content[:-1], "is no file of"),
    ):
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(SalignError, match=words):
            runtime.load(tmp_path / name)
    with pytest.raises(SalignError, match="no such file"):
        runtime.load(tmp_path / "gone.onnx")
    with pytest.raises(SalignError, match=r"providers: expected .*CPUExecutionProvider.*, got 'CPU'"):
        runtime.load(exported, providers=["CPU"])


def test_the_seal_is_metadata_to_every_reader_of_onnx(exported):
    """Readers see a valid model with one more pair of texts, whose digest is that of all bytes before."""
    proto = onnx.load(exported)
    onnx.checker.check_model(proto)
    assert [entry.key for entry in proto.metadata_props] == ["salign", "salign_sha256"]
    check_digest(sealed(b"any"), "any")


BLOCKED = (
    "torch", "torchvision", "timm", "lightning", "pandas", "pydantic", "scipy", "pyarrow", "typer", "rich", "yaml",
    "onnx", "matplotlib",
)  # fmt: skip
PROGRAM = """
import json, sys
class Block:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(name + " is not installed here")
sys.meta_path.insert(0, Block())
import salign
answer = salign.runtime.load(sys.argv[1])(sys.argv[2])
answer.overlay().save(sys.argv[3])
print(json.dumps(answer.probabilities))
"""


def test_nothing_but_numpy_onnxruntime_and_pillow_is_needed(exported, model, by_torch, tmp_path):
    path, out = by_torch[0][0], tmp_path / "overlay.png"
    program = PROGRAM.format(blocked=BLOCKED)
    done = subprocess.run(
        [sys.executable, "-c", program, exported, path, out], capture_output=True, text=True, check=True
    )
    answer = model(path)
    assert json.loads(done.stdout) == pytest.approx(answer.probabilities, abs=1e-6)
    np.testing.assert_array_equal(np.array(Image.open(out)), np.array(answer.overlay()))
