"""Predictions tables with random answers."""

from __future__ import annotations

import numpy as np
import pandas as pd


def predictions(labels, classes, *, seed: int = 0, shift: float = 1.0, **free) -> pd.DataFrame:
    """A table whose logits are noise plus `shift` on the true class; float32, as a network gives them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(labels), len(classes))).astype(np.float32)
    truth = [classes.index(label) for label in labels]
    logits[np.arange(len(labels)), truth] += np.float32(shift)
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(1, keepdims=True)
    columns = {
        "id": [f"i{k}" for k in range(len(labels))],
        "path": [f"images/{k}.png" for k in range(len(labels))],
        "split": "test",
        "label": list(labels),
        "predicted": [classes[k] for k in shares.argmax(1)],
    }
    columns |= {f"logit_{name}": logits[:, k] for k, name in enumerate(classes)}
    columns |= {f"prob_{name}": shares[:, k] for k, name in enumerate(classes)}
    return pd.DataFrame({**columns, **free})
