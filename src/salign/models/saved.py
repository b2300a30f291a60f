"""How a network is kept in a folder: what it is as JSON, its weights as safetensors, each whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from salign.files import replace_text, replacing
from salign.models.weights import differences, read_safetensors
from salign.readers import read_json
from salign.types import SalignError

WEIGHTS = "weights.safetensors"
MOST_BYTES = 1_000_000
"""Of what says how a network is made."""


def save_state(path: Path, state: Mapping[str, Tensor]) -> Path:
    """Write tensors to a .safetensors file."""
    content = save({key: value.detach().cpu().contiguous() for key, value in state.items()})
    with replacing(path) as partial:
        partial.write_bytes(content)
    return path


def save_config(path: Path, config: Mapping[str, Any]) -> Path:
    """Write what the network is made of."""
    replace_text(path, json.dumps(config, indent=2))
    return path


def read_config(path: Path, keys: Iterable[str], command: str) -> dict[str, Any]:
    """Read it back.

    Args:
        path: the JSON file.
        keys: what it must have.
        command: what writes such a folder, for the message where there is none.

    Raises:
        SalignError: no such file, or a damaged one.
    """
    if not path.is_file():
        raise SalignError(f"{path.parent}: no {path.name} there; expected a run folder written by `{command}`.")
    try:
        config = read_json(path, limit=MOST_BYTES)
    except SalignError as error:
        raise SalignError(f"{path} is damaged: {error}") from error
    if not isinstance(config, dict):
        raise SalignError(f"{path} is damaged: expected an object with keys, got {type(config).__name__}.")
    missing = set(keys) - set(config)
    if missing:
        raise SalignError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}.")
    return config


def fill(model: nn.Module, folder: Path, config: str) -> None:
    """Load the folder's weights into `model`, every tensor of it and no other.

    Raises:
        SalignError: the weights are missing, damaged, or not those of the network that `config` describes.
    """
    state = read_safetensors(folder / WEIGHTS)
    if faults := differences(state, model.state_dict()):
        raise SalignError(f"{folder / WEIGHTS} does not fit {folder / config}: {faults}.")
    model.load_state_dict(state)
