"""The command `salign benchmark`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from salign.limits import LARGEST_BATCH, LONGEST_SIDE


def benchmark(
    backbone: Annotated[
        str, typer.Argument(help="Name of a network of timm, e.g. resnet50.")
    ] = "tf_efficientnet_lite0",
    image_size: Annotated[
        int, typer.Option(min=32, max=LONGEST_SIDE, help="Side of the square images, in pixels.")
    ] = 224,
    batch_size: Annotated[
        int, typer.Option(min=2, max=LARGEST_BATCH, help="A training step takes so many images.")
    ] = 16,
    repeats: Annotated[
        int, typer.Option(min=1, help="Each cell of the table is the median of so many timed steps.")
    ] = 5,
    output: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file, as JSON.")] = None,
) -> None:
    """Measure on this machine what a training step costs with every loss and number format."""
    import torch
    from rich.console import Console

    from salign.cli.text_table import text_table
    from salign.errors import SalignError
    from salign.files import check_output, replace_text
    from salign.losses import LOSSES
    from salign.models import Classifier
    from salign.progress import track
    from salign.train.speed import SETTINGS, random_batch, step_seconds
    from salign.train.tasks import Classification

    if output is not None:
        check_output(output)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier = Classifier(backbone, ["a", "b"], image_size=image_size).to(device)
    batch = random_batch(batch_size, 2, classifier.image_size, device=device)
    cells = [(name, setting) for name in LOSSES for setting in SETTINGS]
    seconds, refused = {}, {}
    for name, setting in track(cells, "measuring"):
        try:
            loss = LOSSES[name]()
            loss.teacher = lambda images: classifier(images).logits  # stands for a teacher of the same size
            task = Classification(classifier, loss).to(device)
            seconds[name, setting] = step_seconds(task, batch, setting, repeats=repeats)
        except SalignError as error:
            refused[name] = str(error)
    rows = [
        [
            name,
            *(f"{1000 * seconds[name, s]:.0f} ms ({seconds[name, s] / seconds['ce', s]:.2f} x ce)" for s in SETTINGS),
        ]
        for name in LOSSES
        if name not in refused
    ]
    title = f"{backbone}, {image_size} px, {batch_size} images a step, {device.type}"
    Console().print(text_table(title, ["loss", *map(str, SETTINGS)], rows, left=("loss",)))
    for name, reason in refused.items():
        typer.echo(f"{name}: not for this network. {reason}")
    if output is not None:
        figures = [{"loss": name, **s._asdict(), "seconds": seconds[name, s]} for (name, s) in seconds]
        replace_text(output, json.dumps({"backbone": backbone, "image_size": image_size, "cells": figures}, indent=2))
        typer.echo(f"wrote {output}.")
    best = min(SETTINGS, key=lambda setting: seconds["ce", setting])
    typer.echo(f"fastest here: {best}. `salign train` finds this out by itself (precision: auto).")
