"""Checks that a loss or step guided by human maps has maps to look at: without any, it would be another training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from salign.data.controls import find_control
from salign.data.reading.dataset import SaliencyDataset
from salign.errors import SalignError
from salign.train.prepare import Prepared, class_counts, training_rows
from salign.train.recipe import ClassifyRecipe, Recipe


def guided_by(recipe: Recipe) -> list[str]:
    """Return what looks at human maps in a recipe, such as `loss cyborg` and `step swap`; none in other tasks."""
    if not isinstance(recipe, ClassifyRecipe):
        return []
    loss = [f"loss {recipe.loss.name}"] if recipe.loss.build().guided else []
    return loss + [f"step {step.name}" for step in recipe.all_steps() if step.build().guided]


def check_maps(recipes: Iterable[Recipe]) -> None:
    """Check, before any run of a study is trained, that every guided recipe has a training image with a map.

    Recipes that need no maps of people are not checked: those with `data.annotated: 0`, with maps that a machine draws,
    or with a control that makes its maps from the images. A recipe whose rows cannot be read is not checked either: its
    own run reports this, and the other runs go on.

    Raises:
        SalignError: no training image of a guided recipe has a map.
    """
    seen = set()
    for recipe in (each for each in recipes if isinstance(each, ClassifyRecipe)):
        data = recipe.data
        key = (data.manifest, data.root, data.map_column, tuple(data.train), tuple(data.classes or ()))
        without_people = data.annotated == 0 or data.drawn is not None or find_control(data.maps)[1].images is not None
        if without_people or key in seen or not guided_by(recipe):
            continue
        seen.add(key)
        try:
            rows = training_rows(data)
        except SalignError:
            continue
        if not rows.table["saliency"].notna().any():
            raise _without_maps(recipe, len(rows))


def tell_guidance(data: Prepared, recipe: ClassifyRecipe, say: Callable[[str], None]) -> None:
    """Tell the user which maps and targets a training has to go by, and which keys of the loss have new names.

    Raises:
        SalignError: a loss or step is guided by maps, but no training image has a map, or all maps are blank. With
            `data.annotated: 0`, training images without any map are no error.
    """
    for key, (added, options) in recipe.loss.earlier.items():
        written = ", ".join(f"{option}: {value}" for option, value in options.items())
        say(f"  loss.{key} is an earlier name of loss.also: {{{added}: {{{written}}}}}, as which it is read")
    if data.train.targets is not None:
        soft = int(((data.train.targets > 0) & (data.train.targets < 1)).any(1).sum())
        say(f"  data.targets: the class of {soft} of {len(data.train)} training images is not certain")
    guided, train = guided_by(recipe), data.train
    if not guided:
        return
    if not bool(train.annotated.any()):
        if recipe.data.annotated != 0:
            raise _without_maps(recipe, len(train))
        say(f"  no training image keeps a map (data.annotated: 0): {guided[0]} has nothing to guide by")
        return
    if not _something_marked(train):
        raise SalignError(
            f"{guided[0]} guides by human maps, and the {int(train.annotated.sum())} maps of the training images in "
            f"{recipe.data.manifest} are all blank: nobody marked anything. Look at the files, or train without them: "
            f"{_instead(guided)}."
        )
    mapped = class_counts(train.labels[train.annotated], len(data.classes)).tolist()
    if bare := [label for label, count in zip(data.classes, mapped, strict=True) if not count]:
        say(f"  no training image of {', '.join(bare)} has a map: {guided[0]} guides the other classes alone")
    if recipe.loss.name == "reaction_time" and recipe.data.seconds_column is None:
        say("  data.seconds_column names no column with seconds: loss reaction_time is CYBORG here")


def _without_maps(recipe: ClassifyRecipe, images: int) -> SalignError:
    data, guided = recipe.data, guided_by(recipe)
    return SalignError(
        f"{guided[0]} guides by human maps, and none of the {images} training images has one in the "
        f"column {data.map_column!r} of {data.manifest}. Bring maps (salign annotate, salign maps import), name "
        f"another column (data.map_column), or train without them: {_instead(guided)}. If a guided training without "
        "maps is what you want to see, say so by data.annotated: 0."
    )


def _instead(guided: Sequence[str]) -> str:
    """Return what to write in the recipe to train without maps."""
    return "loss.name: ce" if guided[0].startswith("loss") else "without that step"


def _something_marked(train: SaliencyDataset) -> bool:
    """Return whether any map marks a place; maps are read until the first one does."""
    return any(bool(train[int(i), 0].saliency.amax() > 0) for i in np.flatnonzero(train.annotated.numpy()))
