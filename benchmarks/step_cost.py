"""Cost of guiding a training step by human saliency: CYBORG against plain cross-entropy, and against published code.

Then every loss is compared with cross-entropy, and the losses on the input gradient with the least that such a step can
cost.

    python benchmarks/step_cost.py --json step_cost.json                     # all
    python benchmarks/step_cost.py --networks resnet50 --losses --rounds 3   # one network, without the other losses
    python benchmarks/step_cost.py --no-published --losses rrr cdep          # only these losses

A step is forward pass, loss, backward pass and SGD, on noise with the batch and image sizes of the paper. All variants
of a network take turns; a ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from loss_cost import NETWORKS as LOSS_NETWORKS, measure_losses, show_losses
from published import PublishedStep
from rich.console import Console
from rich.table import Table
from timing import environment, ratio, take_turns
from torch import Tensor, nn

from salign.losses import LOSSES
from salign.maps import min_max, resize
from salign.models import Classifier
from salign.types import Batch

SIZES = {"densenet121": 224, "resnet50": 224, "inception_v3": 299, "legacy_xception": 299}


class Setting(NamedTuple):
    """Number format of the forward pass and layout of images and weights."""

    name: str
    dtype: torch.dtype
    layout: torch.memory_format


SETTINGS = (
    Setting("float32", torch.float32, torch.contiguous_format),
    Setting("float32, channels_last", torch.float32, torch.channels_last),
    Setting("bfloat16, channels_last", torch.bfloat16, torch.channels_last),
)


def make_step(
    net: nn.Module, loss_of: Callable[[nn.Module], Tensor], dtype: torch.dtype, lr: float = 0.005
) -> Callable[[], None]:
    """A closure that trains `net` by one step on `loss_of(net)`."""
    device = next(net.parameters()).device.type
    optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=1e-6)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            loss = loss_of(net)
        loss.backward()
        optimiser.step()

    return step


def count_passes(net: nn.Module, step: Callable[[], None]) -> int:
    """How often one step runs the first convolution."""
    calls: list[int] = []
    first = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    hook = first.register_forward_hook(lambda module, args, result: calls.append(1))
    try:
        step()
    finally:
        hook.remove()
    return len(calls)


def make_batch(images: int, size: int, device: str) -> Batch:
    """Noise, every image with a map."""
    generator = torch.Generator().manual_seed(0)
    return Batch(
        images=torch.rand(images, 3, size, size, generator=generator).to(device),
        labels=(torch.arange(images) % 2).to(device),
        saliency=torch.rand(images, 1, size, size, generator=generator).to(device),
        annotated=torch.ones(images, dtype=torch.bool, device=device),
        index=torch.arange(images, device=device),
    )


def salign_step(classifier: Classifier, batch: Batch, loss_name: str, setting: Setting) -> tuple[nn.Module, Callable]:
    """The network and its training step with one of salign's losses."""
    net = copy.deepcopy(classifier).to(memory_format=setting.layout)
    placed = batch._replace(images=batch.images.contiguous(memory_format=setting.layout))
    loss = LOSSES[loss_name]()
    loss.teacher = lambda images: classifier(images).logits  # stands for a teacher of the same size
    return net, make_step(net, lambda net: loss(net(placed.images), placed).total, setting.dtype)


def published_step(classifier: Classifier, batch: Batch, name: str) -> tuple[nn.Module, Callable]:
    """The same for the published code: float32, normalised images and small maps come from its loader."""
    net = copy.deepcopy(classifier.backbone.net)
    images = (batch.images - classifier.mean) / classifier.std
    maps = min_max(resize(batch.saliency, classifier.backbone.grid))[:, 0]
    published = PublishedStep(name, net)
    return net, make_step(net, lambda net: published(images, batch.labels, maps), torch.float32)


def measure(name: str, size: int, *, images: int, rounds: int, device: str) -> list[dict[str, Any]]:
    """One row per setting."""
    classifier = Classifier(name, ["real", "fake"], image_size=size).to(device).train()
    batch = make_batch(images, size, device)
    variants = {
        f"{loss}, {setting.name}": salign_step(classifier, batch, loss, setting)
        for setting in SETTINGS
        for loss in ("ce", "cyborg")
    }
    variants["published"] = published_step(classifier, batch, name)
    passes = {variant: count_passes(net, step) for variant, (net, step) in variants.items()}
    steps = {variant: step for variant, (_, step) in variants.items()}
    seconds = take_turns(steps, rounds=rounds, title=f"{name}, {size} px")
    rows = []
    for setting in SETTINGS:
        ce, cyborg = seconds[f"ce, {setting.name}"], seconds[f"cyborg, {setting.name}"]
        rows.append(
            {
                "network": name,
                "pixels": size,
                "batch": images,
                "setting": setting.name,
                "forward_passes": passes[f"cyborg, {setting.name}"],
                "forward_passes_published": passes["published"],
                "seconds": {"ce": ce, "cyborg": cyborg, "published": seconds["published"]},
                "cyborg_over_ce": ratio(cyborg, ce),
                "cyborg_over_float32_ce": ratio(cyborg, seconds["ce, float32"]),
                "published_over_float32_ce": ratio(seconds["published"], seconds["ce, float32"]),
                "published_over_cyborg": ratio(seconds["published"], cyborg),
            }
        )
    return rows


def every_loss(
    name: str, size: int, names: list[str], setting: Setting, *, images: int, rounds: int, device: str
) -> list[dict[str, Any]]:
    """One row per loss. They share a network, whose weights stay as they are (rate 0) at the same cost."""
    net = Classifier(name, ["real", "fake"], image_size=size).to(device).train().to(memory_format=setting.layout)
    batch = make_batch(images, size, device)
    return measure_losses(
        name,
        batch._replace(images=batch.images.contiguous(memory_format=setting.layout)),
        names,
        lambda loss_of: make_step(net, loss_of, setting.dtype, lr=0.0),
        lambda step: count_passes(net, step),
        rounds=rounds,
    )


def show(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="training step: CYBORG over cross-entropy (median of paired rounds, lowest to highest)")
    for column in ("network", "setting", "ce", "cyborg", "cyborg / ce", "passes", "/ float32 ce", "published / cyborg"):
        table.add_column(column, justify="left" if column in ("network", "setting") else "right")
    for row in rows:
        over = row["cyborg_over_ce"]
        table.add_row(
            f"{row['network']} {row['pixels']} px",
            row["setting"],
            *(f"{1000 * median(row['seconds'][loss]):.0f} ms" for loss in ("ce", "cyborg")),
            f"{over['median']:.3f} ({over['lowest']:.3f}-{over['highest']:.3f})",
            f"{row['forward_passes']} (published {row['forward_passes_published']})",
            f"{row['cyborg_over_float32_ce']['median']:.2f}",
            f"{row['published_over_cyborg']['median']:.2f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument(
        "--losses", nargs="*", choices=LOSSES, default=list(LOSSES), help="measured on resnet50 and densenet121"
    )
    parser.add_argument(
        "--setting", choices=[one.name for one in SETTINGS], default=SETTINGS[1].name, help="that they are measured in"
    )
    parser.add_argument("--no-published", action="store_true", help="leave out CYBORG over the published code")
    parser.add_argument("--batch", type=int, default=20, help="images per step (paper: 20)")
    parser.add_argument("--size", type=int, help="pixels; default: the paper's 224 or 299")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    setting = next(one for one in SETTINGS if one.name == options.setting)
    before, rows, loss_rows = environment(), [], []
    for name in options.networks:
        size = options.size or SIZES[name]
        how = {"images": options.batch, "rounds": options.rounds, "device": options.device}
        if not options.no_published:
            rows += measure(name, size, **how)
        if options.losses and name in LOSS_NETWORKS:
            loss_rows += every_loss(name, size, options.losses, setting, **how)
        if options.json:  # after every network, so that an interrupted run keeps its figures
            figures = {"environment": before, "load_after": environment()["load"], "rows": rows}
            figures |= {"losses_setting": setting.name, "losses": loss_rows}
            options.json.write_text(json.dumps(figures, indent=2))
    if rows:
        Console(width=160).print(show(rows))
    if loss_rows:
        Console(width=160).print(show_losses(loss_rows, setting.name))
    if options.json:
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
