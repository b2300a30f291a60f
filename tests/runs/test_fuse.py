"""Epochs fused into a run: chosen on validation images alone, and a run like any other afterwards."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from salign.errors import SalignError
from salign.evaluate.fusion import fuse_epochs
from salign.models import load
from salign.runs.explain import explain_run
from salign.runs.posthoc import make_run
from salign.runs.predict import predict_batches
from salign.runs.run import Run
from salign.train.history import HISTORY, snapshot
from salign.train.teacher import load_teacher


@pytest.fixture(scope="module")
def source(trained, tmp_path_factory):
    """The trained run with a history of three epochs, of which the first answers right what the last one does not.

    The head of the first solves the labels of the validation images for their features; the others call all images 1.
    """
    run = Run(shutil.copytree(trained, tmp_path_factory.mktemp("fuse") / "run"))
    images = torch.stack([run.data("val")[i].images for i in range(len(run.data("val")))])
    labels = (run.predictions("val")["label"] == "7").to_numpy(int)
    tables = []
    for epoch in range(3):
        model = run.model()
        head = model.backbone.net.get_classifier()
        with torch.no_grad():
            features = model(images).features.mean((2, 3))
            answers = 4 * torch.eye(2)[labels if epoch == 0 else 0 * labels] - 2
            head.weight.copy_(torch.linalg.lstsq(features, answers, driver="gelsd").solution.T)
            head.bias.zero_()
        model.save(snapshot(run.path, epoch))
        table = pd.concat(predict_batches(model, run.data("val"), workers=0))
        probabilities = table[["prob_1", "prob_7"]].astype(np.float16)
        tables.append(pd.concat([table[["id", "label"]], probabilities], axis=1).assign(epoch=epoch))
    pd.concat(tables, ignore_index=True).to_parquet(run.path / HISTORY, index=False)
    return run


def test_a_fused_run_answers_with_the_weighted_mean_of_its_epochs(source, tmp_path):
    fused = make_run(source.path, {"name": "fuse", "window": 0}, tmp_path, progress=False, say=lambda line: None)
    history = pd.read_parquet(source.path / HISTORY)
    values = history[["prob_1", "prob_7"]].to_numpy(np.float64).reshape(3, -1, 2)
    labels = (source.predictions("val")["label"] == "7").to_numpy(int)
    weights = fuse_epochs(values, labels, window=0)
    noted = json.loads((fused.path / "posthoc.json").read_text())
    assert noted["run"] == str(source.path.resolve())
    assert noted["method"] == "fusion"
    assert noted["epochs"] == {str(epoch): weight for epoch, weight in enumerate(weights) if weight}
    expected = np.tensordot(weights, values, 1)
    predicted = fused.predictions("val")
    assert predicted["id"].tolist() == source.predictions("val")["id"].tolist()
    np.testing.assert_allclose(predicted[["prob_1", "prob_7"]], expected, atol=2e-3)  # the history has 16 bits
    accuracy = (predicted["predicted"] == predicted["label"]).mean()
    assert (values[-1].argmax(1) == labels).mean() == 0.5
    assert accuracy > 0.7
    figures = fused.figures().query("split == 'val' and metric == 'accuracy' and group_column == ''")
    assert figures["value"].item() == pytest.approx(accuracy)


def test_a_fused_run_is_taken_like_any_other(source, tmp_path):
    fused = make_run(source.path, {"name": "fuse", "method": "all"}, tmp_path, progress=False, say=lambda line: None)
    assert load(fused.path).threshold is not None
    images = torch.rand(2, 3, *fused.model().image_size, generator=torch.Generator().manual_seed(0))
    teach = load_teacher(fused.path, fused.classes)
    torch.testing.assert_close(teach(images), fused.model()(images).logits)
    assert explain_run(fused, images=2).exists()
    said = []
    assert (
        make_run(source.path, {"name": "fuse", "method": "all"}, tmp_path, progress=False, say=said.append).path
        == fused.path
    )
    assert said == [f"{fused.path} is already done; nothing to make."]


def test_a_run_without_snapshots_is_told_how_to_keep_them(source, trained, tmp_path):
    bare = shutil.copytree(trained, tmp_path / "bare")
    shutil.copy(source.path / HISTORY, bare)
    with pytest.raises(SalignError, match=r"kept no weights of single epochs.*train\.snapshots=\{even: 12\}"):
        make_run(bare, {"name": "fuse"})
