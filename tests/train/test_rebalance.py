"""What is added to rare classes, against imbalanced-learn and loops; and a head that alone learns anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE

from salign.errors import SalignError
from salign.models import Classifier
from salign.train.rebalance import nearest_of, oversample, retrain_head


class AsNumpyDrewBefore:
    """The draws of imbalanced-learn, which takes no generator of today."""

    def __init__(self, seed: int) -> None:
        self.state = np.random.RandomState(seed)

    def integers(self, low: int, high: int, size: int) -> Any:
        return self.state.randint(low, high, size)

    def uniform(self, size: int) -> Any:
        return self.state.uniform(size=size)


def cloud(counts: list[int], seed: int = 0, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = rng.normal(size=(len(labels), 4)) + spread * labels[:, None]
    order = rng.permutation(len(labels))
    return features[order].astype(np.float32), labels[order].astype(np.int64)


@pytest.mark.parametrize("seed", [0, 1])
def test_smote_is_that_of_imbalanced_learn(seed: int) -> None:
    features, labels = cloud([30, 12], seed)
    theirs = SMOTE(random_state=np.random.RandomState(seed), k_neighbors=5).fit_resample(features, labels)
    ours = oversample(features, labels, "smote", AsNumpyDrewBefore(seed))  # type: ignore[arg-type]
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_eos_adds_points_between_an_image_and_a_near_one_of_another_class() -> None:
    features, labels = cloud([40, 9, 25], spread=0.5)
    added, owners, repeated = oversample(features, labels, "eos", np.random.default_rng(3), neighbours=4)
    assert np.bincount(owners).tolist() == [40, 40, 40]
    assert repeated == {}
    np.testing.assert_array_equal(added[: len(features)], features)
    pairs = set()
    for point, own in zip(added[len(features) :], owners[len(features) :], strict=True):
        fits = []
        for b in np.flatnonzero(labels == own):
            near = sorted((float(((features[b] - features[i]) ** 2).sum()), i) for i in range(len(labels)) if i != b)[
                :4
            ]
            for e in [i for _, i in near if labels[i] != own]:
                along = features[e] - features[b]
                step = float((point - features[b]) @ along / (along @ along))
                if -1e-4 <= step < 1 and np.abs(features[b] + step * along - point).max() < 1e-4:
                    fits.append((b, e))
        assert fits
        pairs.add(fits[0])
    assert len({b for b, _ in pairs}) > 3


def test_a_reach_of_a_half_stays_on_the_side_of_the_own_class() -> None:
    features = np.array([[0.0], [1.0], [1.5], [9.0], [10.0]], np.float32)
    labels = np.array([1, 0, 0, 0, 0])
    whole, half = (
        oversample(features, labels, "eos", np.random.default_rng(0), neighbours=1, reach=reach)[0][5:, 0]
        for reach in (1.0, 0.5)
    )
    np.testing.assert_allclose(half, whole / 2, rtol=1e-6)
    assert half.min() >= 0
    assert half.max() < 0.5


def test_each_near_image_of_another_class_is_as_likely() -> None:
    """Three of the ten nearest are of other classes: one draw in ten would favour the first."""
    features = np.array([[0.0], *[[0.1 + k / 100] for k in range(7)], [10.0], [20.0], [40.0]], np.float32)
    labels = np.array([1] * 8 + [0] * 3)
    labels[8:] = 0
    features = np.concatenate([features, 1000 + np.zeros((3000, 1), np.float32)])
    labels = np.concatenate([labels, np.zeros(3000, int)])
    added, _, _ = oversample(features, labels, "eos", np.random.default_rng(0), neighbours=10)
    points = added[len(features) :, 0]
    # from b near 0: uniform to 10, to 20 and to 40, a third each
    assert (points > 20).mean() == pytest.approx(1 / 3 * 1 / 2, abs=0.03)
    assert (points > 10).mean() == pytest.approx(1 / 3 * (1 / 2 + 3 / 4), abs=0.03)


def test_repetition_and_nothing() -> None:
    features, labels = cloud([6, 2])
    added, owners, _ = oversample(features, labels, "repeat", np.random.default_rng(0))
    assert np.bincount(owners).tolist() == [6, 6]
    own = {tuple(row) for row in features[labels == 1]}
    assert {tuple(row) for row in added[owners == 1]} == own
    same, owners, _ = oversample(features, labels, "plain", np.random.default_rng(0))
    assert (same is not features) == (owners is not labels)
    np.testing.assert_array_equal(same, features)
    np.testing.assert_array_equal(owners, labels)


def test_a_class_without_enemies_or_of_one_image_is_repeated_and_told() -> None:
    """The public code of EOS stops there with an error."""
    features, labels = cloud([20, 5], spread=1000)
    added, owners, repeated = oversample(features, labels, "eos", np.random.default_rng(0), neighbours=3)
    assert repeated == {1: "none of the 3 nearest features of its images is of another class"}
    assert np.bincount(owners).tolist() == [20, 20]
    assert {tuple(row) for row in added[owners == 1]} == {tuple(row) for row in features[labels == 1]}
    features, labels = cloud([4, 1])
    added, _, repeated = oversample(features, labels, "smote", np.random.default_rng(0))
    assert repeated == {1: "it has one image"}
    np.testing.assert_array_equal(added[5:], features[labels == 1].repeat(3, 0))


def test_more_neighbours_than_images_are_all_of_them() -> None:
    features = np.array([[0.0], [1.0], [3.0], [7.0]], np.float32)
    everything = np.arange(4)
    assert nearest_of(features, everything[2:3], everything, 99).tolist() == [[1, 0, 3]]
    assert nearest_of(features, everything[:2], np.array([0, 1]), 5).tolist() == [[1], [0]]
    added, _, repeated = oversample(features, np.array([0, 0, 0, 1]), "eos", np.random.default_rng(0))
    assert repeated == {}
    assert (added[4:] < 7).all()


def test_what_does_not_fit_is_refused() -> None:
    features, labels = cloud([4, 2])
    generator = np.random.default_rng(0)
    with pytest.raises(SalignError, match="method: expected eos, smote, repeat or plain, got 'adasyn'"):
        oversample(features, labels, "adasyn", generator)  # type: ignore[arg-type]
    with pytest.raises(SalignError, match="neighbours"):
        oversample(features, labels, "eos", generator, neighbours=0)
    with pytest.raises(SalignError, match="reach"):
        oversample(features, labels, "eos", generator, reach=0)
    with pytest.raises(SalignError, match=r"expected \(N, C\) features and \(N,\) labels"):
        oversample(features, labels[:3], "eos", generator)
    with pytest.raises(SalignError, match="vgg11: its head is not one linear layer on the mean"):
        retrain_head(Classifier("vgg11", ["a", "b"], image_size=64), features, labels)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_the_head_alone_learns_anew_and_its_map_still_adds_up(name: str) -> None:
    model = Classifier(name, ["a", "b"], image_size=64).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 20)
    features = (rng.normal(size=(40, model.backbone.channels)) + 3 * labels[:, None]).astype(np.float32)
    retrain_head(model, features, labels, seed=5)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    head = model.backbone.net.get_classifier()
    assert {key.rsplit(".", 1)[-1] for key in changed} == {"weight", "bias"}
    assert len(changed) == 2
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    assert (logits.argmax(1) == labels).all()
    with torch.no_grad():
        output = model(torch.rand(2, 3, 64, 64))
        for k in range(2):
            cam = output.cam(torch.full((2,), k)).mean((1, 2)) + head.bias[k]
            torch.testing.assert_close(cam, output.logits[:, k], atol=1e-4, rtol=1e-4)
    again = Classifier(name, ["a", "b"], image_size=64)
    retrain_head(again, features, labels, seed=5)
    torch.testing.assert_close(again.backbone.net.get_classifier().weight, head.weight)
