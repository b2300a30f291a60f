"""The agreement of snapshots with people is that of their maps, image by image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.nn import functional

from references.agreement import energy
from salign.errors import SalignError
from salign.models import Classifier
from salign.runs.curves import write_curves
from salign.runs.run import Run
from salign.runs.snapshots import snapshot_agreement
from salign.train.history import snapshot


def with_snapshots(trained: Path, folder: Path) -> tuple[Run, dict[int, Classifier]]:
    """A run of the same images, with the trained network after epoch 4 and an untrained one after epoch 0."""
    learned = Classifier.load(trained)
    untrained = Classifier("test_resnet", learned.classes, image_size=64, weights=None, output_stride=8)
    networks = {0: untrained.eval(), 4: learned}
    for epoch, network in networks.items():
        network.save(snapshot(folder, epoch))
    run = Run(folder)
    run.remember(Run.open(trained).recipe, Run.open(trained).prepared)
    return run, networks


def test_the_true_class_is_compared_on_images_that_people_marked(trained: Path, tmp_path: Path) -> None:
    run, networks = with_snapshots(trained, tmp_path)
    table = snapshot_agreement(run)
    assert table["epoch"].tolist() == [0, 4]
    samples = [sample for sample in run.data("val") if bool(sample.annotated) and float(sample.saliency.max()) > 0]
    assert table["images"].tolist() == [len(samples)] * 2
    assert len(samples) > 10
    for number, network in enumerate(networks.values()):
        values = []
        for sample in samples:
            with torch.no_grad():
                raw = network(sample.images[None]).cam(sample.labels[None])[0]
            raw = functional.interpolate(raw[None, None].double(), (64, 64), mode="bilinear", antialias=False)[0, 0]
            scaled = (raw - raw.min()) / (raw.max() - raw.min())
            values.append(energy(scaled.numpy(), sample.saliency[0].double().numpy()))
        assert table["energy"].iloc[number] == pytest.approx(sum(values) / len(values), abs=1e-6)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "snapshots" / "agreement.csv"), table)
    (tmp_path / "metrics.csv").write_text("epoch,train/loss,val/loss\n0,1,1\n1,1,1\n")
    page = write_curves(run).read_text()
    assert "Agreement with people" in page
    assert page.count("<svg") == 2


def test_as_many_images_as_asked_for_and_no_rows_without_snapshots(trained: Path, tmp_path: Path) -> None:
    run, _ = with_snapshots(trained, tmp_path)
    assert snapshot_agreement(run, images=3)["images"].tolist() == [3, 3]
    with pytest.raises(SalignError, match=r"images: expected a whole number of 1 or more, got 0"):
        snapshot_agreement(run, images=0)
    without = Run(tmp_path / "without")
    without.remember(run.recipe, run.prepared)
    assert len(snapshot_agreement(without)) == 0
    assert not without.path.exists()
