"""How the weights of a network are kept in a folder: as safetensors, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from salign.errors import SalignError
from salign.files import replacing
from salign.models.config import WEIGHTS
from salign.models.weights import differences, read_safetensors


def save_state(path: Path, state: Mapping[str, Tensor]) -> Path:
    """Write tensors to a .safetensors file."""
    content = save({key: value.detach().cpu().contiguous() for key, value in state.items()})
    with replacing(path) as partial:
        partial.write_bytes(content)
    return path


def fill(model: nn.Module, folder: Path, config: str) -> None:
    """Load the folder's weights into `model`, every tensor of it and no other.

    Raises:
        SalignError: the weights are missing, damaged, or not those of the network that `config` describes.
    """
    state = read_safetensors(folder / WEIGHTS)
    if faults := differences(state, model.state_dict()):
        raise SalignError(f"{folder / WEIGHTS} does not fit {folder / config}: {faults}.")
    model.load_state_dict(state)
