"""The task of training a net that draws the map a person would draw, or, as a control, gives back the image."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
from torch import Tensor

from salign.data.reading.dataset import SaliencyDataset
from salign.errors import SalignError
from salign.losses import LossTerms
from salign.losses.map_losses import MAP_LOSSES, mse
from salign.maps import min_max
from salign.models import SaliencyNet
from salign.train.prepare import Prepared, of_machines, training_rows
from salign.train.recipe import DataRecipe, MapsRecipe
from salign.train.tasks.base import Say, Selection, Task
from salign.types import Batch

FEWEST = 10
"""The fewest annotated training images of which a fifth can be held out for validation."""


class MapDrawing(Task):
    """Trains a net on annotated images alone; blank maps count if the loss has a meaning for them.

    Args:
        net: the network.
        loss: the distance to people's maps, a name of `MAP_LOSSES`.
        target: what the net predicts: "map", or "image", which is always compared by the mean squared error.
    """

    network: SaliencyNet

    def __init__(self, net: SaliencyNet, loss: str, target: str) -> None:
        super().__init__()
        self.network, self.image_size = net, net.image_size
        self.loss, self.target = loss, target

    @classmethod
    def build(cls, recipe: MapsRecipe, data: Prepared, say: Say) -> Self:
        """Build the net that draws maps; see `Task.build`."""
        net = SaliencyNet(
            recipe.model.backbone,
            image_size=recipe.data.image_size,
            decoder=recipe.model.decoder,
            channels=3 if recipe.loss.target == "image" else 1,
            width=recipe.model.width,
            weights=recipe.model.weights,
            output_stride=recipe.model.output_stride,
            args=recipe.model.args,
            seed=recipe.seed,
        )
        say(f"{recipe.model.backbone} with a {recipe.model.decoder} decoder: {net.origin}")
        return cls(net, recipe.loss.name, recipe.loss.target)

    @classmethod
    def rows(cls, recipe: MapsRecipe, data: Prepared, say: Say) -> Prepared:
        """Return the images with a map; test sets, and `val` as one of them, keep only maps that a person made.

        A test set without such a map is left out; see `Task.rows`.
        """
        train, val = _annotated(recipe, data, say)
        tests = {"val": _of_people(val), **{name: _of_people(part) for name, part in data.tests.items()}}
        tests = {name: part for name, part in tests.items() if len(part)}
        if recipe.loss.target == "map" and not tests:
            raise SalignError(
                f"{recipe.data.manifest}: no image of validation or test has a map that a person made; a net is "
                "measured against people, not against a machine."
            )
        for name, part in (("training", train), ("validation", val)):
            say(f"{name}: {len(part)} images with a map{of_machines(part)}")
        return replace(data, train=train, val=val, tests=tests)

    @classmethod
    def selection(cls, recipe: MapsRecipe) -> Selection:
        """Keep the epoch with the lowest loss on validation, or the last; see `Task.selection`."""
        return Selection(None if recipe.train.select == "last" else "val/loss", "first", lowest=True)

    def forward(self, batch: Batch) -> LossTerms:
        """Return the distance between the network's predictions and the targets of a training batch."""
        return LossTerms(self._distance(batch), {})

    def validate(self, batch: Batch) -> Tensor:
        """Return the same distance on a validation batch."""
        return self._distance(batch)

    def _distance(self, batch: Batch) -> Tensor:
        logits = self.network(self.laid_out(batch.images)).float()
        if self.target == "image":
            return mse(logits.flatten(0, 1), batch.images.flatten(0, 1))
        return MAP_LOSSES[self.loss](logits[:, 0], min_max(batch.saliency[:, 0]))


def _annotated(recipe: MapsRecipe, data: Prepared, say: Say) -> tuple[SaliencyDataset, SaliencyDataset]:
    """Return the annotated images to train and to validate on.

    If no validation image has a map, a fifth of the annotated training images is held out instead. These are drawn by
    `data.seed` from the images whose map a person made.
    """
    train, val = annotated_rows(data.train), annotated_rows(data.val)
    if train is None or (val is None and len(train) < FEWEST):
        counts = [0 if part is None else len(part) for part in (train, val)]
        raise SalignError(
            f"{recipe.data.manifest}: {counts[0]} images of the training splits have a map, and {counts[1]} of the "
            f"validation splits; expected some in both, or {FEWEST} in training."
        )
    if val is not None:
        return train, val
    ids = train.manifest.table["id"]
    own = np.flatnonzero(~train.manifest.machine_made & ~ids.duplicated().to_numpy())
    if len(own) < FEWEST:
        raise SalignError(
            f"{recipe.data.manifest}: no validation image has a map, and {len(own)} of the training images a person's; "
            f"expected {FEWEST} to hold some of them out: a net is measured against people, not against a machine."
        )
    held = np.sort(np.random.default_rng(recipe.data.seed).permutation(own)[: len(own) // 5])
    say(f"no validation image has a map: {len(held)} of {ids.nunique()} annotated training images are held out instead")
    measured = _as_people_marked(train.take(held), recipe.data).with_transform(data.val.transform)
    return train.take(np.flatnonzero(~ids.isin(ids.iloc[held]).to_numpy())), measured


def _as_people_marked(dataset: SaliencyDataset, data: DataRecipe) -> SaliencyDataset:
    """Return the same images with the maps of the recipe's column, as they are before a control changes them."""
    rows = training_rows(data)
    positions = pd.Index(rows.table["id"]).get_indexer(pd.Index(dataset.manifest.table["id"]))
    return SaliencyDataset(rows.take(positions), dataset.classes, dataset.transform, cache=dataset.cache)


def _of_people(dataset: SaliencyDataset) -> SaliencyDataset:
    """Return the images with a map that no machine made, blank or not."""
    return dataset.take(np.flatnonzero(dataset.annotated.numpy() & ~dataset.manifest.machine_made))


def annotated_rows(dataset: SaliencyDataset) -> SaliencyDataset | None:
    """Return the images with a map, blank or not; None if there are no such images."""
    rows = np.flatnonzero(dataset.annotated.numpy())
    return dataset.take(rows) if len(rows) else None
