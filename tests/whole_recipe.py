"""A recipe that says every key, one that is refused, and one that is written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from salign.errors import SalignError
from salign.train.recipe import Recipe


def header_alone(folder: Path) -> Path:
    """A manifest without rows, and a table of targets without rows beside it."""
    path = folder / "manifest.csv"
    path.write_text("id,path,label,split,saliency\n")
    path.with_name("targets.csv").write_text("id,x,y\n")
    return path


def full(manifest) -> dict[str, Any]:
    """Every key that a recipe has, with a value other than its default but for four: the task, whose loss this is,
    model.cam, which this loss needs, and data.multi_label and loss.dose, with which others here do not go."""
    return {
        "steps": [],
        "name": "all-keys_1.0",
        "preset": "wacv2023",
        "task": "classify",
        "seed": 3,
        "stages": {},
        "data": {
            "manifest": str(manifest),
            "root": str(manifest.parent),
            "train": ["a", "b"],
            "val": ["c"],
            "test": {"far": ["d", "e"]},
            "classes": ["y", "x"],
            "multi_label": False,
            "positive": "y",
            "task": "pad",
            "image_size": [96, 128],
            "augment": "standard",
            "limit": 50,
            "map_column": "mask",
            "annotated": 0.5,
            "annotated_before_limit": True,
            "annotated_val": 0.25,
            "drawn": {
                "by": str(manifest.parent / "net"),
                "images": "all",
                "label": "y",
                "method": "rise",
                "of": "predicted",
                "masks": 10,
            },
            "maps": "shuffled",
            "blur_outside": [2.0, 4.0],
            "swap_outside": 0.25,
            "seed": 9,
            "sampling": "balanced",
            "subsample": "classes",
            "repeat_errors": {"of": str(manifest.parent / "first"), "times": 50},
            "faults": "leave_out",
            "workers": 3,
            "cache": str(manifest.parent / "pixels"),
            "groups": ["sex"],
            "species": "kind",
            "seconds_column": "took",
            "targets": str(manifest.with_name("targets.csv")),
            "label_noise": 0.25,
        },
        "model": {
            "backbone": "resnet18",
            "weights": None,
            "output_stride": 16,
            "args": {"drop_path_rate": 0.1},
            "cam": "proved",
            "head": "timm",
            "region": {"by": str(manifest.parent / "net"), "keep": "mask"},
        },
        "loss": {
            "name": "cyborg",
            "class_weights": [1.0, 2.5],
            "alpha": 0.3,
            "cam_class": "true_vs_rest",
            "penalty": "l1",
            "ramp_epochs": 4,
            "also": {"energy": {"weight": 2.0}, "distill": {}},
            "teacher": str(manifest.parent / "teacher"),
            "dose": None,
        },
        "train": {
            "epochs": 7,
            "batch_size": 24,
            "accumulate": 2,
            "logger": "csv",
            "optimizer": "adamw",
            "lr": 0.04,
            "momentum": 0.8,
            "weight_decay": 0.01,
            "schedule": "one_cycle",
            "step_epochs": 5,
            "step_factor": 0.5,
            "select": "last",
            "ties": "first",
            "trainable": "head",
            "snapshots": {"even": 3},
            "collapse_patience": 4,
            "device": "cpu",
            "ema": 0.99,
            "devices": 2,
            "nodes": 3,
            "precision": "bfloat16",
            "memory_format": "channels_last",
        },
        "posthoc": {
            "run": str(manifest.parent / "source"),
            "name": "fuse",
            "method": "jumps",
            "count": 3,
            "window": 2,
        },
    }


def write(folder, recipe):
    path = folder / "again.yaml"
    path.write_text(recipe.to_yaml())
    return path


def refused(content, *messages):
    with pytest.raises(SalignError) as caught:
        Recipe.build(content, "my.yaml")
    for message in messages:
        assert message in str(caught.value)
    return str(caught.value)
