"""Cost of adversarial training: an attack of n steps against n + 1 bare passes, and how much `select` saves.

    python benchmarks/attack_cost.py --json attack_cost.json
    python benchmarks/attack_cost.py --backbone resnet18 --side 112 --rounds 5

A bare pass is one forward and backward pass. All variants take turns on one batch of noise; a ratio is the median of
the ratios of the rounds. Processor seconds are measured on a CPU, and wall seconds on a CUDA device. A hook counts the
forward passes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from timing import environment, ratio, take_turns

from salign.losses.cross_entropy import cross_entropy
from salign.models import Classifier
from salign.train.steps import STEPS
from salign.types import DRAWS, Batch

Training = Callable[[], None]


def training(model: Classifier, batch: Batch, steps: list[Any], passes: int = 1) -> Training:
    """A closure that lets the steps change the batch, and learns from it; or that goes forth and back so often."""

    def step() -> None:
        changed = batch
        for each in steps:
            changed = each(changed, model, 0)
        for _ in range(passes):
            model.zero_grad(set_to_none=True)
            cross_entropy(model(changed.images).logits, changed.labels).backward()

    return step


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = Classifier(options.backbone, [str(k) for k in range(10)], image_size=options.side).train()
    count, side = options.batch_size, options.side
    batch = Batch(
        torch.rand(count, 3, side, side),
        torch.randint(10, (count,)),
        torch.zeros(count, 1, side, side),
        torch.zeros(count, dtype=torch.bool),
        torch.arange(count),
        draw=torch.randint(DRAWS, (count,)),
    )
    attack, half = STEPS["attack"](steps=options.steps), STEPS["select"]()
    passes = f"{options.steps + 1} forward and backward"
    variants = {
        passes: training(model, batch, [], options.steps + 1),
        "attack": training(model, batch, [attack]),
        "select, attack": training(model, batch, [half, attack]),
        "attack, select": training(model, batch, [attack, half]),
    }
    images: dict[str, int] = {}
    for name, step in variants.items():
        seen: list[int] = []
        hook = model.register_forward_hook(lambda module, args, output, seen=seen: seen.append(len(args[0])))
        step()
        hook.remove()
        images[name] = sum(seen)
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    seconds = take_turns(variants, rounds=options.rounds, clock=clock)
    ratios = {name: ratio(seconds[name], seconds[passes]) for name in variants}
    saved = ratio(seconds["select, attack"], seconds["attack"])
    table = Table(title=f"{options.backbone}, {count} images of {side} px, an attack of {options.steps} steps")
    for heading in ("training step", "forward passes per image", f"time over {passes} [range]"):
        table.add_column(heading, justify="left" if heading == "training step" else "right")
    for name, each in ratios.items():
        shown = f"{each['median']:.2f} [{each['lowest']:.2f}, {each['highest']:.2f}]"
        table.add_row(name, f"{images[name] / count:.1f}", shown)
    Console().print(table)
    print(f"select, attack over attack: {saved['median']:.2f} [{saved['lowest']:.2f}, {saved['highest']:.2f}]")
    if options.json:
        content = {"environment": environment(), "seconds": seconds, "ratios": ratios, "saved": saved, "images": images}
        options.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
