"""Does reading images starve the network? Images per second from disk, of a training step alone, and of both together.

    python benchmarks/data_pipeline.py --json data_pipeline.json                       # about 10 minutes on 2 cores
    python benchmarks/data_pipeline.py --images 60 --rounds 1 --workers 0 2 --kinds "256 px grey"   # a quick look

The files are created first: smooth noise as JPEG, similar to photographs, with a PNG map for each image. All variants
take turns; a ratio is the median of the ratios of the rounds. Both together cannot be faster than the slower of the
two. If they are slower than the training step alone, the network waits for images, or, with few cores, reading and
training compete for the processor.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from timing import environment, ratio, take_turns
from torch.utils.data import DataLoader

from salign import Batch, Classifier, Cyborg, Manifest
from salign.data.reading.datamodule import SaliencyDataModule
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.train.speed import SETTINGS, Setting, fastest, random_batch
from salign.train.tasks import Classification


class Kind(NamedTuple):
    """How the images lie on the disk."""

    side: int
    colour: bool


KINDS = {"256 px grey": Kind(256, False), "512 px RGB": Kind(512, True)}
CLASSES = ("a", "b")


def write_set(folder: Path, kind: Kind, images: int) -> Manifest:
    """JPEG images of smooth noise (about as many bytes as photographs) and PNG maps of a blob."""
    draw = np.random.default_rng(0)
    rows = []
    for part in ("images", "maps"):
        (folder / part).mkdir(parents=True)
    for k in range(images):
        shape = (kind.side, kind.side, 3) if kind.colour else (kind.side, kind.side)
        noise = ndimage.gaussian_filter(draw.standard_normal(shape), (3, 3, 0)[: len(shape)])
        pixels = np.clip(128 + 60 * noise / noise.std() + draw.normal(0, 6, shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{k}.jpg", quality=90)
        blob = np.zeros((kind.side, kind.side))
        blob[tuple(draw.integers(kind.side // 4, 3 * kind.side // 4, 2))] = 1
        blob = ndimage.gaussian_filter(blob, kind.side / 12)
        Image.fromarray(np.rint(255 * blob / blob.max()).astype(np.uint8)).save(folder / f"maps/{k}.png")
        rows.append((str(k), f"images/{k}.jpg", CLASSES[k % 2], "train", f"maps/{k}.png"))
    return Manifest.of(pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"]), folder)


def make_loader(manifest: Manifest, size: int, batch: int, workers: int) -> DataLoader[Any]:
    """The loader that `salign train` uses."""
    data = SaliencyDataset(manifest, CLASSES, build_transform(size, "flip"))
    return SaliencyDataModule(train=data, val=data, batch_size=batch, workers=workers, seed=0).train_dataloader()


def make_step(classifier: Classifier, setting: Setting) -> Callable[[Batch], None]:
    """One training step with CYBORG, in the number format that is fastest here, as `salign train` chooses it."""
    layout = torch.channels_last if setting.memory_format == "channels_last" else torch.contiguous_format
    net, loss = classifier.train().to(memory_format=layout), Cyborg()
    device = next(net.parameters()).device
    optimiser = torch.optim.SGD(net.parameters(), lr=0.005, momentum=0.9)

    def step(batch: Batch) -> None:
        batch = batch.each(lambda part: part.to(device, non_blocking=True))
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=setting.precision == "bfloat16"):
            total = loss(net(batch.images.contiguous(memory_format=layout)), batch).total
        total.backward()
        optimiser.step()

    return step


def measure(name: str, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per number of workers."""
    manifest = write_set(folder, KINDS[name], options.images)
    sizes = [len(part) for part in torch.arange(options.images).split(options.batch)]
    classifier = Classifier(options.network, CLASSES, image_size=options.size).to(options.device)
    noise = random_batch(options.batch, 2, classifier.image_size)
    on_device = noise.each(lambda part: part.to(options.device))
    setting = next(iter(fastest(Classification(classifier, Cyborg()), on_device, SETTINGS)))
    step = make_step(classifier, setting)
    loaders = {count: make_loader(manifest, options.size, options.batch, count) for count in options.workers}

    def network() -> None:
        for size in sizes:
            step(noise.each(lambda part, size=size: part[:size]))

    def drain(loader: DataLoader[Any]) -> None:
        for _ in loader:
            pass

    def both(loader: DataLoader[Any]) -> None:
        for batch in loader:
            step(batch)

    variants: dict[str, Callable[[], None]] = {"network": network}
    for count, loader in loaders.items():
        variants[f"load {count}"] = lambda loader=loader: drain(loader)  # type: ignore[misc]
        variants[f"both {count}"] = lambda loader=loader: both(loader)  # type: ignore[misc]
    seconds = take_turns(variants, rounds=options.rounds, title=name)
    rate = {variant: options.images / median(taken) for variant, taken in seconds.items()}
    return [
        {
            "files": name,
            "network": options.network,
            "pixels": options.size,
            "batch": options.batch,
            "images": options.images,
            "setting": str(setting),
            "workers": count,
            "seconds": {part: seconds[part] for part in ("network", f"load {count}", f"both {count}")},
            "loading_images_per_second": rate[f"load {count}"],
            "network_images_per_second": rate["network"],
            "end_to_end_images_per_second": rate[f"both {count}"],
            "loading_over_network": ratio(seconds["network"], seconds[f"load {count}"]),
            "end_to_end_over_network": ratio(seconds["network"], seconds[f"both {count}"]),
        }
        for count in options.workers
    ]


def show(rows: list[dict[str, Any]]) -> Table:
    first = rows[0]
    title = f"images per second; {first['network']} at {first['pixels']} px, batch {first['batch']}, {first['setting']}"
    table = Table(title=title)
    for column in ("files", "workers", "loading", "network", "end to end", "loading / network", "end to end / network"):
        table.add_column(column, justify="left" if column == "files" else "right")
    for row in rows:
        over = row["end_to_end_over_network"]
        table.add_row(
            row["files"],
            str(row["workers"]),
            *(f"{row[f'{part}_images_per_second']:.0f}" for part in ("loading", "network", "end_to_end")),
            f"{row['loading_over_network']['median']:.2f}",
            f"{over['median']:.2f} ({over['lowest']:.2f}-{over['highest']:.2f})",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="pixels the network sees")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = environment()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for name in options.kinds for row in measure(name, Path(folder) / name, options)]
    Console(width=140).print(show(rows))
    if options.json:
        figures = {"environment": before, "load_after": environment()["load"], "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
