"""Cost of machine annotation besides the network: `salign autoannotate` against a bare forward pass; RISE in batches.

    python benchmarks/autoannotate.py --json autoannotate.json   # about 5 minutes on 2 cores

The floor is the network alone, on images that are already in memory. `salign autoannotate` also reads the pictures,
scales the maps to the shape of their images and writes 16-bit PNG files. The last rows compare RISE with one mask at a
time and with many masks at a time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from timing import environment, ratio, take_turns

from salign.data.manifest import Manifest
from salign.explain import rise
from salign.machine.annotate import auto_annotate
from salign.machine.makers import Maker, NetMaker, TeacherMaker
from salign.models import Classifier, SaliencyNet

SIZE, BATCH = 224, 16


def photographs(folder: Path, images: int) -> Manifest:
    """JPEG files of 500 x 375 pixels, as people have them, without maps."""
    generator, rows = np.random.default_rng(0), []
    for k in range(images):
        small = generator.integers(0, 256, (38, 50, 3), dtype=np.uint8)
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{k}.jpg", quality=90)
        rows.append({"id": str(k), "path": f"{k}.jpg", "label": "ab"[k % 2], "split": "train", "saliency": ""})
    return Manifest.of(pd.DataFrame(rows), folder)


def marking(maker: Maker, manifest: Manifest, workers: int) -> dict[str, Callable[[], Any]]:
    """The floor and the whole."""
    batch = torch.rand(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(BATCH, dtype=torch.int64)

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(len(manifest) // BATCH):
                maker(batch, labels)

    def whole() -> None:
        auto_annotate(manifest, maker, Path(tempfile.mkdtemp(dir=manifest.root)), batch_size=BATCH, workers=workers)

    return {"forward pass alone": bare, "read, mark, write": whole}


def masking(side: int, masks: int) -> dict[str, Callable[[], Any]]:
    """RISE of four images, many pictures at a time and one."""
    classifier = Classifier("test_resnet", ["a", "b"], image_size=side).to(memory_format=torch.channels_last).eval()
    images, classes = torch.rand(4, 3, side, side), torch.zeros(4, dtype=torch.int64)

    def run(batch_size: int) -> Callable[[], Any]:
        def turn() -> None:
            for image, label in zip(images.split(1), classes.split(1), strict=True):
                generator = torch.Generator().manual_seed(0)
                rise(classifier, image, label, masks=masks, generator=generator, batch_size=batch_size)

        return turn

    return {"mask by mask": run(1), "batched": run(64)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--masks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--backbones", nargs="*", default=["resnet18", "resnet50"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        manifest = photographs(Path(folder), options.images)
        for backbone in options.backbones:
            net = SaliencyNet(backbone, image_size=SIZE).to(memory_format=torch.channels_last)
            teacher = Classifier(backbone, ["a", "b"], image_size=SIZE).to(memory_format=torch.channels_last)
            makers: dict[str, Maker] = {
                f"net, {backbone} and U-Net": NetMaker(net, "model:net"),
                f"teacher's CAM, {backbone}": TeacherMaker(teacher, "model:cam", method="cam"),
            }
            for name, maker in makers.items():
                turns = take_turns(marking(maker, manifest, options.workers), rounds=options.rounds)
                row = _row(turns, options.images, "forward pass alone", "read, mark, write")
                rows.append({"what": name, **row})
    for side in (64, 112):
        turns = take_turns(masking(side, options.masks), rounds=options.rounds)
        what = f"RISE, {options.masks} masks, test_resnet, {side} px"
        rows.append({"what": what, **_row(turns, 4, "mask by mask", "batched")})
    table = Table(title="images per second")
    for heading in ("what", "floor or slow way", "ours", "rate of ours / other"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for row in rows:
        table.add_row(row["what"], f"{row['first']:.1f}", f"{row['second']:.1f}", f"{row['ratio']['median']:.2f}")
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps({"environment": environment(), "rows": rows}, indent=2))


def _row(turns: dict[str, list[float]], images: int, first: str, second: str) -> dict[str, Any]:
    rates = {name: images / float(np.median(seconds)) for name, seconds in turns.items()}
    return {
        "first": rates[first],
        "second": rates[second],
        "ratio": ratio(turns[first], turns[second]),
        "seconds": turns,
    }


if __name__ == "__main__":
    main()
