from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from salign.errors import SalignError
from salign.evaluate.agreement import energy
from salign.models import Classifier
from salign.train.steps import STEPS, largest
from salign.types import Batch

B, SIZE = 8, 32


def classifier():
    return Classifier("test_resnet", ["a", "b", "c"], image_size=SIZE, output_stride=8).eval()


def batch_of(annotated=(True,) * B, **changed):
    generator = torch.Generator().manual_seed(0)
    saliency = torch.zeros(B, 1, SIZE, SIZE)
    for k in range(B):
        saliency[k, :, 2 * k : 2 * k + 12, 4:20] = annotated[k]
    fields = {
        "images": torch.rand(B, 3, SIZE, SIZE, generator=generator),
        "labels": torch.arange(B) % 3,
        "saliency": saliency,
        "annotated": torch.tensor(annotated),
        "index": torch.arange(B) + 10,
        "draw": torch.tensor([80, 10, 70, 20, 60, 30, 50, 40]),
    }
    return Batch(**{**fields, **changed})


def rows(**options):
    return lambda batch: (STEPS["select"](**options)(batch, classifier(), 0).index - 10).tolist()


def test_the_largest_are_taken_in_their_order_and_at_least_two():
    scores = torch.tensor([0.1, 0.9, 0.5, 0.7])
    assert largest(scores, 0.5).tolist() == [1, 3]
    assert largest(scores, 0.6).tolist() == [1, 2, 3]  # 2.4 images, rounded up
    assert largest(scores, 0.01).tolist() == [1, 3]
    assert largest(scores, 1.0).tolist() == [0, 1, 2, 3]
    assert largest(scores[:1], 0.5).tolist() == [0]


def test_of_two_groups_the_same_share_is_taken():
    scores = torch.tensor([0.1, 0.9, 0.5, 0.7, 100, 300, 200, 400])
    groups = torch.tensor([True] * 4 + [False] * 4)
    assert largest(scores, 0.5, groups).tolist() == [1, 3, 5, 7]
    assert largest(scores, 0.25, groups).tolist() == [1, 7]
    assert largest(scores[:5], 0.4, groups[:5]).tolist() == [1, 3]  # the lone image of its group stands in its middle


def test_the_images_that_are_answered_worst_go_on():
    batch = batch_of()
    losses = functional.cross_entropy(classifier()(batch.images).logits, batch.labels, reduction="none")
    assert rows()(batch) == sorted(losses.topk(4).indices.tolist())
    soft = torch.rand(B, 3, generator=torch.Generator().manual_seed(1)).softmax(1)
    losses = functional.cross_entropy(classifier()(batch.images).logits, soft, reduction="none")
    assert rows(share=0.25)(batch._replace(targets=soft)) == sorted(losses.topk(2).indices.tolist())


def test_at_random_the_draw_decides():
    assert rows(by="random")(batch_of()) == [0, 2, 4, 6]  # those with the largest numbers


def test_every_field_follows():
    batch = batch_of(partner=torch.rand(B, 3, SIZE, SIZE))
    selected = STEPS["select"](by="random")(batch, classifier(), 0)
    for field, whole in zip(selected, batch, strict=True):
        assert (field is None) == (whole is None)
        assert field is None or torch.equal(field, whole[[0, 2, 4, 6]])


def test_by_disagreement_the_images_whose_evidence_lies_outside_go_on():
    batch = batch_of()
    outside = 1 - energy(classifier()(batch.images).cam(batch.labels).detach(), batch.saliency[:, 0])
    assert rows(by="disagreement")(batch) == sorted(outside.topk(4).indices.tolist())


def test_by_disagreement_images_without_a_map_are_selected_by_cross_entropy():
    batch = batch_of(annotated=(True, False) * 4)
    output = classifier()(batch.images)
    outside = 1 - energy(output.cam(batch.labels).detach(), batch.saliency[:, 0])[::2]
    losses = functional.cross_entropy(output.logits, batch.labels, reduction="none")[1::2]
    expected = [2 * k for k in outside.topk(2).indices.tolist()] + [2 * k + 1 for k in losses.topk(2).indices.tolist()]
    assert rows(by="disagreement")(batch) == sorted(expected)


@pytest.mark.parametrize("share", [0, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(SalignError, match="share: expected a number above 0 and up to 1, got"):
        STEPS["select"](share=share)
