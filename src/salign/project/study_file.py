"""A commented study for a set of images: the network, size, loss and weight that docs/evidence.md supports for it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from textwrap import dedent, indent
from typing import NamedTuple

from salign.data.manifest import Manifest
from salign.data.manifest.folder_layout import splits_by_role

SEEDS = 3
_PASSES = 840
"""A run sees about this many training images, counted once per epoch."""


class Setting(NamedTuple):
    """The values of a study that depend on its set of images."""

    epochs: int
    images: int
    """Number of training images."""
    share: float
    """Share of the training images that have a map, in [0, 1]."""


def setting_for(manifest: Manifest, share: float) -> Setting:
    """Choose the number of epochs, 8 to 30, by the number of training images.

    Fewer images are seen more often, so that all runs take about as long.

    Args:
        manifest: the rows, with splits.
        share: share of the training images that have a map, in [0, 1].
    """
    images = int(manifest.table["split"].isin(splits_by_role(manifest.splits)["train"]).sum())
    return Setting(min(30, max(8, round(_PASSES / max(1, images)))), images, share)


def study_text(manifest: Manifest, setting: Setting, *, name: str, file: str, root: str | None = None) -> str:
    """Write a study as YAML with comments, or a recipe alone where images have several labels.

    Args:
        manifest: the rows, with splits.
        setting: the values that depend on the set of images.
        name: name of the folder; the name of the study is made of it.
        file: path of the manifest, as the study names it.
        root: folder where the paths in the manifest begin, if no file beside the manifest records it.
    """
    roles = splits_by_role(manifest.splits)
    tests = _measurable(manifest, roles["test"])
    classes = list(manifest.classes)
    splits = {"train": roles["train"], "val": roles["val"], "test": tests}
    usual = {"train": ["train"], "val": ["val"], "test": ["test"]}
    lines = [f"    {role}: {_flow(names)}" for role, names in splits.items() if names != usual[role]]
    if root is not None:
        lines.insert(0, f"    root: {_flow(root)}")
    if manifest.multi_label:
        lines.append("    multi_label: true    # each class is a yes or no by itself")
    elif len(classes) == 2:
        lines.append(
            f"    positive: {_flow(classes[-1])}  # the class that is to be detected; the other one is {classes[0]}"
        )
    shared = _SHARED.format(manifest=_flow(file), splits="".join(f"{line}\n" for line in lines), epochs=setting.epochs)
    if manifest.multi_label:
        return _RECIPE.format(
            name=study_name(name),
            images=setting.images,
            share=f"{setting.share:.0%}",
            shared=dedent(shared),
            loss=f"{_WHY}loss: {_GUIDED}" if setting.share else "loss: {name: ce}",
        )
    return _TEXT.format(
        name=study_name(name),
        title=_flow(name),
        question=_flow(f"Does it help to show the network where people looked, on {name}?"),
        target=_flow(tests[0]),
        shared=shared,
        images=setting.images,
        share=f"{setting.share:.0%}",
        loss=f"{indent(_WHY, '  ')}  guided: {{loss: {_GUIDED}}}",
        seeds=SEEDS,
    )


def study_name(name: str) -> str:
    """Turn the name of a folder into the name of a study, which is the name of a folder, too."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "study"


def _measurable(manifest: Manifest, tests: Sequence[str]) -> list[str]:
    """Return the test sets that have images of at least two classes; all test sets if none has."""
    kinds = manifest.table.groupby("split")["label"].nunique()
    return [split for split in tests if kinds[split] > 1] or list(tests)


def _flow(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


_GUIDED = "{name: swap, weight: 0.1}"
_WHY = """\
# The answer should not depend on what lies outside of the marks; each step costs as much as two. This weight cost
# little where nothing misleads. If you know of a shortcut, take 0.3 or 1, which keep the network from it far better.
"""
_TEXT = """\
# Written by salign init for {images} training images, of which {share} have a map. Change what you like; then
#   salign run      trains every arm below with every seed, and writes the report (what is done is not run again)
# All keys: docs/reference/recipe.md. Why these values: docs/choosing-a-loss.md#what-salign-init-writes. They were
# chosen on three sets of 120 other images, so treat them as a start and not as a result.
name: {name}
title: {title}
question: {question}
metric: auroc            # arms are compared by it: auroc, accuracy or balanced_accuracy
target: {target}           # on this test set
recipe:                  # what all arms share
{shared}arms:
{loss}
guided: guided           # the arm in question
controls: [shuffled]     # the same with the maps of other images: what it gains, too, is not due to people's marks
grids:
  - {{arms: [ce, guided, shuffled], seeds: {seeds}}}  # more seeds: a smaller difference can be told from chance
"""
_RECIPE = """\
# Written by salign init for {images} training images with several labels each or none, of which {share} have a map.
# Change what you like; then
#   salign train recipe.yaml                      trains it
#   salign train recipe.yaml --set loss.name=ce   trains the same without maps, to compare (salign explain --beside)
# All keys: docs/reference/recipe.md. Why these values: docs/choosing-a-loss.md#what-salign-init-writes. They were
# chosen on images of one class each, so treat them as a start and not as a result.
name: {name}
{shared}{loss}
"""
_SHARED = """\
  data:
    manifest: {manifest}
{splits}    image_size: 96       # as in the arena; small marks need more, and 192 takes four times as long
    augment: flip        # none, where left and right matter, as in letters
    workers: 0           # images of this size are read in no time
  model:
    backbone: tf_efficientnet_lite0  # with ImageNet weights that lie in a package: no download
    output_stride: 16    # a map of 6 x 6 cells
  train:
    epochs: {epochs}           # by the number of images; all other values are defaults (docs/training.md)
    select: last         # validation of few images says little about which epoch is best
"""
