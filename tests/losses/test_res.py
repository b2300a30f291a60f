"""RES against loops, its gradient, its slack, and that the smoothing of RES-L is learned and not saved."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from guided_case import ANNOTATED, case, figures, made, of_true_class, slow_maps
from references import res as slow
from salign.errors import SalignError
from salign.losses import LOSSES
from salign.losses.res import certain, res_distance
from salign.losses.smoothing import convolve, gaussian
from salign.models import Classifier
from salign.train.module import Training
from salign.train.tasks import Classification

both = pytest.mark.parametrize("name", ["res_g", "res_l"])

REGION = torch.zeros(1, 4, 4)
REGION[0, :2] = 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_formula_in_loops(seed: int) -> None:
    cams, human = made(seed)
    kernel = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))  # not symmetric
    options = {"slack": 0.3, "relevant": 0.8, "irrelevant": 0.2}
    expected = slow.res_distance(cams.double().numpy(), slow_maps(human), kernel=kernel.double().numpy(), **options)
    assert res_distance(cams, human, ANNOTATED, kernel=kernel, **options).item() == pytest.approx(expected, rel=1e-5)


def test_gradcheck_by_map_and_kernel() -> None:
    cams, human = made()
    kernel = (gaussian() + 0.01 * torch.arange(9).view(3, 3)).double()
    bias = torch.tensor(0.05).double()
    assert torch.autograd.gradcheck(
        lambda c, k, b: res_distance(c, human, kernel=k, bias=b),
        (cams.double().requires_grad_(), kernel.requires_grad_(), bias.requires_grad_()),
    )


def test_what_people_say_is_read_off_two_thresholds() -> None:
    values = torch.tensor([0.0, 0.1, 0.3, 0.5, 1.0])
    assert certain(values).tolist() == [-1, 0, 0, 1, 1]
    assert certain(values, relevant=0.2, irrelevant=0.1).tolist() == [-1, -1, 1, 1, 1]


def test_a_region_met_within_the_slack_costs_only_what_the_smoothing_leaves() -> None:
    """In the last marked row, one of four, smoothing leaves 3/4 - 1/4 = 1/2 where the model has 1."""
    found = res_distance(REGION, REGION, kernel=gaussian())
    assert found.item() == pytest.approx(0.5 / 4)
    without = res_distance(REGION, REGION, kernel=gaussian(), slack=0.0)
    assert without.item() == pytest.approx(0.5 / 4 + 1 - torch.tanh(torch.tensor(2.5)).item(), rel=1e-5)


def test_the_threshold_that_parts_attention_is_found_per_image() -> None:
    """Weak attention inside, weaker outside: with the best threshold the ranks agree, so the slack part is small."""
    cam = REGION * 0.6 + 0.01
    cam[0, 3, 3] = 0.0
    cam[0, 0, 0] = 1.5  # the maximum, so that the rest of the region has 0.4 after scaling
    still = torch.zeros(3, 3)
    found = res_distance(cam, REGION, kernel=still)
    fixed = (torch.tanh(5 * (cam / 1.5 - 0.5)) - (2 * REGION - 1)).abs().mean() - 0.1
    assert found.item() - (cam / 1.5).mean().item() < 0.3 * fixed.item()


def test_open_cells_are_met_by_the_smoothing_alone() -> None:
    human = torch.tensor([[[0.0, 0.3, 1.0]]])
    cam = torch.tensor([[[0.0, 2.0, 10.0]]])
    other = torch.tensor([[[0.0, 7.0, 10.0]]])
    still = torch.zeros(3, 3)
    apart = res_distance(other, human, kernel=still) - res_distance(cam, human, kernel=still)
    assert apart.item() == pytest.approx(0.5 / 3)


def test_convolution_keeps_a_constant_map_up_to_its_edges() -> None:
    assert torch.allclose(convolve(torch.full((2, 3, 5), 0.7), gaussian()), torch.tensor(0.7))


@both
def test_the_module_takes_grad_cam_of_the_true_class(name: str) -> None:
    output, batch, cams = case()
    total, ce, term = figures(LOSSES[name](weight=2.0, slack=0.2)(output, batch))
    positive = of_true_class(cams, batch).relu().double().numpy()
    humans = slow_maps(batch.saliency[:, 0])
    expected = slow.res_distance(positive, humans, kernel=gaussian().double().numpy(), slack=0.2)
    assert term == pytest.approx(expected, rel=1e-5)
    assert total == pytest.approx(ce + 2 * expected, rel=1e-5)


def test_bad_options_are_refused() -> None:
    with pytest.raises(SalignError, match="slack: expected a number of 0 or more, got -1"):
        LOSSES["res_g"](slack=-1)
    with pytest.raises(SalignError, match=r"irrelevant: expected a number of 0 or more and below 0\.5, got 0\.6"):
        LOSSES["res_l"](irrelevant=0.6)


@both
def test_the_optimiser_trains_the_smoothing_of_res_l_alone_and_the_network_never_holds_it(name: str) -> None:
    classifier = Classifier("test_resnet", ["a", "b", "c"], image_size=64, output_stride=8)
    keys, loss = set(classifier.state_dict()), LOSSES[name]()
    module = Training(
        Classification(classifier, loss),
        optimizer=lambda weights: torch.optim.SGD(weights, lr=0.1),
        rate=lambda done: 1.0,
        seed=0,
    )
    module.trainer = SimpleNamespace(estimated_stepping_batches=3)
    optimizer = module.configure_optimizers()["optimizer"]
    before = {key: value.clone() for key, value in loss.state_dict().items()}
    _, batch, _ = case()
    batch = batch._replace(images=torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    loss(classifier(batch.images), batch).total.backward()
    optimizer.step()
    moved = {key for key, value in loss.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == ({"kernel", "bias"} if name == "res_l" else set())
    assert set(classifier.state_dict()) == keys


def test_the_smoothing_of_res_l_learns_where_the_model_looks() -> None:
    """Of a model that attends one cell to the right of what people mark, it learns just this shift."""
    generator = torch.Generator().manual_seed(0)
    human = (torch.rand(16, 8, 8, generator=generator) > 0.6).float()
    model = human.roll(1, 2)
    kernel, bias = gaussian().requires_grad_(), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([kernel, bias], lr=0.02)

    def step() -> float:
        optimizer.zero_grad()
        total = res_distance(model, human, kernel=kernel, bias=bias, slack=9.0)
        total.backward()
        optimizer.step()
        return total.item()

    first, *_, last = [step() for _ in range(150)]
    assert last < 0.4 * first
    assert kernel.argmax().item() == 3  # middle row, left neighbour
