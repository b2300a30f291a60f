from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from references.attack import climb
from salign.errors import SalignError
from salign.evaluate.attack import allowed_region, perturbation_effect, pgd, random_start

B, SIDE, K = 4, 6, 3
LABELS = torch.tensor([0, 1, 2, 0])


def pictures(seed=0, low=0.0, high=1.0):
    return torch.rand(B, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).double() * (high - low) + low


WEIGHT = torch.randn(K, 3 * SIDE * SIDE, generator=torch.Generator().manual_seed(1)).double()


def loss(images):
    return functional.cross_entropy(images.flatten(1) @ WEIGHT.T, LABELS, reduction="none")


class Net(nn.Module):
    """Two layers with a kink, for what has no gradient that can be written down."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 16), nn.ReLU(), nn.Linear(16, K))

    def forward(self, images):
        return self.body(images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("masked", [False, True])
def test_each_step_is_the_one_written_down(norm, masked):
    images, epsilon = pictures(), {"linf": 10.0, "l2": 90.0}[norm]
    within = torch.zeros(B, 1, SIDE, SIDE)
    within[..., :3] = 1
    start = random_start(pictures(2), epsilon=epsilon, norm=norm, within=within if masked else None)
    got = pgd(
        loss, images, epsilon=epsilon, step_size=epsilon / 3, steps=5, norm=norm, start=start,
        within=within if masked else None,
    )  # fmt: skip
    for k in range(B):
        expected = climb(
            images[k].numpy(), WEIGHT.numpy(), int(LABELS[k]), epsilon=epsilon / 255, step_size=epsilon / 3 / 255,
            steps=5, norm=norm, allowed=within[k].numpy() if masked else np.ones((1, SIDE, SIDE)),
            start=start[k].numpy(),
        )  # fmt: skip
        np.testing.assert_allclose(got[k].numpy(), expected, atol=1e-12)
        if masked:
            assert torch.equal(got[k][..., 3:], images[k][..., 3:])
            assert not torch.equal(got[k][..., :3], images[k][..., :3])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_is_the_attack_of_foolbox(norm):
    foolbox = pytest.importorskip("foolbox", reason="foolbox, an extra of development, is not installed")
    net, images = Net().eval(), pictures().float()
    kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    epsilon = {"linf": 8.0, "l2": 60.0}[norm]
    theirs = kind(abs_stepsize=2 / 255, steps=12, random_start=False)(
        foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu"),
        images,
        foolbox.criteria.Misclassification(LABELS),
        epsilons=[epsilon / 255],
    )
    ours = pgd(
        lambda x: functional.cross_entropy(net(x), LABELS, reduction="none"),
        images,
        epsilon=epsilon,
        step_size=2,
        steps=12,
        norm=norm,
    )
    torch.testing.assert_close(ours, theirs[1][0], rtol=0, atol=1e-6)


def test_the_ball_is_kept_and_the_default_step_reaches_its_edge():
    inner = pictures(low=0.3, high=0.7)  # away from 0 and 1
    for norm, size in (("linf", lambda x: x.abs().flatten(1).amax(1)), ("l2", lambda x: x.flatten(1).norm(dim=1))):
        attacked = pgd(loss, inner, epsilon=20, steps=4, norm=norm)
        torch.testing.assert_close(size(attacked - inner), torch.full((B,), 20 / 255).double())
        assert (loss(attacked) > loss(inner)).all()
    black = torch.zeros(B, 3, SIDE, SIDE).double()
    assert float(pgd(loss, black, epsilon=20, steps=4).min()) == 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_lies_in_the_ball_and_in_the_mask(norm):
    within = torch.zeros(B, 1, SIDE, SIDE)
    within[:, :, 2:5] = 1
    start = random_start(pictures(), epsilon=51, norm=norm, within=within)
    assert not start[:, :, :2].any()
    if norm == "l2":
        torch.testing.assert_close(start.flatten(1).norm(dim=1), torch.full((B,), 0.2).double())
    else:
        torch.testing.assert_close(start[:, :, 2:5], 0.2 * (2 * pictures()[:, :, 2:5] - 1))


def test_a_gradient_that_is_no_number_is_no_robustness():
    class Blind(torch.autograd.Function):
        """Gives the images back, and a gradient of NaN."""

        @staticmethod
        def forward(ctx, images):
            return images.clone()

        @staticmethod
        def backward(ctx, gradient):
            return torch.full_like(gradient, torch.nan)

    with pytest.raises(SalignError, match="the gradient of the loss by an image is not finite"):
        pgd(lambda images: Blind.apply(images).sum((1, 2, 3)), torch.rand(2, 3, 4, 4), epsilon=4, steps=2)


def test_the_weights_get_no_gradient():
    net = Net()
    pgd(lambda x: functional.cross_entropy(net(x), LABELS, reduction="none"), pictures().float(), epsilon=8, steps=2)
    assert all(weight.grad is None for weight in net.parameters())


def test_the_region_is_that_of_the_map_and_an_image_without_one_has_none():
    saliency = torch.zeros(B, 1, 40, 40)
    saliency[:3, :, 10:20, 10:20] = 1
    counts = torch.tensor([True, True, False, False])
    inside, outside = (allowed_region(saliency, counts, where) for where in ("inside", "outside"))
    assert allowed_region(saliency, counts, "all") is None
    assert inside.flatten(1).sum(1).tolist() == [144, 144, 0, 0]  # widened by 3 % of 40 pixels on each side
    assert outside.flatten(1).sum(1).tolist() == [1456, 1456, 0, 0]
    assert inside[0, 0, 9:21, 9:21].all()


def test_effects_add_up_to_what_the_attack_costs_and_of_a_linear_loss_they_are_gradient_times_change():
    images = pictures()
    attacked = pgd(loss, images, epsilon=8, steps=5)
    whole = perturbation_effect(loss, images, attacked, points=64)
    torch.testing.assert_close(whole.sum((1, 2)), loss(attacked) - loss(images), rtol=1e-3, atol=1e-5)
    linear = perturbation_effect(lambda x: x.flatten(1) @ WEIGHT[0], images, attacked, points=1)
    expected = (WEIGHT[0].view(3, SIDE, SIDE) * (attacked - images)).sum(1)
    torch.testing.assert_close(linear, expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epsilon": 0}, "epsilon: expected a number above 0, got 0"),
        ({"steps": 0}, "steps: expected a whole number of 1 or more, got 0"),
        ({"step_size": -1.0}, "step_size: expected a number above 0, got -1"),
        ({"norm": "l1"}, "norm: .*'l1'"),
        ({"within": torch.ones(B, 1, 2, 2)}, "within: expected .* with H = 6 as of images"),
    ],
)
def test_what_is_no_attack_is_refused(wrong, message):
    with pytest.raises(SalignError, match=message):
        pgd(loss, pictures(), **{"epsilon": 8.0, "steps": 2, **wrong})
