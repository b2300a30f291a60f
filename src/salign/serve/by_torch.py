"""The network of a training run behind the interface of an exported model."""

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
    """A classifier that runs in torch. It prepares images, answers and draws in the same way as an `OnnxModel`."""

    def __init__(self, model: Model, description: dict[str, Any]) -> None:
        super().__init__(None, description)
        self._model = model.eval()

    def run(self, pixels: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs that an exported file gives; `map` is missing if the model has no map."""
        with torch.inference_mode():
            output = self._model(torch.from_numpy(pixels).permute(0, 3, 1, 2))
            values = {"logits": output.logits, "probabilities": self._model.probabilities(output.logits)}
            if self.description["maps"] != "none":
                values["map"] = output.cam(predicted_class(output.logits, multi_label=self.multi_label))
        return {name: value.float().numpy() for name, value in values.items()}


def load_run(path: Path) -> TorchModel:
    """Load the model of a finished run.

    Raises:
        SalignError: there is no such run, its model gives no answers, or the model file is damaged.
    """
    run = Run.open(path)
    model = run.model()
    maps = "none" if model.config.get("cam") == "none" else "answered"
    return TorchModel(model, describe(run, model, pixels="float32", maps=maps, precision="float32"))
