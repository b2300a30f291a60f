"""A run with a fresh head: the head alone differs, and it is a run like any other afterwards."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.evaluate.feature_gap import feature_gap
from salign.models import Classifier, Ensemble
from salign.runs.explain import explain_run
from salign.runs.posthoc import make_run
from salign.runs.run import Run

QUIET = {"progress": False, "say": lambda line: None}


def pooled(run, name):
    data, model = SaliencyDataset(run.data(name).manifest, run.classes, build_transform(64)), run.model()
    with torch.no_grad():
        images = torch.stack([data[i].images for i in range(len(data))])
        return model(images).features.mean((2, 3)).numpy(), data.labels.numpy()


@pytest.fixture(scope="module")
def rebalanced(trained, tmp_path_factory):
    said = []
    new = make_run(
        trained,
        {"name": "rebalance", "method": "repeat"},
        tmp_path_factory.mktemp("out"),
        say=said.append,
        progress=False,
    )
    return Run(trained), new, said


def test_the_head_alone_differs(rebalanced):
    source, new, said = rebalanced
    before, after = (load_file(run.path / "weights.safetensors") for run in (source, new))
    head = [name for name, value in source.model().named_parameters() if value.shape[0] == 2]
    assert {name for name, value in after.items() if not torch.equal(value, before[name])} == set(head)
    assert len(head) == 2
    counts = source.data("train").manifest.table["label"].value_counts()
    assert said[:2] == [f"1: {counts['1']} training images", f"7: {counts['7']} training images"]
    assert new.path.name.startswith("small-repeat-")


def test_it_answers_with_its_own_head_and_notes_the_gap(rebalanced):
    source, new, _ = rebalanced
    features, labels = pooled(new, "val")
    head = new.model().backbone.net.get_classifier()
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    table = new.predictions("val")
    np.testing.assert_allclose(table[["logit_1", "logit_7"]], logits, atol=1e-3)
    figures = new.figures().query("split == 'val' and metric == 'accuracy' and group_column == ''")
    assert figures["value"].item() == pytest.approx((logits.argmax(1) == labels).mean())
    noted = json.loads((new.path / "posthoc.json").read_text())
    assert (noted["run"], noted["method"], noted["epochs"]) == (str(source.path.resolve()), "repeat", 10)
    known, owners = pooled(source, "train")
    gaps = feature_gap(known, owners, features, labels, 2)
    assert [noted["gap"]["val"][name]["before"] for name in ("1", "7")] == pytest.approx(gaps.tolist(), abs=1e-3)
    assert list(noted["gap"]) == source.sets


def test_it_is_taken_like_any_other_and_made_once(rebalanced, tmp_path):
    source, new, _ = rebalanced
    page = explain_run(new, images=2)
    assert "Gap of the features" in page.read_text()
    said = []
    again = make_run(source.path, {"name": "rebalance", "method": "repeat"}, new.path.parent, say=said.append)
    assert again.path == new.path
    assert said == [f"{new.path} is already done; nothing to make."]
    other = make_run(source.path, {"name": "rebalance", "method": "repeat", "seed": 9}, tmp_path, **QUIET)
    weights = [run.model().backbone.net.get_classifier().weight for run in (new, other)]
    assert not torch.equal(*weights)


def test_what_has_no_head_to_rebalance_is_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "model", lambda run: Ensemble([Classifier.load(run.path)], [1.0]))
    with pytest.raises(SalignError, match="was fused, and each of its members has a head of its own"):
        make_run(trained, {"name": "rebalance"}, tmp_path, **QUIET)
