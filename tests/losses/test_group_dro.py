"""Group DRO against the formula, image by image; the groups that fare worst come to weigh the most."""

from __future__ import annotations

import pytest
import torch

from guided_case import case
from references import group_dro as slow
from salign.errors import SalignError
from salign.losses import GroupDro, group_dro

LOSSES = torch.tensor([0.3, 2.0, 0.9, 1.1, 0.1, 0.5], dtype=torch.float64)
GROUPS = torch.tensor([0, 2, 0, 2, 0, 3])
SHARES = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
SIZES = torch.tensor([100, 9, 25, 4])


@pytest.mark.parametrize(("step_size", "adjustment"), [(0.01, 0.0), (0.5, 2.0), (0.0, 0.0)])
def test_equals_the_formula_where_a_group_is_missing_in_the_batch(step_size: float, adjustment: float) -> None:
    got, shares = group_dro(LOSSES, GROUPS, SHARES, step_size=step_size, adjustment=adjustment, sizes=SIZES)
    expected, renewed = slow.group_dro(
        LOSSES.tolist(), GROUPS.tolist(), SHARES.tolist(), step_size, adjustment, SIZES.tolist()
    )
    assert got.item() == pytest.approx(expected, rel=1e-12)
    assert shares.tolist() == pytest.approx(renewed, rel=1e-12)
    assert torch.allclose(shares, SHARES, atol=1e-9) == (step_size == 0)


def test_the_gradient_of_an_image_is_the_share_of_its_group_over_its_images() -> None:
    losses = LOSSES.clone().requires_grad_()
    total, shares = group_dro(losses, GROUPS, SHARES)
    total.backward()
    assert not shares.requires_grad
    counts = [3, 0, 2, 1]
    expected = [float(shares[g]) / counts[g] for g in GROUPS.tolist()]
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx(expected, rel=1e-12)


def test_the_loss_remembers_and_the_worst_group_comes_to_weigh_the_most() -> None:
    output, batch, _ = case()
    loss = GroupDro(step_size=0.5)
    loss.tell_groups(torch.tensor([1, 0, 1, 2, 2]))
    assert loss.shares.tolist() == pytest.approx([1 / 3] * 3)
    each = torch.nn.functional.cross_entropy(output.logits, batch.labels, reduction="none").detach()
    means = [float(each[1]), float(each[[0, 2]].mean()), float(each[3])]
    assert loss(output, batch).parts["ce"].item() == pytest.approx(float(each.mean()), rel=1e-6)
    for _ in range(60):
        loss(output, batch)
    assert loss.shares.argmax().item() == means.index(max(means))
    assert loss.shares.max() > 0.9
    assert loss.state_dict().keys() == {"shares"}
    before = loss.shares.clone()
    with torch.no_grad():
        loss(output, batch)
    assert torch.equal(loss.shares, before)


def test_the_classes_are_the_groups_where_nobody_names_others() -> None:
    output, batch, _ = case()
    loss, named = GroupDro(step_size=0.5), GroupDro(step_size=0.5)
    named.tell_groups(batch.labels)
    named.shares = torch.full((output.logits.shape[1],), 1 / output.logits.shape[1])
    named.sizes = torch.ones(output.logits.shape[1])
    for _ in range(3):
        assert loss(output, batch).total.item() == pytest.approx(named(output, batch).total.item(), rel=1e-6)
    assert loss.shares.tolist() == pytest.approx(named.shares.tolist(), rel=1e-6)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(SalignError, match="give sizes"):
        group_dro(LOSSES, GROUPS, SHARES, adjustment=1.0)
    with pytest.raises(SalignError, match="step_size: expected a number of 0 or more"):
        GroupDro(step_size=-1)


def test_a_fresh_loss_takes_the_state_of_one_that_has_learned() -> None:
    output, batch, _ = case()
    loss, fresh = GroupDro(step_size=0.5), GroupDro(step_size=0.5)
    loss(output, batch)
    fresh.load_state_dict(loss.state_dict())
    assert torch.equal(fresh.shares, loss.shares)
    assert not torch.equal(fresh.shares, torch.full_like(fresh.shares, 1 / len(fresh.shares)))
