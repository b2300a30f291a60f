"""A run that knows its data: every question to a finished run asks it, and rebuilds nothing."""

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
"""A manifest that moved along lies in one of so many folders above a run: `FOLDER/studies/NAME/runs/RUN` has four."""


class Run(RunFolder):
    """A finished run: its recipe, images, predictions and model, each read when it is first asked for.

    Recipe, images and predictions are kept, so that they are read once, and files that change later are not noticed:
    open the run again. `Run.open(folder)` checks that the run has finished; `salign.fit` returns one.
    """

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe; where the manifest is gone and moved along with the run, with its new place."""
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
        """Names of the sets that it predicted: `val`, then the test sets in the order of the recipe."""
        return list(self.recipe.data.sets)

    @cached_property
    def manifest(self) -> Manifest:
        """All rows of its manifest.

        Raises:
            SalignError: it is gone, or does not hold any more.
        """
        return read_manifest(self.recipe.data)

    @cached_property
    def prepared(self) -> Prepared:
        """Its datasets, made from the recipe; the files are not checked again, and rows left out stay left out."""
        data = prepare(self.recipe.data, left_out=self._left_out(), device=self.recipe.train.device)
        return TASKS[self.recipe.task].rows(self.recipe, data, lambda _: None)

    @cached_property
    def _measured(self) -> Prepared:
        """As `prepared`, for the sets that are measured: what drew or weighed for training alone may be gone."""
        data = self.recipe.data.model_copy(update={"drawn": None, "repeat_errors": None, "targets": None})
        return prepare(data, left_out=self._left_out())

    @cached_property
    def training_rows(self) -> Manifest:
        """The rows it trained on with the maps of its column, before a control changed them.

        Raises:
            SalignError: the manifest is gone, or is no longer that of the run.
        """
        rows = without(training_rows(self.recipe.data), self._left_out())
        data, device = self.recipe.data, self.recipe.train.device
        return repeated(reduced(rows, data, device=device), data, device=device)

    def data(self, name: str) -> SaliencyDataset:
        """The images of `train`, `val` or a test set, as the run read them: those of `train` change at random.

        Raises:
            SalignError: there is no such set, or the manifest is gone or no longer holds it.
        """
        one_of(name, ["train", *self.sets], f"{self.path}: set")
        if name == "train" or isinstance(self.recipe, MapsRecipe) or "prepared" in vars(self):
            return {"train": self.prepared.train, **self.prepared.sets}[name]
        return self._measured.sets[name]

    def model(self) -> Any:
        """The network of the best epoch, in evaluation mode, on the CPU; read anew at every call.

        It is a `Classifier`; where the run was fused, an `Ensemble`; where the task of the recipe is `maps`, a
        `SaliencyNet`, and where it is `pretrain`, an `Embedder`.
        """
        kinds: dict[str, Any] = {"maps": SaliencyNet.load, "pretrain": Embedder.load}
        return kinds.get(self.recipe.task, load)(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return tuple(self._described["classes"])

    @property
    def positive(self) -> str | None:
        """The class that is to be detected, of two that exclude each other; None where there is no such class."""
        if len(self.classes) != 2 or self.multi_label:
            return None
        return self.recipe.data.positive or self.classes[-1]

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return bool(self._described.get("multi_label", False))

    def predictions(self, name: str) -> pd.DataFrame:
        """The predictions for `val` or a test set, a row per image; see `salign.evaluate.predictions`.

        Raises:
            SalignError: the file is missing, damaged, or not as long as it was written.
        """
        if name not in self._predictions:
            self._predictions[name] = self.read_predictions(name, self.classes, multi_label=self.multi_label)
        return self._predictions[name].copy(deep=False)

    def figures(self) -> pd.DataFrame:
        """The figures that training or `salign evaluate` computed last: a row per set, group and metric."""
        return read_figures(self.evaluation, TEXT)

    def remember(self, recipe: Recipe, data: Prepared) -> None:
        """Take over what training has read already."""
        vars(self).update(recipe=recipe, prepared=data)

    def write_predictions(self, name: str, table: pd.DataFrame) -> None:
        """Write the predictions for a set, and keep what a reader of the file would read."""
        replace_csv(self.predictions_file(name), table)
        self._predictions[name] = table.reset_index(drop=True)

    @cached_property
    def _described(self) -> dict[str, Any]:
        return describe_model(self.path)

    @cached_property
    def _predictions(self) -> dict[str, pd.DataFrame]:
        return {}

    def _left_out(self) -> list[Fault]:
        """The rows that could not be read as training began, which `left_out.csv` lists."""
        path = self.path / "left_out.csv"
        if not path.exists():
            return []
        table = read_figures(path, ("column", "message"))
        return [Fault(None if pd.isna(row) else int(row), *text) for row, *text in table.itertuples(index=False)]
