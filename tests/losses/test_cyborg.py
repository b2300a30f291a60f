"""CYBORG against the published formula in loops, its gradients, and what must not change it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from torch import Tensor

from references import cyborg as slow
from salign.errors import SalignError
from salign.losses import Cyborg, cross_entropy, cyborg, saliency_distance
from salign.losses.cyborg import choose_classes
from salign.maps import min_max
from salign.types import Batch, Output

B, K, C, SIZE = 4, 3, 6, (5, 7)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def numbers(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, CAMs, labels and human maps already of the CAM's size."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(B, K, generator=generator),
        torch.randn(B, *SIZE, generator=generator) * 30,
        torch.tensor([0, 2, 1, 1]),
        torch.rand(B, *SIZE, generator=generator) * 0.4 + 0.2,
    )


def as_loops(maps: Tensor, annotated: Tensor | None = None) -> list[np.ndarray | None]:
    """Human maps for the slow version: None where nobody looked."""
    kept = [True] * len(maps) if annotated is None else annotated.tolist()
    return [one.double().numpy() if keep else None for one, keep in zip(maps, kept, strict=True)]


def network(*, requires_grad: bool = False, seed: int = 0) -> tuple[Output, Batch]:
    """Random features and linear head, and a batch whose third image nobody looked at."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(B, C, *SIZE, generator=generator).requires_grad_(requires_grad)
    weight = torch.randn(K, C, generator=generator).requires_grad_(requires_grad)

    def head(maps: Tensor) -> Tensor:
        return maps.mean((2, 3)) @ weight.T

    saliency = torch.rand(B, 1, *SIZE, generator=generator)
    batch = Batch(
        images=torch.empty(0),
        labels=torch.tensor([0, 2, 1, 1]),
        saliency=saliency * torch.tensor([1.0, 1, 0, 1]).view(B, 1, 1, 1),
        annotated=torch.tensor([True, True, False, True]),
        index=torch.arange(B),
    )
    return Output(head(features), features, head, weight), batch


class TestFormula:
    @pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 1.0])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_equals_the_published_formula(self, alpha: float, seed: int) -> None:
        logits, cam, labels, human = numbers(seed)
        expected = slow.cyborg(
            logits.double().numpy(), cam.double().numpy(), labels.tolist(), as_loops(human), alpha=alpha
        )
        assert cyborg(logits, cam, labels, human, alpha=alpha).item() == pytest.approx(expected, abs=1e-6)

    def test_l1(self) -> None:
        _, cam, _, human = numbers()
        expected = slow.distance(cam.double().numpy(), as_loops(human), power=1)
        assert saliency_distance(cam, human, penalty="l1").item() == pytest.approx(expected, abs=1e-6)

    def test_human_maps_are_averaged_over_the_area_of_a_cell(self) -> None:
        _, cam, _, human = numbers()
        fine = human.repeat_interleave(8, 1).repeat_interleave(8, 2)
        fine = fine + torch.tensor([0.1, -0.1]).repeat(SIZE[1] * 4)  # stripes whose mean over a cell is zero
        expected = slow.distance(cam.double().numpy(), as_loops(human))
        assert saliency_distance(cam, fine[:, None]).item() == pytest.approx(expected, abs=1e-6)

    def test_partial_annotation_averages_over_the_annotated_only(self) -> None:
        logits, cam, labels, human = numbers()
        annotated = torch.tensor([True, False, False, True])
        expected = slow.cyborg(
            logits.double().numpy(), cam.double().numpy(), labels.tolist(), as_loops(human, annotated)
        )
        assert cyborg(logits, cam, labels, human, annotated).item() == pytest.approx(expected, abs=1e-6)
        alone = saliency_distance(cam[annotated], human[annotated])
        assert saliency_distance(cam, human, annotated).item() == pytest.approx(alone.item(), abs=1e-6)

    def test_gradients(self) -> None:
        logits, cam, labels, human = numbers()
        annotated = torch.tensor([True, False, True, True])

        def plain(logits: Tensor, cam: Tensor) -> Tensor:
            difference = (min_max(cam) - min_max(human.double())).square().mean((1, 2))
            return 0.5 * torch.nn.functional.cross_entropy(logits, labels) + 0.5 * difference[annotated].mean()

        doubles = (logits.double().requires_grad_(), cam.double().requires_grad_())
        assert torch.autograd.gradcheck(plain, doubles)
        expected = torch.autograd.grad(plain(*doubles), doubles)
        logits.requires_grad_(), cam.requires_grad_()
        got = torch.autograd.grad(cyborg(logits, cam, labels, human, annotated), (logits, cam))
        for mine, reference in zip(got, expected, strict=True):
            assert torch.allclose(mine.double(), reference, rtol=1e-4, atol=1e-8)
        assert (got[1].abs().amax((1, 2)) > 0).tolist() == annotated.tolist()


class TestNothingToMatch:
    def test_a_batch_nobody_looked_at_is_alpha_times_cross_entropy(self) -> None:
        output, batch = network(requires_grad=True)
        batch = batch._replace(saliency=torch.zeros_like(batch.saliency), annotated=torch.zeros(B, dtype=torch.bool))
        terms = Cyborg(alpha=0.3)(output, batch)
        assert terms.parts["saliency"].item() == 0.0
        leaves = (output.features, output.weight)
        got = torch.autograd.grad(terms.total, leaves, retain_graph=True)
        expected = torch.autograd.grad(0.3 * cross_entropy(output.logits, batch.labels), leaves)
        for mine, reference in zip(got, expected, strict=True):
            assert torch.equal(mine, reference)

    @pytest.mark.parametrize("value", [0.0, 0.3, 1 / 3, 1.0])
    @pytest.mark.parametrize("size", [5, 97, 100, 299])
    def test_a_blank_or_constant_map_counts_for_nothing(self, value: float, size: int) -> None:
        _, cam, _, _ = numbers()
        human = torch.rand(B, 1, size, size)
        human[1] = value
        cam.requires_grad_()
        distance = saliency_distance(cam, human)
        (gradient,) = torch.autograd.grad(distance, cam)
        others = torch.tensor([True, False, True, True])
        alone = saliency_distance(cam[others], human[others])
        assert distance.item() == pytest.approx(alone.item(), abs=1e-7)
        assert torch.isfinite(gradient).all()
        assert (gradient.abs().amax((1, 2)) > 0).tolist() == others.tolist()

    def test_a_map_that_differs_by_rounding_is_constant(self) -> None:
        _, cam, _, _ = numbers()
        human = torch.full((B, 1, 50, 50), 0.3)
        human[:, :, ::3] = torch.nextafter(torch.tensor(0.3), torch.tensor(1.0))
        assert saliency_distance(cam, human).item() == 0.0

    @pytest.mark.parametrize("level", [0.0, -4.0, 1e-3, 1e4])
    def test_a_constant_cam_counts_without_gradient(self, level: float) -> None:
        _, cam, _, human = numbers()
        cam[2] = level
        cam.requires_grad_()
        distance = saliency_distance(cam, human)
        expected = slow.distance(cam.detach().double().numpy(), as_loops(human))
        assert distance.item() == pytest.approx(expected, abs=1e-6)
        (gradient,) = torch.autograd.grad(distance, cam)
        assert torch.isfinite(gradient).all()
        assert (gradient.abs().amax((1, 2)) > 0).tolist() == [True, True, False, True]

    @pytest.mark.parametrize("annotated", [True, False])
    @pytest.mark.parametrize("magnitude", [1e-45, 1e-38, 1e-20])
    def test_a_vanishing_cam_gives_no_nan(self, magnitude: float, annotated: bool) -> None:
        _, cam, _, human = numbers()
        cam[0] = 0.0
        cam[0, 2, 3] = magnitude
        cam.requires_grad_()
        looked = torch.tensor([annotated, True, True, True])
        (gradient,) = torch.autograd.grad(saliency_distance(cam, human, looked), cam)
        assert gradient[0].abs().max().item() == 0.0
        assert torch.isfinite(gradient).all()

    def test_a_cam_constant_but_for_rounding_does_not_explode(self) -> None:
        _, cam, _, human = numbers()
        cam[0] = 1000 + torch.rand(SIZE) * 1e-4
        cam.requires_grad_()
        (gradient,) = torch.autograd.grad(saliency_distance(cam, human), cam)
        assert gradient[0].abs().max().item() == 0.0


class TestModule:
    def test_alpha_one_is_cross_entropy_and_never_asks_for_the_map(self) -> None:
        output, batch = network()

        class Blind(Output):
            def cam(self, classes: Tensor) -> Tensor:
                raise AssertionError("the map was asked for")

        blind = Blind(output.logits, output.features, output.head, output.weight)
        terms = Cyborg(alpha=1)(blind, batch)
        assert torch.equal(terms.total, cross_entropy(output.logits, batch.labels))
        with pytest.raises(AssertionError, match="asked for"):
            Cyborg(alpha=0.99)(blind, batch)

    @pytest.mark.parametrize("cam_class", ["true", "predicted", "true_vs_rest"])
    @pytest.mark.parametrize("penalty", ["mse", "l1"])
    def test_whose_map_is_compared(self, cam_class: str, penalty: str) -> None:
        output, batch = network()
        features, weight = output.features.double().numpy(), output.weight.double().numpy()
        every = np.einsum("kc,bchw->bkhw", weight, features)
        cams = []
        for image in range(B):
            true = int(batch.labels[image])
            if cam_class == "true":
                cams.append(every[image, true])
            elif cam_class == "predicted":
                cams.append(every[image, int(output.logits[image].argmax())])
            else:
                others = [every[image, k] for k in range(K) if k != true]
                cams.append(every[image, true] - sum(others) / len(others))
        assert output.logits.argmax(1).tolist() != batch.labels.tolist()
        humans = as_loops(batch.saliency[:, 0], batch.annotated)
        expected = slow.distance(np.stack(cams), humans, power=2 if penalty == "mse" else 1)
        terms = Cyborg(cam_class=cam_class, penalty=penalty)(output, batch)
        assert terms.parts["saliency"].item() == pytest.approx(expected, abs=1e-6)
        ce = slow.cross_entropy(output.logits.double().numpy(), batch.labels.tolist())
        assert terms.parts["ce"].item() == pytest.approx(ce, abs=1e-6)
        assert terms.total.item() == pytest.approx(0.5 * ce + 0.5 * expected, abs=1e-6)

    def test_module_is_the_function(self) -> None:
        output, batch = network()
        weights = torch.tensor([1.0, 4.0, 0.5])
        terms = Cyborg(alpha=0.2, penalty="l1", class_weights=weights)(output, batch)
        expected = cyborg(
            output.logits,
            output.cam(batch.labels),
            batch.labels,
            batch.saliency,
            batch.annotated,
            alpha=0.2,
            penalty="l1",
            class_weights=weights,
        )
        assert torch.equal(terms.total, expected)
        weighted = slow.cross_entropy(output.logits.double().numpy(), batch.labels.tolist(), weights.tolist())
        assert terms.parts["ce"].item() == pytest.approx(weighted, abs=1e-6)

    def test_predicted_class_is_a_choice_not_a_path_for_gradients(self) -> None:
        logits = torch.tensor([[1.0, 3.0], [2.0, 0.0]])
        assert choose_classes(logits, torch.tensor([0, 0]), "predicted").tolist() == [1, 0]
        assert choose_classes(logits, torch.tensor([0, 1]), "true").tolist() == [0, 1]
        assert choose_classes(logits, torch.tensor([0, 1]), "true_vs_rest").tolist() == [[1.0, -1.0], [-1.0, 1.0]]

    @pytest.mark.parametrize(("ramp", "shares"), [(0, [1, 1, 1, 1]), (1, [0.5, 1, 1, 1]), (3, [0.25, 0.5, 0.75, 1.0])])
    def test_ramp_grows_to_the_full_weight(self, ramp: int, shares: list[float]) -> None:
        output, batch = network()
        loss = Cyborg(alpha=0.4, ramp_epochs=ramp)
        for epoch, share in enumerate(shares):
            loss.epoch = epoch
            total, parts = loss(output, batch)
            expected = 0.4 * parts["ce"].item() + share * 0.6 * parts["saliency"].item()
            assert total.item() == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"alpha": 1.5}, "alpha: expected a number from 0 to 1, got 1.5"),
            ({"cam_class": "pred"}, "predicted"),
            ({"penalty": "l2"}, "penalty: expected mse or l1"),
        ],
    )
    def test_refuses_unknown_options(self, wrong: dict[str, object], message: str) -> None:
        with pytest.raises(SalignError, match=message):
            Cyborg(**wrong)


finite = st.floats(-1e3, 1e3, width=32)
shares = st.floats(0, 1, width=32)


def stack(cells: st.SearchStrategy[float]) -> st.SearchStrategy[Tensor]:
    return st.lists(cells, min_size=3 * 12, max_size=3 * 12).map(lambda x: torch.tensor(x).view(3, 3, 4))


class TestInvariants:
    @settings(deadline=None)
    @given(cam=stack(finite), human=stack(shares), annotated=st.tuples(*[st.booleans()] * 3))
    def test_the_distance_lies_in_the_unit_interval_with_finite_gradient(
        self, cam: Tensor, human: Tensor, annotated: tuple[bool, ...]
    ) -> None:
        cam.requires_grad_()
        for penalty in ("mse", "l1"):
            distance = saliency_distance(cam, human, torch.tensor(annotated), penalty=penalty)
            (gradient,) = torch.autograd.grad(distance, cam)
            assert 0 <= distance.item() <= 1
            assert torch.isfinite(gradient).all()

    @settings(deadline=None)
    @given(cam=stack(finite), human=stack(shares), power=st.integers(-8, 8))
    def test_the_scale_of_human_maps_is_nothing(self, cam: Tensor, human: Tensor, power: int) -> None:
        human = torch.round(human * 255) / 255
        factor = math.pi**power
        expected = saliency_distance(cam, human).item()
        assert saliency_distance(cam, human * factor).item() == pytest.approx(expected, abs=1e-5)

    @settings(deadline=None)
    @given(
        cam=stack(finite),
        human=stack(shares),
        annotated=st.tuples(*[st.booleans()] * 3),
        order=st.permutations([0, 1, 2]),
    )
    def test_the_order_of_the_batch_is_nothing(
        self, cam: Tensor, human: Tensor, annotated: tuple[bool, ...], order: list[int]
    ) -> None:
        looked = torch.tensor(annotated)
        expected = saliency_distance(cam, human, looked).item()
        assert saliency_distance(cam[order], human[order], looked[order]).item() == pytest.approx(expected, abs=1e-6)


def test_maps_shrunk_by_area_are_farther_from_the_same_cams_than_by_the_published_resize() -> None:
    """As docs/losses.md says: by a tenth and more near people's maps, by a fiftieth where CAMs know nothing of them."""
    down, across = np.mgrid[:224, :224]
    centres = np.random.default_rng(0).integers(40, 184, (40, 2))
    marks = np.stack([np.exp(-((down - y) ** 2 + (across - x) ** 2) / (2 * 24**2)) for y, x in centres])
    pictures = [Image.fromarray((255 * mark).round().astype(np.uint8)) for mark in marks]
    published = [np.asarray(one.resize((7, 7), Image.Resampling.BILINEAR), dtype=float) for one in pictures]
    areas = [mark.reshape(7, 32, 7, 32).mean((1, 3)) for mark in marks]
    ratios = []
    for noise in (1000, 0.3):
        cams = np.stack([slow.scaled(one) for one in published]) + noise * np.random.default_rng(1).random((40, 7, 7))
        found = saliency_distance(torch.tensor(cams), torch.tensor(marks)[:, None]).item()
        assert found == pytest.approx(slow.distance(cams, areas), rel=1e-4)
        ratios.append(found / slow.distance(cams, published))
    assert 1.01 < ratios[0] < 1.03
    assert 1.09 < ratios[1] < 1.17
