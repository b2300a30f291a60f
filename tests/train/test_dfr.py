"""Deep feature reweighting: the fit against scikit-learn, the choice of its strength, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from salign.errors import SalignError
from salign.models import Classifier
from salign.train.dfr import fit_last_layer, reweight, set_last_layer


def objective(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float) -> float:
    """`strength * summed cross-entropy + L1 norm`, image by image."""
    total = float(np.abs(weight).sum())
    for row, label in zip(x, y, strict=True):
        logits = weight @ row + bias
        total += strength * float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])
    return total


@pytest.mark.parametrize("strength", [1.0, 0.1])
def test_two_classes_are_the_fit_of_scikit_learn(strength: float) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 5))
    y = (x[:, 0] - 0.5 * x[:, 1] + generator.normal(size=60) > 0.3).astype(np.int64)
    weight, bias = fit_last_layer(x, y, 2, strength)
    known = LogisticRegression(C=strength, l1_ratio=1, solver="saga", tol=1e-8, max_iter=100_000).fit(x, y)
    np.testing.assert_allclose(weight[1] - weight[0], known.coef_[0], atol=2e-4)
    assert bias[1] - bias[0] == pytest.approx(known.intercept_[0], abs=2e-4)
    assert np.array_equal(weight[1] == 0, known.coef_[0] == 0)


def test_several_classes_are_at_the_least_of_the_objective() -> None:
    generator = np.random.default_rng(1)
    y = np.arange(45) % 3
    x = generator.normal(size=(45, 6)) + np.eye(6)[y]
    weight, bias = fit_last_layer(x, y, 3, 0.2)
    least = objective(weight, bias, x, y, 0.2)
    known = LogisticRegression(C=0.2, l1_ratio=1, solver="saga", tol=1e-8, max_iter=100_000).fit(x, y)
    assert least <= objective(known.coef_, known.intercept_, x, y, 0.2) + 1e-6
    for _ in range(200):
        other = objective(weight + generator.normal(size=weight.shape) * 1e-3, bias, x, y, 0.2)
        assert other > least


@pytest.fixture(scope="module")
def cheating() -> tuple[np.ndarray, ...]:
    """Features `(N, 4)` whose first column is a shortcut that agrees with the class in 90 %, the second the truth."""
    generator = np.random.default_rng(2)
    labels = np.arange(400) % 2
    agrees = np.arange(400) // 2 % 10 > 0
    shortcut = np.where(agrees, labels, 1 - labels)
    columns = [3 * (2 * shortcut - 1), 2 * labels - 1.0, np.zeros(400), np.full(400, 7.0)]
    noise = generator.normal(size=(400, 4)) * [0.3, 0.6, 1, 0]
    return (np.stack(columns, 1) + noise).astype(np.float32), labels, 2 * labels + agrees


def test_a_shortcut_that_groups_name_is_no_longer_used(cheating: tuple[np.ndarray, ...]) -> None:
    features, labels, groups = cheating
    layer = reweight(features, labels, groups, np.random.default_rng(0), draws=5)
    assert layer.weight.shape == (2, 4)
    right = (features @ layer.weight.T + layer.bias).argmax(1) == labels
    worst = min(right[groups == number].mean() for number in range(4))
    assert worst > 0.85
    shortcut, truth = np.abs(layer.weight[1] - layer.weight[0])[:2]
    assert truth > 10 * shortcut
    assert (layer.weight[:, 3] == 0).all()
    assert layer.strength == next(key for key, value in layer.worst.items() if value == max(layer.worst.values()))
    plain = fit_last_layer(features[:, :2].astype(float), labels, 2, 1.0)[0]
    assert np.abs(plain[1] - plain[0]).argmin() == 0 or np.abs(plain)[:, 0].max() > 0.5  # all images use the shortcut


def test_the_mean_of_one_draw_is_that_draw_and_seeds_decide(cheating: tuple[np.ndarray, ...]) -> None:
    features, labels, groups = cheating
    first, again, other = (
        reweight(features, labels, groups, np.random.default_rng(seed), draws=1, strengths=[0.3]) for seed in (3, 3, 4)
    )
    assert np.array_equal(first.weight, again.weight)
    assert not np.array_equal(first.weight, other.weight)


def test_a_group_of_one_image_is_refused(cheating: tuple[np.ndarray, ...]) -> None:
    features, labels, groups = cheating
    with pytest.raises(SalignError, match="group 9 has one image"):
        reweight(features, labels, np.where(np.arange(400) == 5, 9, groups), np.random.default_rng(0))


def test_the_head_alone_is_replaced() -> None:
    classifier = Classifier("test_resnet", ("a", "b"), image_size=64)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    weight, bias = np.random.default_rng(0).normal(size=(2, classifier.backbone.channels)), np.array([0.5, -0.5])
    set_last_layer(classifier, weight, bias)
    changed = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[-2] for name in changed} == {"fc"}
    output = classifier.eval()(torch.rand(3, 3, 64, 64))
    expected = output.features.mean((2, 3)).detach().numpy() @ weight.T + bias
    np.testing.assert_allclose(output.logits.detach().numpy(), expected, atol=1e-4)
    vit = Classifier("test_vit", ("a", "b"), image_size=160, args={"global_pool": "avg"})
    with pytest.raises(SalignError, match="its head is not one linear layer"):
        set_last_layer(vit, weight, bias)
