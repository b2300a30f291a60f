"""A run that is served by torch answers as its exported file does."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from salign import runtime
from salign.serve.by_torch import load_run


@pytest.fixture(scope="module")
def served(trained):
    return load_run(trained)


def test_answers_maps_and_threshold_are_those_of_the_file(served, exported, trained, digits):
    rows = pd.read_csv(trained / "predictions" / "test_ood.csv").head(3)
    paths = [digits.parent / path for path in rows.path]
    for ours, other in zip(served.batch(paths), runtime.load(exported).batch(paths), strict=True):
        assert ours.predicted == other.predicted
        assert ours.at_threshold == other.at_threshold
        assert ours.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        np.testing.assert_allclose(ours.map, other.map, atol=1e-5 * float(np.abs(other.map).max()))
    assert served.threshold._asdict() == json.loads((trained / "model.json").read_text())["threshold"]


def test_a_picture_of_16_bits_is_answered_in_full_depth(served, tmp_path):
    values = np.random.default_rng(0).integers(0, 65_536, (64, 64), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    exact = served((values / np.float32(65_535)).astype(np.float32))
    assert served(tmp_path / "deep.png").probabilities == pytest.approx(exact.probabilities, abs=1e-6)


def test_another_threshold_changes_the_answer_at_it_alone(served):
    picture = np.full((64, 64), 90, np.uint8)
    probability = served(picture).probabilities["7"]
    for threshold, called in ((probability * 0.99, "7"), (min(1, probability * 1.01), "1")):
        answer = served.with_threshold(threshold)(picture)
        assert (answer.at_threshold, answer.probabilities["7"]) == (called, probability)
