"""GAIN and GAIN_ext against loops, and what erasing does to a network that looks at one place or at two."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from references import gain as slow
from salign.errors import SalignError
from salign.losses import LOSSES, erase, erased_score, saliency_distance
from salign.types import Output
from second_look import Small, make_batch


@pytest.mark.parametrize(("omega", "sigma0"), [(10.0, 0.5), (100.0, 0.25)])
def test_equals_the_formula_in_loops(omega: float, sigma0: float) -> None:
    batch, network = make_batch(), Small()
    output = network(batch.images)
    cams = torch.einsum("bc,bchw->bhw", network.weight[batch.labels], output.features).relu().detach()
    left = [slow.erased(x, c, omega, sigma0) for x, c in zip(batch.images.numpy(), cams.numpy(), strict=True)]
    expected_images = torch.stack([torch.from_numpy(one) for one in left])
    answers = network(expected_images).logits.detach().numpy()
    expected = slow.score(answers, batch.labels.tolist(), cams.numpy())
    network.seen.clear()
    gain = LOSSES["gain"](weight=0.7, omega=omega, sigma0=sigma0)(output, batch)
    torch.testing.assert_close(network.seen[0], expected_images, atol=1e-5, rtol=0)
    assert gain.parts["saliency"].item() == pytest.approx(expected, abs=1e-5)
    assert gain.total.item() == pytest.approx(gain.parts["ce"].item() + 0.7 * expected, abs=1e-5)

    ext = LOSSES["gain_ext"](weight=3.0, alpha=0.7, omega=omega, sigma0=sigma0)(output, batch)
    distance = saliency_distance(cams, batch.saliency, batch.annotated).item()
    assert ext.parts["saliency"].item() == pytest.approx(distance, abs=1e-5)
    assert ext.total.item() == pytest.approx(gain.total.item() + 3 * distance, abs=1e-5)


def test_gradcheck() -> None:
    images, maps = torch.rand(3, 3, 6, 6).double(), torch.randn(3, 2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: erase(images, a), maps)
    logits = torch.randn(4, 3).double().requires_grad_()
    labels, counts = torch.tensor([0, 2, 1, 1]), torch.tensor([True, True, False, True])
    assert torch.autograd.gradcheck(lambda z: erased_score(z, labels, counts), logits)


def test_what_the_map_shows_is_gone_and_the_rest_stays() -> None:
    maps = torch.zeros(1, 4, 4)
    maps[0, :2] = 9.0
    left = erase(torch.ones(1, 3, 4, 4), maps, omega=50.0)
    assert left[0, :, :2].max() < 1e-6
    assert left[0, :, 2:].min() > 1 - 1e-6
    at_half = erase(torch.ones(1, 3, 2, 1), torch.tensor([[[0.0], [1.0]]]), omega=7.0, sigma0=1.0)
    assert at_half[0, 0, 1, 0].item() == pytest.approx(0.5)


class Halves:
    """Tells class 1 by brightness in the columns given of a 4 x 4 image."""

    def __init__(self, columns: list[int]) -> None:
        self.strength = torch.zeros(4)
        self.strength[columns] = 80.0 / len(columns)

    def head(self, features: Tensor) -> Tensor:
        return features.mean((2, 3)) - torch.tensor([0.0, 6.0])

    def __call__(self, images: Tensor) -> Output:
        seen = images[:, 0] * self.strength
        features = torch.stack([torch.zeros_like(seen), seen], 1).requires_grad_()
        return Output(self.head(features), features, self.head, torch.eye(2), again=self)


def test_who_saw_all_there_was_knows_nothing_afterwards_and_who_overlooked_a_part_still_does() -> None:
    """The score falls by as much as the map found; evidence below half of the strongest escapes the mask."""
    batch = make_batch()._replace(images=torch.ones(5, 3, 4, 4), labels=torch.ones(5).long())
    loss, everything, most = LOSSES["gain"](omega=100.0), Halves([0]), Halves([0])
    most.strength[3] = 36.0  # 0.45 of the strongest
    assert loss(everything(batch.images), batch).parts["saliency"].item() < 0.01
    assert loss(most(batch.images), batch).parts["saliency"].item() > 0.9


def test_an_image_without_positive_evidence_does_not_count() -> None:
    batch, network = make_batch(), Halves([0])
    labels = torch.tensor([0, 1, 0, 1, 1])  # nothing speaks for class 0: its Grad-CAM is zero everywhere
    batch = batch._replace(images=torch.ones(5, 3, 4, 4), labels=labels)
    loss = LOSSES["gain"]()
    whole = loss(network(batch.images), batch).parts["saliency"].item()
    ones = batch._replace(images=torch.ones(1, 3, 4, 4), labels=torch.tensor([1]))
    assert whole == pytest.approx(loss(network(ones.images), ones).parts["saliency"].item(), abs=1e-6)
    none = batch._replace(labels=torch.zeros(5).long())
    terms = loss(network(none.images), none)
    terms.total.backward()
    assert terms.parts["saliency"].item() == 0


def test_a_saturated_score_gives_no_nan() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    found = erased_score(logits, torch.tensor([0, 0]), torch.ones(2).bool())
    found.backward()
    assert found.item() == 0.5
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_alpha_zero_does_not_look_again() -> None:
    batch, network = make_batch(), Small()
    loss = LOSSES["gain_ext"](alpha=0.0)
    assert loss.needs == {"grad_cam"}, "so that the features of a frozen network are computed once"
    terms = loss(network(batch.images), batch)
    assert set(terms.parts) == {"ce", "saliency"}
    assert len(network.seen) == 1


@pytest.mark.parametrize("name", ["gain", "gain_ext"])
def test_wrong_options_and_an_output_without_its_network_are_refused(name: str) -> None:
    wrong = [{"omega": 0.0}, {"sigma0": 1.5}] + [{"alpha": -1.0}] * (name == "gain_ext")
    for options in wrong:
        with pytest.raises(SalignError, match=rf"{next(iter(options))}.*: expected"):
            LOSSES[name](**options)
    batch = make_batch()
    with pytest.raises(SalignError, match=f"{name} looks at changed images"):
        LOSSES[name]()(replace(Small()(batch.images), again=None), batch)
