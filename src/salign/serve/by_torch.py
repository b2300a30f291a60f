"""The network of a run, asked as an exported file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from salign.losses.labels import predicted_class
from salign.models import Model
from salign.runs.export import describe
from salign.runs.run import Run
from salign.runtime.model import OnnxModel


class TorchModel(OnnxModel):
    """A model of classes by torch: it prepares, answers and draws as an `OnnxModel` does."""

    def __init__(self, model: Model, description: dict[str, Any]) -> None:
        super().__init__(None, description)
        self._model = model.eval()

    def run(self, pixels: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """As for a file; there is no map where the model has none."""
        with torch.inference_mode():
            output = self._model(torch.from_numpy(pixels).permute(0, 3, 1, 2))
            values = {"logits": output.logits, "probabilities": self._model.probabilities(output.logits)}
            if self.description["maps"] != "none":
                values["map"] = output.cam(predicted_class(output.logits, multi_label=self.multi_label))
        return {name: value.float().numpy() for name, value in values.items()}


def load_run(path: Path) -> TorchModel:
    """The model of a finished run.

    Raises:
        SalignError: no such run, one that gives no answers, or a damaged model.
    """
    run = Run.open(path)
    model = run.model()
    maps = "none" if model.config.get("cam") == "none" else "answered"
    return TorchModel(model, describe(run, model, pixels="float32", maps=maps, precision="float32"))
