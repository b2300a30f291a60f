"""Cost of a teacher: a step with `distill` or `okd` against the passes that it needs at least.

    python benchmarks/distill_cost.py --json distill_cost.json

`distill` needs a training step of the student and a forward pass of the teacher; `okd` needs a training step on two
batches and two forward passes of the teacher. All variants take turns on noise; a ratio is the median of the ratios of
the rounds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from step_cost import make_batch, make_step
from timing import environment, ratio, take_turns
from torch import Tensor, nn

from salign.losses import LOSSES
from salign.models import Classifier


def measure(teacher_name: str, student_name: str, *, pixels: int, images: int, rounds: int) -> dict[str, dict]:
    """Ratios of the two losses over their passes."""
    classes = ["a", "b"]
    teacher = Classifier(teacher_name, classes, image_size=pixels, weights=None).eval()
    batch = make_batch(images, pixels, "cpu")._replace(draw=torch.arange(images))

    @torch.no_grad()
    def answer(given: Tensor) -> Tensor:
        return teacher(given).logits

    def step(name: str):
        loss = LOSSES[name]()
        loss.teacher = answer
        return make_step(student(), lambda net: loss(net(batch.images), batch).total, torch.float32)

    def student() -> nn.Module:
        return Classifier(student_name, classes, image_size=pixels, weights=None).train()

    plain = LOSSES["ce"]()
    alone = make_step(student(), lambda net: plain(net(batch.images), batch).total, torch.float32)
    seconds = take_turns(
        {"distill": step("distill"), "okd": step("okd"), "student": alone, "teacher": lambda: answer(batch.images)},
        rounds=rounds,
        title=f"{teacher_name} teaches {student_name}",
    )
    parts = [a + b for a, b in zip(seconds["student"], seconds["teacher"], strict=True)]
    return {
        "distill over student + teacher": ratio(seconds["distill"], parts),
        "okd over twice of both": ratio(seconds["okd"], [2 * part for part in parts]),
        "distill over student": ratio(seconds["distill"], seconds["student"]),
        "okd over student": ratio(seconds["okd"], seconds["student"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="resnet50")
    parser.add_argument("--student", default="resnet18")
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = measure(asked.teacher, asked.student, pixels=asked.pixels, images=asked.images, rounds=asked.rounds)
    table = Table("ratio", "median", "lowest", "highest", title=f"{asked.teacher} teaches {asked.student}")
    for name, value in found.items():
        table.add_row(name, *(f"{value[key]:.2f}" for key in ("median", "lowest", "highest")))
    Console().print(table)
    if asked.json:
        asked.json.write_text(json.dumps({**environment(), "pixels": asked.pixels, "ratios": found}, indent=2))


if __name__ == "__main__":
    main()
