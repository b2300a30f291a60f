"""A finished run together with its data, shared by all evaluations so that nothing is read or built twice."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from salign.data.manifest import Fault, Manifest
from salign.data.reading.dataset import SaliencyDataset
from salign.errors import one_of
from salign.evaluate.figures import TEXT
from salign.evaluate.tables import read_figures
from salign.files import replace_csv
from salign.location import is_remote
from salign.models import Embedder, SaliencyNet, load
from salign.models.config import describe_model
from salign.runs.folder import RunFolder
from salign.train.prepare import Prepared, prepare, read_manifest, reduced, repeated, training_rows, without
from salign.train.recipe import MapsRecipe, Recipe
from salign.train.tasks import TASKS

_LEVELS = 4
"""How many folders above a run are searched for a manifest that moved with it: from `FOLDER/studies/NAME/runs/RUN`
to FOLDER are four."""


class Run(RunFolder):
    """A finished run: its recipe, images, predictions and model, each read when it is first asked for.

    Recipe, images and predictions are read once and kept. Later changes of the files are not noticed; open the run
    again to see them. `Run.open(folder)` checks that the run has finished; `salign.fit` returns a run.
    """

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe; if the manifest moved together with the run, the recipe has the manifest's new path."""
        recipe = Recipe.read(self.recipe_file)
        manifest = recipe.data.manifest
        if is_remote(manifest) or Path(manifest).exists():
            return recipe
        for folder in self.path.resolve().parents[:_LEVELS]:
            if (folder / Path(manifest).name).is_file():
                moved = recipe.with_values({"data": {"manifest": str(folder / Path(manifest).name)}})
                if self.path.name.endswith(f"-{moved.fingerprint()}"):  # the same to the last byte
                    return moved
        return recipe

    @property
    def sets(self) -> list[str]:
        """Names of the sets that the run predicts: `val`, then the test sets in the order of the recipe."""
        return list(self.recipe.data.sets)

    @cached_property
    def manifest(self) -> Manifest:
        """All rows of the run's manifest.

        Raises:
            SalignError: the manifest is gone, or is not valid any more.
        """
        return read_manifest(self.recipe.data)

    @cached_property
    def prepared(self) -> Prepared:
        """The run's datasets, made from the recipe.

        Files are not checked again, and rows that were left out at first stay left out.
        """
        data = prepare(self.recipe.data, left_out=self._left_out(), device=self.recipe.train.device)
        return TASKS[self.recipe.task].rows(self.recipe, data, lambda _: None)

    @cached_property
    def _measured(self) -> Prepared:
        """The datasets as in `prepared`, for evaluation only.

        The runs and files that only training needs, to draw maps, repeat errors or give soft targets, may be gone.
        """
        data = self.recipe.data.model_copy(update={"drawn": None, "repeat_errors": None, "targets": None})
        return prepare(data, left_out=self._left_out())

    @cached_property
    def training_rows(self) -> Manifest:
        """The rows the run trained on, with the maps of its column, before a control (`data.maps`) changed them.

        Raises:
            SalignError: the manifest is gone, or has changed since the run was made.
        """
        rows = without(training_rows(self.recipe.data), self._left_out())
        data, device = self.recipe.data, self.recipe.train.device
        return repeated(reduced(rows, data, device=device), data, device=device)

    def data(self, name: str) -> SaliencyDataset:
        """Return the images of `train`, `val` or a test set, as the run read them; `train` is augmented at random.

        Raises:
            SalignError: there is no such set, or the manifest is gone or no longer has the set.
        """
        one_of(name, ["train", *self.sets], f"{self.path}: set")
        if name == "train" or isinstance(self.recipe, MapsRecipe) or "prepared" in vars(self):
            return {"train": self.prepared.train, **self.prepared.sets}[name]
        return self._measured.sets[name]

    def model(self) -> Any:
        """Return the network of the best epoch, in evaluation mode, on the CPU; it is loaded again at every call.

        It is a `Classifier`, an `Ensemble` if the run was fused, or a `TwoStage` if it classifies regions
        (`model.region`). If the task of the recipe is `maps` it is a `SaliencyNet`, and if the task is `pretrain` an
        `Embedder`.
        """
        kinds: dict[str, Any] = {"maps": SaliencyNet.load, "pretrain": Embedder.load}
        return kinds.get(self.recipe.task, load)(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return tuple(self._described["classes"])

    @property
    def positive(self) -> str | None:
        """The class to be detected, if there are two classes that exclude each other; otherwise None."""
        if len(self.classes) != 2 or self.multi_label:
            return None
        return self.recipe.data.positive or self.classes[-1]

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return bool(self._described.get("multi_label", False))

    def predictions(self, name: str) -> pd.DataFrame:
        """Return the predictions for `val` or a test set, a row per image; see `salign.evaluate.predictions`.

        Raises:
            SalignError: the file is missing or damaged, or has fewer or more rows than were written.
        """
        if name not in self._predictions:
            self._predictions[name] = self.read_predictions(name, self.classes, multi_label=self.multi_label)
        return self._predictions[name].copy(deep=False)

    def figures(self) -> pd.DataFrame:
        """Return the figures that training or `salign evaluate` computed last: a row per set, group and metric."""
        return read_figures(self.evaluation, TEXT)

    def remember(self, recipe: Recipe, data: Prepared) -> None:
        """Keep the recipe and the data that training has already read."""
        vars(self).update(recipe=recipe, prepared=data)

    def write_predictions(self, name: str, table: pd.DataFrame) -> None:
        """Write the predictions for a set, and keep the table for later calls of `predictions`."""
        replace_csv(self.predictions_file(name), table)
        self._predictions[name] = table.reset_index(drop=True)

    @cached_property
    def _described(self) -> dict[str, Any]:
        return describe_model(self.path)

    @cached_property
    def _predictions(self) -> dict[str, pd.DataFrame]:
        return {}

    def _left_out(self) -> list[Fault]:
        """Return the rows that could not be read when training began, as `left_out.csv` lists them."""
        path = self.path / "left_out.csv"
        if not path.exists():
            return []
        table = read_figures(path, ("column", "message"))
        return [Fault(None if pd.isna(row) else int(row), *text) for row, *text in table.itertuples(index=False)]
