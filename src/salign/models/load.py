"""A saved model of any kind, known by the file that describes it."""

from __future__ import annotations

from pathlib import Path

from salign.models.classifier import Classifier
from salign.models.config import ENSEMBLE, description_file
from salign.models.ensemble import Ensemble


def load(folder: Path | str) -> Classifier | Ensemble:
    """The model saved in `folder`, in evaluation mode, on the CPU.

    Args:
        folder: a run folder, or any folder that `save` of a model wrote.

    Raises:
        SalignError: there is no model, or it is damaged.
    """
    return (Ensemble if description_file(folder).name == ENSEMBLE else Classifier).load(folder)
