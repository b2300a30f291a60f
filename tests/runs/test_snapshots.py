"""The agreement of snapshots with people is that of their maps, image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from command import small
from references.agreement import energy
from salign.data.clone import clone_set
from salign.data.manifest import Manifest
from salign.errors import SalignError
from salign.models import Classifier
from salign.runs.analyse import analyse_run, draw_images
from salign.runs.curves import write_curves
from salign.runs.fit import fit
from salign.runs.run import Run
from salign.runs.snapshots import snapshot_agreement, step_figures
from salign.train.recipe import Recipe
from salign.train.snapshots import snapshot, step_snapshot, step_snapshots


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


@pytest.fixture(scope="module")
def two(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Trained alike on real images and on their clones, with snapshots of steps."""
    folder = tmp_path_factory.mktemp("steps")
    clones = clone_set(Manifest.read(digits), folder / "clones", order=1, seed=0).manifest
    return [
        fit(
            Recipe.build(
                small(
                    manifest,
                    data={"image_size": 32, "test": ["test_ood"], "groups": [], "augment": "none"},
                    train={"snapshots": {"steps": 3}},
                    loss={"name": "ce"},
                )
            ),
            folder,
            progress=False,
            say=lambda line: None,
        )
        for manifest in (digits, clones)
    ]


def test_networks_that_saw_other_images_begin_as_one_and_end_as_several(two: list[Run]) -> None:
    assert [step_snapshots(run.path) for run in two] == [[0, 1, 4], [0, 1, 4]]
    first, middle, last = ([weights(step_snapshot(run.path, step)) for run in two] for step in (0, 1, 4))
    assert first[0] == first[1]
    assert middle[0] != middle[1]
    assert last[0] == weights(two[0].path) != last[1]
    real, cloned = (step_figures(run, sets=["test_ood"], images=20) for run in two)
    assert real.iloc[0].equals(cloned.iloc[0])


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def test_figures_of_a_step_are_those_of_its_network(two: list[Run]) -> None:
    run = two[0]
    table = step_figures(run, sets=["test_ood"], images=20)
    assert table["step"].tolist() == [0, 1, 4]
    dataset = draw_images(run, "test_ood", 20, 0)
    network = Classifier.load(step_snapshot(run.path, 1))
    with torch.no_grad():
        answers = [int(network(sample.images[None]).logits.argmax()) for sample in map(dataset.__getitem__, range(20))]
    assert table["accuracy"].iloc[1] == np.mean([a == b for a, b in zip(answers, dataset.labels.tolist(), strict=True)])
    relied = analyse_run(run, sets=["test_ood"], images=20)["reliance"]
    flipped = relied[(relied["metric"] == "flipped") & (relied["fill"] == "other")].set_index("kept")["value"]
    assert table.iloc[2][["inside", "outside"]].tolist() == flipped[["outside", "inside"]].tolist()
