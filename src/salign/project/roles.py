"""The role of a split, by its name: training, choosing the best epoch (validation), or measuring (test)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_ROLES = {
    "train": re.compile(r"train(ing)?([_\- .].*|\d*)", re.I),
    "val": re.compile(r"(val|valid|validation|dev)([_\- .].*|\d*)", re.I),
    "test": re.compile(r"(test|testing|eval|holdout|ood)([_\- .].*|\d*)", re.I),
}
"""Role -> pattern of the names of its splits, with the words by which `folder_layout` knows folders of splits."""


def splits_by_role(splits: Iterable[str]) -> Mapping[str, list[str]]:
    """Sort splits by the role that their names tell: `train`, `val` or `test`. Other splits are left out."""
    by_role: dict[str, list[str]] = {role: [] for role in _ROLES}
    for split in dict.fromkeys(splits):
        for role, pattern in _ROLES.items():
            if pattern.fullmatch(split):
                by_role[role].append(split)
    return by_role
