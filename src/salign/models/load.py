"""Load a saved model of any kind; the file that describes it tells the kind."""

from __future__ import annotations

from pathlib import Path

from salign.models.classifier import Classifier
from salign.models.config import CLASSIFIER, ENSEMBLE, TWO_STAGE, description_file
from salign.models.ensemble import Ensemble
from salign.models.two_stage import TwoStage


def load(folder: Path | str) -> Classifier | Ensemble | TwoStage:
    """Load the model that was saved in `folder`, in evaluation mode, on the CPU.

    Args:
        folder: a run folder, or any folder that `save` of a model wrote.

    Raises:
        SalignError: there is no model, or it is damaged.
    """
    return _KINDS[description_file(folder).name].load(folder)


_KINDS: dict[str, type[Classifier | Ensemble | TwoStage]] = {
    CLASSIFIER: Classifier,
    ENSEMBLE: Ensemble,
    TWO_STAGE: TwoStage,
}
"""Name of the file that describes a model -> the class of the model."""
