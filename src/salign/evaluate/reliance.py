"""What a model uses, as opposed to what its map shows: replace one side of the human region and see the answer change.

After the foreground and background swaps of Xiao et al. 2021 (*Noise or Signal: The Role of Image Backgrounds in Object
Recognition*), with the human map as the foreground. A model whose map looks right and whose answer flips with the
background is caught here. A changed picture is also an unusual one: compare models, not a figure with zero.
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
"""Images that may lend each other their background."""
BLUR = 1 / 8
"""Standard deviation of the blur, as a share of the longer side."""


Side = Literal["inside", "outside"]
_ONE_SIDE = "the images are all on one side, so there is nothing to rank"


class Fill(Protocol):
    """What to put in place of the part that is not kept."""

    def __call__(
        self, images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """`(B, 3, H, W)` in [0, 1] and `(B, 1, H, W)` regions -> `(B, 3, H, W)` in [0, 1]."""


def other(images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
    """Lend each image the background of another one, of another class where `labels` `(B,)` say that there is one.

    Of labels `(B, K)`, of which an image may have several, any difference is another class.

    The other image's own human region is painted over by `surroundings` first, so that its object does not come along.

    Raises:
        SalignError: there is one image only.
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
    """Blur each image with a Gaussian of `BLUR` times its longer side, renormalised at the edges; colours stay."""
    _check(images, regions)
    height, width = images.shape[-2:]
    sigma = BLUR * max(height, width)
    rows, columns = (_gaussian(side, sigma).to(images) for side in (height, width))
    return rows @ images @ columns.T


def noise(images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
    """Gaussian noise with the mean and standard deviation of each image and colour, cut to [0, 1]; colours stay."""
    _check(images, regions)
    draws = torch.randn(images.shape, generator=generator).to(images)
    mean, deviation = images.mean((-2, -1), keepdim=True), images.std((-2, -1), keepdim=True, correction=0)
    return (mean + deviation * draws).clamp(0, 1)


def grey(images: Tensor, regions: Tensor, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
    """One colour for all, the mean of the whole batch: an image's own mean would give its background away."""
    _check(images, regions)
    return images.mean((0, 2, 3), keepdim=True).expand_as(images)


def _check(images: Tensor, regions: Tensor) -> None:
    tensors(images=(images, "float (B, 3, H, W)"), regions=(regions, "float (B, 1, H, W)"))
    values("regions", regions, "[0, 1]")


FILLS: dict[str, Fill] = {"other": other, "blur": blur, "noise": noise, "grey": grey}
"""Name in the table -> what replaces the part that is not kept."""
RANDOM = ("other", "noise")
"""The fills that are another at every draw."""


def compose(images: Tensor, regions: Tensor, fill: Tensor, keep: Side) -> Tensor:
    """Keep the images inside (or outside) of the regions, and put the fill everywhere else.

    Args:
        images: `(B, 3, H, W)`.
        regions: `(B, 1, H, W)` in [0, 1]; values between mix.
        fill: `(B, 3, H, W)`.
        keep: which side of the region.

    Raises:
        SalignError: an unknown side.
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
    """Measure how the answers change when only the human region is kept, and when only the rest is.

    Only annotated images whose map is not blank are used, `GROUP` at a time, whatever the size of the batches; give
    them in random order, so that most groups hold several classes. Memory grows by the logits alone.

    Args:
        classify: images `(B, 3, H, W)` in [0, 1] -> logits `(B, K)`.
        batches: images with labels and human maps, each image once.
        positive: the class to detect, of two; with None AUROC is the macro mean over classes, each against the
            rest.
        generator: CPU generator of what is drawn; its state moves on.
        fills: as `FILLS`.
        classes: names of the K classes for the notes; None calls them by their numbers.
        unmarked: classes on whose images there is nothing to mark, such as tiles without a defect. Each of their images
            borrows the region of a marked image of its group, drawn at random, and is used as that one is. A group
            without a marked image is left out.
        draws: how often the fills of `RANDOM` are drawn.

    Returns:
        A row per figure, with the columns `COLUMNS`: kept (all, inside, outside), fill (empty for all), metric, value
        (the mean over draws), sd (over draws, NaN of one), images, note (why a value is missing, or that all answers
        are alike; of flipped, all to untouched images).
        Metrics: accuracy; auroc, by softmax probability; margin, the mean logit of the true class minus the largest
        other; flipped, the share of answers other than for the untouched image.
        Where images may have several labels, an answer is that about all classes; auroc is the mean over the classes
        that some images have and some have not; margin is the mean over classes of how far the logit is on its side.
        No rows for fewer than two usable images: there is no other image then.
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
    """`(kept, fill, draw)` and logits `(B, K)`, for every way to look at the images."""
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
    """Metric, value and note."""
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
    """The same of `(N, K)` labels."""
    answers = logits > 0
    areas = [float(auroc(logits[:, k].numpy(), labels[:, k].numpy())) for k in range(labels.shape[1])]
    ranked = [area for area in areas if not np.isnan(area)]
    yield "accuracy", float((answers == labels).all(1).double().mean()), ""
    yield "auroc", float(np.mean(ranked)) if ranked else float("nan"), "" if ranked else _ONE_SIDE
    yield "margin", float(torch.where(labels, logits, -logits).mean()), ""
    yield "flipped", float((answers != (untouched > 0)).any(1).double().mean()), ""


class _Group(NamedTuple):
    """What of a `Batch` is needed here."""

    images: Tensor
    labels: Tensor
    saliency: Tensor


def _groups(batches: Iterable[Batch], unmarked: Collection[int], generator: torch.Generator) -> Iterator[_Group]:
    """Regroup labelled images with a map that is not blank: `GROUP` each, the last two to `GROUP` + 1; never one.

    Images of the classes `unmarked` are among them, with the region of another one.
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
    """The group, whose images of the classes `unmarked` have borrowed a region; nothing where nothing is marked."""
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
    """`(side, side)`: row i weighs all places of a line by their distance from i; each row sums to 1."""
    positions = torch.arange(side, dtype=torch.float32)
    return (-(((positions[:, None] - positions) / sigma) ** 2) / 2).softmax(1)
