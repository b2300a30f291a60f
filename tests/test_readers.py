"""Damaged files for every guarded reader and for a model's folder: values or a SalignError, within bounded memory."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest

from mutations import survive
from salign.config import read_values
from salign.data.manifest.text_table import read_table
from salign.evaluate.predictions import read_predictions
from salign.experiment.store import FoundInCell, cell_file, read_cell
from salign.models import Classifier
from salign.models.weights import read_safetensors
from salign.readers import read_csv, read_json, read_parquet, read_yaml
from salign.runs.folder import RunFolder
from salign.train.recipe import Recipe

RECIPE = b"""name: a
seed: 1
data: {manifest: m.csv, classes: [real, fake], test: {t: [a, 'b']}, image_size: [32, 48]}
model: &m {backbone: test_resnet, args: {drop_rate: 0.1}}
loss: {name: cyborg, alpha: 0.5}
train: {epochs: 3, lr: 1.0e-05}
"""
JSON = (
    b'{"a": [1, 2.5, -3e4, null, true], "b": {"c": "\\u00e4", "d": [[], {}, [[1, 2], [3, 4]]]}, "e": "'
    + b"text " * 60
    + b'"}'
)
TABLE = pd.DataFrame(
    {
        "id": ["a", "b"], "path": ["a.png", "b.png"], "split": ["t", "t"], "label": ["x", "y"], "predicted": ["x", "y"],
        "logit_x": [1.0, -1.0], "logit_y": [0.0, 0.0], "prob_x": [0.75, 0.25], "prob_y": [0.25, 0.75],
    }
)  # fmt: skip


def recipe(path):
    with contextlib.suppress(FileNotFoundError):
        return [Recipe.build(read_values(path, None, "recipe", "keys"))]
    return []


@pytest.mark.parametrize(
    ("read", "contents"),
    [
        (lambda path: [read_yaml(path)], [RECIPE, b"a: &a [x, {b: 1}]\nb: *a\nc: {<<: {d: 1}}\n- |\n  text\n"]),
        (recipe, [RECIPE]),
        (lambda path: [read_json(path)], [JSON]),
        (lambda path: [read_csv(path)], [TABLE.to_csv(index=False).encode()]),
        (lambda path: [read_table(path)], [TABLE.to_csv(index=False).encode(), b'a,b\n"x\ny",2\n']),
        (lambda path: [read_predictions(path)], [TABLE.to_csv(index=False).encode()]),
    ],
    ids=["yaml", "recipe", "json", "csv", "manifest", "predictions"],
)
def test_text(read, contents, tmp_path):
    name = "it.yaml" if read is recipe else "it.csv"  # a table is no recipe
    valid = survive(tmp_path / name, contents, read, lambda found: None)
    assert valid > 0, "no file was still valid: the mutations are too coarse to test anything"


@pytest.mark.parametrize("read", [read_parquet, read_table, read_predictions])
def test_parquet(read, tmp_path):
    path = tmp_path / "it.parquet"
    contents = []
    for compression in ("snappy", "zstd", None):
        TABLE.to_parquet(path, compression=compression)
        contents.append(path.read_bytes())
    assert survive(path, contents, lambda path: [read(path)], lambda found: None) > 0


def test_weights(tmp_path):
    path = Classifier("test_resnet", ["a", "b"], image_size=32).save(tmp_path) / "weights.safetensors"
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    small = whole[:header][:600]  # nearly all mutations fall into the header
    assert survive(path, [small, whole], lambda path: [read_safetensors(path)], lambda found: None) > 0


def test_a_model(tmp_path):
    """`model.json` says what is built, so each change of it builds something else, or nothing."""
    path = Classifier("test_resnet", ["a", "b"], image_size=32).save(tmp_path) / "model.json"
    survive(path, [path.read_bytes()], lambda path: [Classifier.load(path.parent)], lambda found: None)


def test_a_cell(tmp_path):
    run = RunFolder(tmp_path)
    good = json.dumps({"seconds": 1.5, "figures": {"t": {"auroc": 0.5, "agreement/cc": float("nan")}}}).encode()
    check = lambda found: None  # noqa: E731
    assert survive(cell_file(run), [good], lambda _: [read_cell(run)], check) > 0
    cell_file(run).write_bytes(good)
    cell = read_cell(run)
    assert isinstance(cell, FoundInCell)
    assert cell.figures["t"]["auroc"] == 0.5
    assert np.isnan(cell.figures["t"]["agreement/cc"])
    cell_file(run).write_bytes(good[:-4])
    assert read_cell(run) is None
