"""What a model uses, as opposed to what its map shows: replace one side of the human region and see the answer change.

The method follows the foreground and background swaps of Xiao et al. 2021 (*Noise or Signal: The Role of Image
Backgrounds in Object Recognition*), with the human map as the foreground. It finds models whose map looks right but
whose answer flips with the background. A changed picture is also an unusual one, so compare the figures of models with
each other, and not a figure with zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from salign.checks import choice, number, tensors, values
from salign.errors import SalignError
from salign.evaluate.classification import accuracy, auroc, one_vs_rest
from salign.evaluate.constant import constant_note
from salign.maps.region import region, surroundings
from salign.types import Batch

COLUMNS = ("kept", "fill", "metric", "value", "sd", "images", "note")
GROUP = 32
"""Number of images that may lend each other their background."""
BLUR = 1 / 8
"""Standard deviation of the blur, as a share of the image's longer side."""


Side = Literal["inside", "outside"]
_ONE_SIDE = "the images are all on one side, so there is nothing to rank"


class Fill(Protocol):
    """A function that makes what replaces the part of an image that is not kept."""

    def __call__(
        self, images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Make a fill `(B, 3, H, W)` in [0, 1] for images `(B, 3, H, W)` in [0, 1] and regions `(B, 1, H, W)`."""


def other(images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
    """Lend each image the background of another image, of another class if `labels` show that the batch has one.

    With labels `(B,)`, another class is another label. With labels `(B, K)`, of which an image may have several, any
    difference is another class. The human region of the other image is first painted over by `surroundings`, so that
    its object does not come along.

    Raises:
        SalignError: there is only one image.
    """
    _check(images, regions)
    count = len(images)
    if count < 2:
        raise SalignError(f"the background of another image takes at least two images in the batch; got {count}.")
    chance = torch.rand(count, count, generator=generator).to(images.device)
    if labels is not None:
        apart = labels[:, None] != labels
        chance = chance + (apart.any(2) if labels.dim() == 2 else apart)
    lender = chance.fill_diagonal_(-1).argmax(1)
    return surroundings(images, regions)[lender]


def blur(images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
    """Blur each image, so that its colours stay but its shapes do not.

    The Gaussian has a standard deviation of `BLUR` times the longer side, and is renormalised at the edges.
    """
    _check(images, regions)
    height, width = images.shape[-2:]
    sigma = BLUR * max(height, width)
    rows, columns = (_gaussian(side, sigma).to(images) for side in (height, width))
    return rows @ images @ columns.T


def noise(images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
    """Draw Gaussian noise, so that the colours of an image stay but its shapes do not.

    The noise has the mean and standard deviation of each image and colour channel, and is cut to [0, 1].
    """
    _check(images, regions)
    draws = torch.randn(images.shape, generator=generator).to(images)
    mean, deviation = images.mean((-2, -1), keepdim=True), images.std((-2, -1), keepdim=True, correction=0)
    return (mean + deviation * draws).clamp(0, 1)


def grey(images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
    """Fill all images with one colour, the mean of the whole batch.

    The mean of an image itself would give its background away.
    """
    _check(images, regions)
    return images.mean((0, 2, 3), keepdim=True).expand_as(images)


def _check(images: Tensor, regions: Tensor) -> None:
    tensors(images=(images, "float (B, 3, H, W)"), regions=(regions, "float (B, 1, H, W)"))
    values("regions", regions, "[0, 1]")


FILLS: dict[str, Fill] = {"other": other, "blur": blur, "noise": noise, "grey": grey}
"""The fills by the names that they have in the table."""
RANDOM = ("other", "noise")
"""The fills that differ from draw to draw."""


def compose(images: Tensor, regions: Tensor, fill: Tensor, keep: Side) -> Tensor:
    """Keep the images inside (or outside) the regions, and put the fill everywhere else.

    Args:
        images: `(B, 3, H, W)`.
        regions: `(B, 1, H, W)` in [0, 1]; values between 0 and 1 mix image and fill.
        fill: `(B, 3, H, W)`.
        keep: the side of the region that is kept.

    Raises:
        SalignError: the side is unknown, or an argument has the wrong shape.
    """
    choice("keep", keep, Side)
    _check(images, regions)
    tensors(images=(images, "float (B, 3, H, W)"), fill=(fill, "float (B, 3, H, W)"))
    weight = regions if keep == "inside" else 1 - regions
    return weight * images + (1 - weight) * fill


def reliance(
    classify: Callable[[Tensor], Tensor],
    batches: Iterable[Batch],
    *,
    positive: int | None,
    generator: torch.Generator,
    fills: Mapping[str, Fill] = FILLS,
    classes: Sequence[str] | None = None,
    unmarked: Collection[int] = (),
    draws: int = 1,
) -> pd.DataFrame:
    """Measure how the answers change when only the human region is kept, and when only the rest of the image is kept.

    Only annotated images whose map is not blank are used, in groups of `GROUP`, whatever the size of the batches. Pass
    the images in random order, so that most groups hold several classes. Only the logits are kept, so memory grows by
    them alone.

    Args:
        classify: images `(B, 3, H, W)` in [0, 1] -> logits `(B, K)`.
        batches: images with labels and human maps, each image once.
        positive: number of the class to detect, of two classes; with None, AUROC is the macro mean over classes, each
            against the rest.
        generator: CPU generator of everything that is drawn; its state moves on.
        fills: fills by name, as in `FILLS`.
        classes: names of the K classes for the notes; None calls them by their numbers.
        unmarked: numbers of the classes on whose images there is nothing to mark, such as tiles without a defect. Each
            of their images borrows the region of a marked image of its group, drawn at random, and is then used like a
            marked image. A group without a marked image is left out.
        draws: how often each of the fills in `RANDOM` is drawn.

    Returns:
        A row per figure, with the columns `COLUMNS`: kept (all, inside, outside), fill (empty for all), metric, value
        (the mean over draws), sd (over draws; NaN for a single draw), images (their number), and note. The note says
        why a value is missing, or that all answers are alike; for flipped, that all answers to untouched images are.

        The metrics are accuracy; auroc, by the softmax probability; margin, the mean of the logit of the true class
        minus the largest other logit; and flipped, the share of answers that differ from that to the untouched image.

        If images may have several labels, an answer covers all classes, auroc is the mean over the classes that some
        images have and some have not, and margin is the mean over classes of how far the logit lies on the right side
        of 0.

        With fewer than two usable images the table has no rows, because no image has another one to borrow from.
    """
    number("draws", draws, "[1, inf)", whole=True)
    answers: dict[tuple[str, str, int], list[Tensor]] = {}
    labels: list[Tensor] = []
    for group in _groups(batches, unmarked, generator):
        labels.append(group.labels.cpu())
        for way, logits in _answers(classify, group, fills, draws, generator):
            answers.setdefault(way, []).append(logits)
    if not labels:
        return pd.DataFrame(columns=list(COLUMNS))
    truth = torch.cat(labels)
    joined = {way: torch.cat(parts) for way, parts in answers.items()}
    untouched = joined["all", "", 0]
    if positive is not None:
        number("positive", positive, f"[0, {untouched.shape[1]})", whole=True)
    names = classes or [f"class {k}" for k in range(untouched.shape[1])]
    unchanging, rows = _alike(untouched, truth, names), []
    for (side, fill, _), logits in joined.items():
        alike = {"accuracy": _alike(logits, truth, names), "flipped": unchanging}
        for metric, value, note in _figures(logits, truth, untouched, positive):
            rows.append((side, fill, metric, value, note or alike.get(metric, "")))
    table = pd.DataFrame(rows, columns=["kept", "fill", "metric", "value", "note"])
    figures = table.groupby(["kept", "fill", "metric"], sort=False, as_index=False)
    summary = figures.agg(value=("value", "mean"), sd=("value", "std"), note=("note", "max"))
    return summary.assign(images=len(truth))[list(COLUMNS)]


def _alike(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> str:
    several = labels.dim() == 2
    probabilities = logits.sigmoid() if several else logits.softmax(1)
    return constant_note(probabilities.numpy(), labels.numpy(), classes, multi_label=several)


@torch.inference_mode()
def _answers(
    classify: Callable[[Tensor], Tensor],
    group: _Group,
    fills: Mapping[str, Fill],
    draws: int,
    generator: torch.Generator,
) -> Iterator[tuple[tuple[str, str, int], Tensor]]:
    """Yield `(kept, fill, draw)` and the logits `(B, K)`, for every way to show the images."""
    images, regions = group.images, region(group.saliency)
    yield ("all", "", 0), classify(images).cpu().double()
    sides: tuple[Side, ...] = ("inside", "outside")
    for name, make in fills.items():
        for draw in range(draws if name in RANDOM else 1):
            fill = make(images, regions, generator, group.labels)
            for side in sides:
                yield (side, name, draw), classify(compose(images, regions, fill, side)).cpu().double()


def _figures(
    logits: Tensor, labels: Tensor, untouched: Tensor, positive: int | None
) -> Iterator[tuple[str, float, str]]:
    """Yield the name, the value and the note of every metric."""
    if labels.dim() == 2:
        yield from _figures_of_several(logits, labels.bool(), untouched)
        return
    predicted, probabilities = logits.argmax(1), logits.softmax(1).numpy()
    if positive is None:
        area = one_vs_rest(auroc, probabilities, labels.numpy())
    else:
        area = auroc(probabilities[:, positive], (labels == positive).numpy())
    strongest = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    yield "accuracy", float(accuracy(predicted.numpy(), labels.numpy())), ""
    yield "auroc", float(area), _ONE_SIDE if np.isnan(area) else ""
    yield "margin", float((logits.gather(1, labels[:, None])[:, 0] - strongest).mean()), ""
    yield "flipped", float((predicted != untouched.argmax(1)).double().mean()), ""


def _figures_of_several(logits: Tensor, labels: Tensor, untouched: Tensor) -> Iterator[tuple[str, float, str]]:
    """Yield the same as `_figures` for `(N, K)` labels."""
    answers = logits > 0
    areas = [float(auroc(logits[:, k].numpy(), labels[:, k].numpy())) for k in range(labels.shape[1])]
    ranked = [area for area in areas if not np.isnan(area)]
    yield "accuracy", float((answers == labels).all(1).double().mean()), ""
    yield "auroc", float(np.mean(ranked)) if ranked else float("nan"), "" if ranked else _ONE_SIDE
    yield "margin", float(torch.where(labels, logits, -logits).mean()), ""
    yield "flipped", float((answers != (untouched > 0)).any(1).double().mean()), ""


class _Group(NamedTuple):
    """The parts of a `Batch` that are needed here."""

    images: Tensor
    labels: Tensor
    saliency: Tensor


def _groups(batches: Iterable[Batch], unmarked: Collection[int], generator: torch.Generator) -> Iterator[_Group]:
    """Regroup the labelled images whose map is not blank: `GROUP` images each, the last group 2 to `GROUP` + 1 images.

    Images of the classes `unmarked` are included, with a borrowed region. A single usable image makes no group.
    """
    held: _Group | None = None
    for batch in batches:
        usable = batch.marked
        if not batch.multi_label:
            usable = (usable | _is_one_of(batch.labels, unmarked)) & (batch.labels >= 0)
        part = _Group(*(values[usable] for values in (batch.images, batch.labels, batch.saliency)))
        held = part if held is None else _Group(*(torch.cat(pair) for pair in zip(held, part, strict=True)))
        while len(held.labels) >= GROUP + 2:
            yield from _lend(_Group(*(values[:GROUP] for values in held)), unmarked, generator)
            held = _Group(*(values[GROUP:] for values in held))
    if held is not None and len(held.labels) > 1:
        yield from _lend(held, unmarked, generator)


def _lend(group: _Group, unmarked: Collection[int], generator: torch.Generator) -> Iterator[_Group]:
    """Yield the group with regions lent to its images of the classes `unmarked`; nothing if no image is marked."""
    if not unmarked:
        yield group
        return
    borrows = _is_one_of(group.labels, unmarked)
    marked = (~borrows).nonzero()[:, 0].cpu()
    if len(marked):
        lent = torch.arange(len(group.labels))
        lent[borrows.cpu()] = marked[torch.randint(len(marked), (int(borrows.sum()),), generator=generator)]
        yield group._replace(saliency=group.saliency[lent.to(group.saliency.device)])


def _is_one_of(labels: Tensor, classes: Collection[int]) -> Tensor:
    return torch.isin(labels, torch.tensor(sorted(classes), dtype=labels.dtype, device=labels.device))


def _gaussian(side: int, sigma: float) -> Tensor:
    """Return `(side, side)` weights: row i weighs all positions of a line by their distance from i and sums to 1."""
    positions = torch.arange(side, dtype=torch.float32)
    return (-(((positions[:, None] - positions) / sigma) ** 2) / 2).softmax(1)
