"""Class activation maps per second: salign, the grad-cam package, and a bare forward pass as the floor.

    python benchmarks/cam_throughput.py --json cam_throughput.json   # about 5 minutes on 2 cores

All variants take turns with the same network, weights and images. grad-cam also scales its maps to the size of the
image; an extra row does the same with salign's maps, so that both packages can be compared with and without scaling.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from rich.console import Console
from rich.table import Table
from timing import environment, ratio, take_turns
from torch import Tensor

from salign.explain import cam
from salign.maps import min_max, resize
from salign.models import Classifier

LAST_LAYERS: dict[str, Callable[[Any], Any]] = {
    "resnet50": lambda net: net.layer4[-1],
    "densenet121": lambda net: net.features[-1],
    "inception_v3": lambda net: net.Mixed_7c,
    "tf_efficientnet_lite0": lambda net: net.bn2,
}
"""The layer whose output is pooled, as grad-cam wants to be told."""
SIZES = {"inception_v3": 299}
FLOOR, MINE, SCALED, THEIRS = "bare forward", "salign", "salign, scaled to the image", "grad-cam"


def variants(
    classifier: Classifier, images: Tensor, classes: Tensor, layer_of: Callable[[Any], Any]
) -> dict[str, Callable[[], Any]]:
    """What takes turns; every one from images to maps, but the floor, which stops at the logits."""
    normal = (images - classifier.mean) / classifier.std
    net = classifier.backbone.net
    own = copy.deepcopy(net)  # its hooks must not slow down the others
    package = GradCAM(model=own, target_layers=[layer_of(own)])
    targets = [ClassifierOutputTarget(label) for label in classes.tolist()]

    def bare() -> Tensor:
        with torch.inference_mode():
            return net(normal)

    def scaled() -> Tensor:
        size = (images.shape[2], images.shape[3])
        return resize(min_max(cam(classifier, images, classes).relu()), size)

    return {
        FLOOR: bare,
        MINE: lambda: cam(classifier, images, classes),
        SCALED: scaled,
        THEIRS: lambda: package(input_tensor=normal, targets=targets),
    }


def agreement(mine: Tensor, theirs: np.ndarray) -> float:
    """Lowest correlation of an image's two maps: that both compute the same thing."""
    pairs = zip(mine.flatten(1).numpy(), theirs.reshape(len(theirs), -1), strict=True)
    return min(float(np.corrcoef(a, b)[0, 1]) for a, b in pairs if a.any() and b.any())


def measure(name: str, *, images: int, rounds: int) -> list[dict[str, Any]]:
    """One row per variant."""
    size = SIZES.get(name, 224)
    classifier = Classifier(name, [str(label) for label in range(10)], image_size=size).eval()
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(images, 3, size, size, generator=generator)
    with torch.no_grad():  # weights are random: spread the evidence, so that maps vary
        classifier.train()(batch)
        classifier.backbone.net.get_classifier().weight.normal_(generator=generator)
    classifier.eval()
    steps = variants(classifier, batch, torch.arange(images) % 10, LAST_LAYERS[name])
    same = agreement(steps[SCALED](), steps[THEIRS]())
    seconds = take_turns(steps, rounds=rounds, title=f"{name}, {size} px")
    return [
        {
            "network": name,
            "pixels": size,
            "batch": images,
            "variant": variant,
            "seconds": taken,
            "maps_per_second": images / median(taken),
            "over_bare_forward": ratio(taken, seconds[FLOOR]),
            "rate_over_grad_cam": ratio(seconds[THEIRS], taken),
            "lowest_correlation_with_grad_cam": same,
        }
        for variant, taken in seconds.items()
    ]


def show(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="class activation maps (median of paired rounds, lowest to highest)")
    for column in ("network", "variant", "maps / s", "time / bare forward", "rate / grad-cam", "same maps (r)"):
        table.add_column(column, justify="left" if column in ("network", "variant") else "right")
    for row in rows:
        over = row["over_bare_forward"]
        table.add_row(
            f"{row['network']} {row['pixels']} px",
            row["variant"],
            f"{row['maps_per_second']:.1f}",
            f"{over['median']:.3f} ({over['lowest']:.3f}-{over['highest']:.3f})",
            f"{row['rate_over_grad_cam']['median']:.2f}",
            f"{row['lowest_correlation_with_grad_cam']:.4f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=LAST_LAYERS, default=["resnet50", "densenet121"])
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = environment()
    rows = [row for name in options.networks for row in measure(name, images=options.batch, rounds=options.rounds)]
    Console(width=140).print(show(rows))
    if options.json:
        figures = {"environment": before, "load_after": environment()["load"], "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2))
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
