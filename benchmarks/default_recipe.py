"""Is the default recipe as good as standard fine-tuning? AUROC on held-out test images of small sets of real images.

    python benchmarks/default_recipe.py DATA --runs runs.csv --json default_recipe.json   # about an hour on one core

DATA has a folder for each set of `SETS`, with images and an index.csv with the columns split, class, path and mask. For
every seed a number of training images is drawn, which is the same for all arms; the seed also decides weights and
order. All arms train for the same number of epochs on images of the same size, and each keeps the epoch that is best on
the same validation images. Everything else is the recipe's default, or what the standard method prescribes. The
standard methods, in plain torch, are:

- `tutorial`: the tutorial "Transfer Learning for Computer Vision" of PyTorch: a new linear layer, SGD at .001 with
  momentum, a tenth of the rate every 7 epochs, 4 images a step, random crops and flips, and the epoch of best accuracy;
- `adamw`: fine-tuning as it is common today with timm's script, in the setting that DeiT made usual: AdamW at 5e-4 with
  a weight decay of .05, a warm-up and a cosine to zero, flips; 20 images a step, because there are few images.

Both use torch's linear layer as the head; the head that `timm.create_model(..., num_classes=2)` initialises would make
them worse. Runs that are already in the CSV are not repeated.
"""

from __future__ import annotations

import argparse
import copy
import csv
import itertools
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from timing import environment
from torch import Tensor, nn
from torchvision.transforms import v2

import salign
from salign.data.manifest import Manifest
from salign.evaluate.classification import auroc
from salign.evaluate.comparison import compare, describe
from salign.models.weights import load_weights

NETWORK = "tf_efficientnet_lite0"
"""The recipe's default, for the book, too."""


class ImageSet(NamedTuple):
    """Which rows of a set's index are used for what, and its two classes."""

    train: tuple[str, ...]
    test: str
    classes: dict[str, str]
    """Class of the index -> class to tell; `*` = all others; rows of no class here are left out."""
    positive: str
    pixels: int


SETS = {
    "busi_ultrasound": ImageSet(
        ("train",), "test", {"benign": "benign", "malignant": "malignant"}, positive="malignant", pixels=64
    ),
    "cxr_pneumonia": ImageSet(
        ("train_boxed", "train_fewshot_normal", "train_extra"),
        "test_iid",
        {"normal": "normal", "pneumonia": "pneumonia"},
        positive="pneumonia",
        pixels=64,
    ),
    "magnetic_tile": ImageSet(("train",), "test_iid", {"free": "free", "*": "defect"}, positive="defect", pixels=96),
}
OURS: dict[str, dict[str, Any]] = {"default": {}, "default, ce": {"loss": {"name": "ce"}}}
"""What a recipe says besides its data, pixels and epochs."""


def draw(source: Path, chosen: ImageSet, images: int, seed: int) -> Manifest:
    """So many training images, the same share of each class as in all; and all images of validation and test."""
    index = pd.read_csv(source / "index.csv", dtype=str, keep_default_na=False)
    label = index["class"].map(lambda name: chosen.classes.get(name, chosen.classes.get("*", "")))
    split = index["split"].map({**dict.fromkeys(chosen.train, "train"), "val": "val", chosen.test: "test"})
    table = pd.DataFrame(
        {"id": index["path"], "path": index["path"], "label": label, "split": split, "saliency": index["mask"]}
    )
    table = table[(table["label"] != "") & table["split"].notna()]
    train = table[table["split"] == "train"]
    generator = np.random.default_rng(seed)
    kept = [
        rows.iloc[np.sort(generator.permutation(len(rows))[: round(images * len(rows) / len(train))])]
        for _, rows in train.groupby("label")
    ]
    return Manifest.of(pd.concat([*kept, table[table["split"] != "train"]]), source)


def ours(manifest: Manifest, chosen: ImageSet, arm: str, epochs: int, seed: int) -> float:
    """AUROC on the test images of a run of the default recipe."""
    classes = sorted(set(chosen.classes.values()), key=lambda name: name == chosen.positive)
    with tempfile.TemporaryDirectory() as name:
        recipe = salign.Recipe.build(
            {
                "name": "default",
                "seed": seed,
                "data": {
                    "manifest": str(manifest.write(Path(name) / "manifest.csv")),
                    "root": str(manifest.root),
                    "classes": classes,
                    "positive": chosen.positive,
                    "image_size": chosen.pixels,
                },
                "train": {"epochs": epochs},
                **OURS[arm],
            }
        )
        run = salign.fit(recipe, name, progress=False, say=lambda line: None)
        answers = pd.read_csv(run.predictions_file("test"))
    return float(auroc(answers[f"prob_{chosen.positive}"], answers["label"] == chosen.positive))


class Book(NamedTuple):
    """How the book has it."""

    optimizer: Callable[[Any], torch.optim.Optimizer]
    factor: Callable[[float, int], float]
    """Share of training done, epoch -> share of the learning rate."""
    batch_size: int
    augment: Callable[[int], list[nn.Module]]
    """Pixels -> what is done to a training image, its resizing with it."""


def warm_cosine(done: float, epoch: int, *, warm: float = 0.1) -> float:
    """A warm-up over the first tenth, then a cosine to zero."""
    return done / warm if done < warm else (1 + math.cos(math.pi * (done - warm) / (1 - warm))) / 2


BOOKS = {
    "tutorial": Book(
        lambda weights: torch.optim.SGD(weights, lr=0.001, momentum=0.9),
        lambda done, epoch: 0.1 ** (epoch // 7),
        4,
        lambda pixels: [v2.RandomResizedCrop(pixels), v2.RandomHorizontalFlip()],
    ),
    "adamw": Book(
        lambda weights: torch.optim.AdamW(weights, lr=5e-4, weight_decay=0.05),
        warm_cosine,
        20,
        lambda pixels: [v2.Resize((pixels, pixels)), v2.RandomHorizontalFlip()],
    ),
}
ARMS = (*OURS, *BOOKS)


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Images of one split, kept in memory, and whether each is positive."""

    def __init__(self, manifest: Manifest, split: str, positive: str, change: list[nn.Module]) -> None:
        table = manifest.table[manifest.table["split"] == split]
        self.images = [Image.open(manifest.root / path).convert("RGB") for path in table["path"]]
        self.labels = [int(label == positive) for label in table["label"]]
        scale = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
        self.change = v2.Compose([*change, *scale])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.change(self.images[index]), self.labels[index]


def by_the_book(manifest: Manifest, chosen: ImageSet, arm: str, epochs: int, seed: int) -> float:
    """AUROC on the test images of a network fine-tuned in plain torch."""
    book = BOOKS[arm]
    torch.manual_seed(seed)
    net: Any = timm.create_model(NETWORK, num_classes=2)
    load_weights(net, NETWORK, "imagenet")
    net.classifier = nn.Linear(net.classifier.in_features, 2)
    resize: list[nn.Module] = [v2.Resize((chosen.pixels, chosen.pixels))]
    train = Images(manifest, "train", chosen.positive, book.augment(chosen.pixels))
    val, test = (Images(manifest, split, chosen.positive, resize) for split in ("val", "test"))
    loader = torch.utils.data.DataLoader(train, batch_size=book.batch_size, shuffle=True)
    optimizer = book.optimizer(net.parameters())
    steps = len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: book.factor((step + 1) / (epochs * steps), step // steps)
    )
    best, kept = -1.0, net.state_dict()
    for _ in range(epochs):
        net.train()
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
            schedule.step()
        accuracy = float(((scores(net, val) > 0) == np.array(val.labels)).mean())
        if accuracy > best:
            best, kept = accuracy, copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)
    return float(auroc(scores(net, test), np.array(test.labels) == 1))


@torch.no_grad()
def scores(net: nn.Module, images: Images) -> np.ndarray:
    """The logit of the positive class over that of the other."""
    net.eval()
    logits = torch.cat([net(batch) for batch, _ in torch.utils.data.DataLoader(images, batch_size=64)])
    return (logits[:, 1] - logits[:, 0]).numpy()


def compared(runs: dict[tuple[str, int, str], float]) -> list[dict[str, Any]]:
    """Ours against the book, paired by seed, on each set."""
    rows = []
    for name, arm, book in itertools.product(SETS, OURS, BOOKS):
        seeds = [seed for where, seed, other in runs if (where, other) == (name, arm) and (name, seed, book) in runs]
        if seeds:
            first, second = ([runs[name, seed, which] for seed in seeds] for which in (arm, book))
            found = compare(first, second, generator=np.random.default_rng(0))
            rows.append({"set": name, "arm": arm, "book": book, "words": describe(found, "AUROC"), **vars(found)})
    return rows


def read(path: Path) -> dict[tuple[str, int, str], float]:
    """Set, seed, arm -> AUROC."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(row["set"], int(row["seed"]), row["arm"]): float(row["auroc"]) for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the sets")
    parser.add_argument("--runs", type=Path, default=Path("default_recipe.csv"), help="a row per run, to be resumed")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--images", type=int, default=150, help="training images")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    before, known = environment(), read(options.runs)
    plan = [
        cell
        for cell in itertools.product(options.seeds, SETS, options.arms)
        if (cell[1], cell[0], cell[2]) not in known
    ]
    for seed, name, arm in track(plan, "training"):
        manifest = draw(options.data / name, SETS[name], options.images, seed)
        train = ours if arm in OURS else by_the_book
        figure = train(manifest, SETS[name], arm, options.epochs, seed)
        new = not options.runs.exists()
        with options.runs.open("a", newline="") as file:
            csv.writer(file).writerows([("set", "seed", "arm", "auroc")] * new + [(name, seed, arm, figure)])
    runs = read(options.runs)
    table = Table(title=f"test AUROC, {options.images} training images, {options.epochs} epochs (mean ± sd)")
    for column in ("set", *ARMS):
        table.add_column(column, justify="left" if column == "set" else "right")
    for name in SETS:
        figures = [[value for (where, _, of), value in runs.items() if (where, of) == (name, arm)] for arm in ARMS]
        table.add_row(
            name, *(f"{100 * np.mean(f):.1f} ± {100 * np.std(f, ddof=1):.1f}" if len(f) > 1 else "" for f in figures)
        )
    Console(width=120).print(table)
    differences = compared(runs)
    for row in differences:
        print(f"{row['set']}: {row['arm']} - {row['book']}: {row['words']}")
    if options.json:
        rows = [{"set": name, "seed": seed, "arm": arm, "auroc": figure} for (name, seed, arm), figure in runs.items()]
        options.json.write_text(json.dumps({"environment": before, "runs": rows, "differences": differences}, indent=2))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
