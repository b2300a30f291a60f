"""What every member of a public table promises, asked of each by one test."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from salign.errors import SalignError
from salign.losses import LOSSES as NAMED, Cdep, Distill, GroupDro, Hint, Loss, LossTerms, Okd, Swap
from salign.losses.dose import Dose
from salign.models import Classifier, wrap
from salign.types import Batch, Output

B, K, SIZE = 6, 3, 64
KNOWN = {"draw", "cam", "grad_cam", "input_gradient", "second_view", "linear_head", "teacher", "groups"}

ONE = torch.arange(B) % K
SEVERAL = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, 0]]).float()
"""With an image that has no label and one that has all."""


class CdepOfNetwork(Cdep):
    """`cdep` with the option that makes another loss of it: a second look, and no linear head."""

    needs = frozenset({"second_view"})

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__(decomposes="network", class_weights=class_weights)


class DistillOfColours(Distill):
    """`distill` with a teacher: it answers by the mean of each colour."""

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights=class_weights)
        self.teacher = lambda images: 20 * images.mean((2, 3))


class OkdOfColours(Okd):
    """`okd` with the same teacher."""

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights=class_weights)
        self.teacher = lambda images: 20 * images.mean((2, 3))


class GroupDroOfThree(GroupDro):
    """`group_dro` that knows of three groups, which are no classes, and forgets the batches before."""

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights=class_weights)
        self.tell_groups(torch.tensor([0, 1, 2, 1, 0, 1]))

    def forward(self, output: Output, batch: Batch) -> LossTerms:
        self.shares.fill_(1 / 3)
        return super().forward(output, batch)


class HintOfDose(Hint):
    """`hint` with a weight that follows from the norms of the gradients."""

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__(form="mse", class_weights=class_weights)
        self.dose = Dose(0.5)


class SwapOfDose(Swap):
    """`swap` likewise, whose term has gradients at the features of the second look alone."""

    def __init__(self, *, class_weights: Tensor | None = None) -> None:
        super().__init__(class_weights=class_weights)
        self.dose = Dose(0.5)


LOSSES: dict[str, type[Loss]] = {
    **NAMED,
    "cdep of network": CdepOfNetwork,
    "distill": DistillOfColours,
    "okd": OkdOfColours,
    "group_dro": GroupDroOfThree,
    "hint of dose": HintOfDose,
    "swap of dose": SwapOfDose,
}

every_loss = pytest.mark.parametrize("name", sorted(LOSSES))
both_labels = pytest.mark.parametrize("labels", [ONE, SEVERAL], ids=["one", "several"])


def make_batch(annotated: list[bool], seed: int = 0, size: int = SIZE, labels: Tensor = ONE) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    looked = torch.tensor(annotated)
    return Batch(
        images=torch.rand(B, 3, size, size, generator=generator),
        labels=labels,
        saliency=torch.rand(B, 1, size, size, generator=generator) * looked.view(B, 1, 1, 1),
        annotated=looked,
        index=torch.arange(B),
        seconds=torch.where(looked, torch.rand(B, generator=generator) * 20, torch.nan),
    )


SOME, ALL, NONE = [True, False, True, True, False, True], [True] * B, [False] * B


def make_classifier() -> Classifier:
    args = {"zero_init_last": False}  # else residual branches start at zero, and so do their gradients
    return Classifier("test_resnet", [str(k) for k in range(K)], image_size=SIZE, output_stride=8, args=args)


def terms_of(loss: Loss, classifier: Classifier, batch: Batch) -> LossTerms:
    batch = loss.prepare(batch)
    return loss(classifier(batch.images), batch)


def gradients(classifier: Classifier, loss: Loss, batch: Batch) -> list[Tensor]:
    classifier.zero_grad()
    terms_of(loss, classifier, batch).total.backward()
    return [parameter.grad.clone() for parameter in classifier.parameters()]


@every_loss
def test_it_says_what_it_is_and_needs(name: str) -> None:
    kind = LOSSES[name]
    assert issubclass(kind, Loss)
    assert "__doc__" in vars(kind)
    assert len(kind.__doc__ or "") > 20
    assert isinstance(kind.needs, frozenset)
    assert kind.needs <= KNOWN


@every_loss
@both_labels
@pytest.mark.parametrize("annotated", [SOME, ALL, NONE], ids=["some", "all", "none"])
def test_gradients_are_finite_and_reach_every_layer(name: str, annotated: list[bool], labels: Tensor) -> None:
    got = gradients(make_classifier(), LOSSES[name](), make_batch(annotated, labels=labels))
    assert all(torch.isfinite(gradient).all() for gradient in got)
    assert all(gradient.abs().max() > 0 for gradient in got if gradient.dim() > 1)


@every_loss
@both_labels
def test_without_annotation_what_concerns_saliency_is_exactly_zero(name: str, labels: Tensor) -> None:
    """A loss that does not look at people's maps gives the same with and without them."""
    classifier, loss = make_classifier().eval(), LOSSES[name]()
    terms = terms_of(loss, classifier, make_batch(NONE, labels=labels))
    expected = {part: terms.parts[part].item() if part in loss.of_all_images else 0.0 for part in terms.parts}
    if not loss.guided:
        parts = terms_of(loss, classifier, make_batch(ALL, labels=labels)).parts
        expected = {part: value.item() for part, value in parts.items()}
    assert {part: value.item() for part, value in terms.parts.items()} == expected


@every_loss
@both_labels
def test_soft_targets_change_the_cross_entropy_and_no_term_of_maps(name: str, labels: Tensor) -> None:
    batch = make_batch(SOME, labels=labels)
    certain = labels if labels.dim() == 2 else nn.functional.one_hot(labels, K).float()
    soft = 0.7 * certain + 0.1
    classifier, loss = make_classifier().eval(), LOSSES[name]()
    plain, same, other = (
        terms_of(loss, classifier, batch._replace(targets=targets)) for targets in (None, certain, soft)
    )
    assert same.total.item() == pytest.approx(plain.total.item(), rel=1e-5)
    assert other.parts["ce"].item() != pytest.approx(plain.parts["ce"].item(), rel=1e-3)
    for part in plain.parts.keys() - {"ce", "share", "saliency_weight"}:  # these two follow from the cross-entropy
        assert other.parts[part].item() == pytest.approx(plain.parts[part].item(), abs=1e-6)


@every_loss
@pytest.mark.parametrize("annotated", [SOME, NONE], ids=["some", "none"])
def test_maps_nobody_drew_are_not_looked_at(name: str, annotated: list[bool]) -> None:
    """Whatever lies in the place of a missing map changes neither loss nor gradient."""
    batch = make_batch(annotated)
    missing = ~batch.annotated.view(B, 1, 1, 1)
    other = batch._replace(saliency=torch.where(missing, make_batch(ALL, seed=1).saliency, batch.saliency))
    assert not torch.equal(other.saliency, batch.saliency)
    classifier, loss = make_classifier().eval(), LOSSES[name]()
    for mine, theirs in zip(gradients(classifier, loss, batch), gradients(classifier, loss, other), strict=True):
        assert torch.equal(mine, theirs)


@every_loss
@both_labels
def test_the_order_of_the_batch_changes_nothing(name: str, labels: Tensor) -> None:
    batch, order = make_batch(SOME, labels=labels), torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = batch.each(lambda field: field[order])
    classifier, loss = make_classifier().double().eval(), LOSSES[name]()
    batch, shuffled = (each._replace(images=each.images.double()) for each in (batch, shuffled))
    for mine, theirs in zip(gradients(classifier, loss, batch), gradients(classifier, loss, shuffled), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-5 * float(mine.abs().max()) + 1e-12)


@every_loss
@both_labels
def test_bfloat16_autocast_gives_a_float32_loss_near_the_float32_one(name: str, labels: Tensor) -> None:
    batch = make_batch(SOME, labels=labels)
    classifier, loss = make_classifier().eval(), LOSSES[name]()
    exact = terms_of(loss, classifier, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = terms_of(loss, classifier, batch)
    rough.total.backward()
    assert rough.total.dtype == torch.float32
    assert rough.total.item() == pytest.approx(exact.total.item(), rel=0.03)
    assert all(torch.isfinite(parameter.grad).all() for parameter in classifier.parameters())


@every_loss
def test_parts_are_scalars_for_the_log_without_a_graph(name: str) -> None:
    batch = make_batch(SOME)
    terms = terms_of(LOSSES[name](), make_classifier(), batch)
    assert terms.total.requires_grad
    assert terms.total.dim() == 0
    assert "ce" in terms.parts
    for value in terms.parts.values():
        assert not value.requires_grad
        assert value.dim() == 0
        assert torch.isfinite(value)


@every_loss
def test_it_works_where_nothing_is_learned(name: str) -> None:
    """But for losses that differentiate by the image, which say so."""
    batch = make_batch(SOME)
    classifier, loss = make_classifier().eval(), LOSSES[name]()
    terms_of(loss, classifier, batch)  # a dose is measured where something is learned
    with torch.inference_mode():
        if "input_gradient" in loss.needs:
            with pytest.raises(SalignError, match=f"{name} .*gradient"):
                loss(classifier(batch.images), batch)
            return
        quiet = loss(classifier(batch.images), batch)
    assert quiet.total.item() == pytest.approx(terms_of(loss, classifier, batch).total.item(), abs=1e-6)


class Watched(torch.autograd.Function):
    """Changes nothing; a pass stands in `graphs` as long as anything holds the graph that it left."""

    graphs: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    @staticmethod
    def forward(context: Any, weight: Tensor) -> Tensor:
        Watched.graphs.add(context)
        return weight.view_as(weight)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient


class Small(nn.Module):
    """The least that has batch norm, a kink and a linear head on the spatial mean; it counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Parameter(torch.randn(6, 3, 4, 4) / 7), nn.Linear(6, K)
        self.body = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 1))
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        maps = nn.functional.conv2d(images, Watched.apply(self.stem), stride=4)
        return self.head(self.body(maps).mean((2, 3)))


@every_loss
def test_two_hundred_steps_leave_no_hook_and_no_graph_behind(name: str) -> None:
    batch, loss, net = make_batch(SOME, size=16), LOSSES[name](), Small()
    network = wrap(net, features="body", head="head", image_size=16)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    net.passes = 0

    def step() -> None:
        optimiser.zero_grad()
        ready = loss.prepare(batch)
        total = loss(network(ready.images), ready).total
        assert len(Watched.graphs) > 0
        total.backward()
        optimiser.step()

    def after(steps: int) -> tuple[int, int, int]:
        """So many steps on: tensors there are, their bytes, graphs held."""
        for _ in range(steps):
            step()
        gc.collect()
        tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
        return len(tensors), sum(tensor.nbytes for tensor in tensors), len(Watched.graphs)

    gc.freeze()  # what is there already is not looked through
    try:
        before = after(20)
        assert after(180) == before
    finally:
        gc.unfreeze()
    assert before[2] == 0
    assert net.passes == (400 if "second_view" in loss.needs else 200)
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not module._backward_pre_hooks


@every_loss
@both_labels
def test_an_output_of_another_kind_of_head_will_do(name: str, labels: Tensor) -> None:
    """A loss asks the output, never the architecture; one that cannot do without a linear head says so."""
    if LOSSES[name].needs & {"input_gradient", "second_view"}:
        return  # this output has neither images nor a network
    features = torch.randn(B, 4, 3, 3, requires_grad=True)
    weight = torch.randn(K, 4, requires_grad=True)

    def head(maps: Tensor) -> Tensor:
        return torch.tanh(maps.mean((2, 3))) @ weight.T

    loss, output = LOSSES[name](), Output(head(features), features, head)
    if "linear_head" in loss.needs:
        with pytest.raises(SalignError, match=f"{name} needs .* linear head .* another loss"):
            loss(output, make_batch(SOME, labels=labels))
        return
    loss(output, make_batch(SOME, labels=labels)).total.backward()
    for leaf in (features, weight):
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
        assert leaf.grad.abs().max() > 0


ANSWERS = {
    "distill": "the divergence of sigmoids, not of a softmax",
    "evidence": "what is added to all logits changes several answers, and not the one",
    "gain": "the score is a sigmoid, not a softmax",
    "hint of dose": "the weight goes by the gradient of cross-entropy, which is that of a sigmoid",
    "gain_ext": "as gain",
    "gradia": "the weights go by whether the answer is right",
    "okd": "as distill",
    "rrr": "log-probabilities of a sigmoid, not of a softmax",
    "swap": "cross-entropy of a sigmoid, not of a softmax",
    "swap of dose": "as swap",
    "viser": "the map is that of what is predicted",
}
"""Losses whose terms look at more than the true class's evidence -> at what. Each must differ."""


def test_an_image_with_one_of_several_labels_has_the_terms_of_that_label() -> None:
    one_hot = nn.functional.one_hot(ONE, K).float()
    differ = set()
    for name in LOSSES:
        classifier, loss = make_classifier().eval(), LOSSES[name]()
        classifier.backbone.net.fc.bias.data += 5  # every class is predicted, where several may be
        one, other = (terms_of(loss, classifier, make_batch(ALL, labels=labels)).parts for labels in (ONE, one_hot))
        assert one.keys() == other.keys()
        if any(other[part].item() != pytest.approx(one[part].item(), rel=1e-6) for part in one.keys() - {"ce"}):
            differ.add(name)
    assert differ == ANSWERS.keys()


@pytest.mark.parametrize("name", sorted(name for name, loss in LOSSES.items() if loss.guided))
def test_an_image_without_label_has_no_true_class_whose_map_could_count(name: str) -> None:
    """Only losses about all classes, or about none, learn from its map."""
    everywhere = {"cdep", "cdep of network", "evidence", "rrr", "sage", "swap", "swap of dose"}
    classifier, loss = make_classifier().eval(), LOSSES[name](**({"cam_class": "true"} if name == "viser" else {}))
    batch = make_batch(ALL, labels=SEVERAL)
    other = batch._replace(annotated=SEVERAL.any(1))
    with_map, without = (gradients(classifier, loss, each) for each in (batch, other))
    same = all(torch.equal(mine, theirs) for mine, theirs in zip(with_map, without, strict=True))
    assert same == (name not in everywhere)


PROCESSES = 2
WEIGHTS = torch.tensor([1.0, 3.0, 0.5])
SPREADS = ([True, True, True, False, True, False], [True, True, False, False, False, False])
"""Which images are annotated; the first half of them goes to one process, the second to the other."""
UNEVEN = torch.tensor([0, 0, 1, 2, 1, 2])
"""The halves differ in classes, too, and so in the sum of their class weights."""


class Step(nn.Module):
    """All of a training step up to its loss, so that what averages the gradients sees it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.classifier = make_classifier().eval()  # batch norm by the batch is by the process, in every framework
        self.loss = LOSSES[name](class_weights=WEIGHTS)

    def forward(self, batch: Batch) -> Tensor:
        return terms_of(self.loss, self.classifier, batch).total

    def gradients(self) -> list[Tensor]:
        return [weight.grad for weight in self.parameters() if weight.requires_grad]


def spreads() -> list[Batch]:
    return [make_batch(annotated, labels=labels) for annotated in SPREADS for labels in (UNEVEN, SEVERAL)]


def half_of_every_batch(rank: int, folder: Path) -> None:
    """One of the processes: for each loss and spread, the gradients that they average."""
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    mine = slice(rank * B // PROCESSES, (rank + 1) * B // PROCESSES)
    found = {}
    for name in sorted(LOSSES):
        for k, batch in enumerate(spreads()):
            step = DistributedDataParallel(Step(name))
            step(batch.each(lambda values: values[mine])).backward()
            found[name, k] = step.module.gradients()
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Half of the batch each, annotated images and classes spread unevenly."""
    multiprocessing.spawn(half_of_every_batch, (tmp_path,), nprocs=PROCESSES)
    halves = [torch.load(tmp_path / f"{rank}.pt") for rank in range(PROCESSES)]
    wrong = []
    for name in sorted(LOSSES):
        agree = True
        for k, batch in enumerate(spreads()):
            step = Step(name)
            step(batch).backward()
            for whole, *both in zip(step.gradients(), *(half[name, k] for half in halves), strict=True):
                assert torch.equal(both[0], both[1])
                agree &= bool((both[0] - whole).abs().max() <= 1e-4 * whole.abs().max())
        if not agree:
            wrong.append(name)
    assert wrong == []
