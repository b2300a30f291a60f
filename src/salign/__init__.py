"""salign trains image classifiers to look where people look.

The public names and the subpackages; each is imported when it is first used, so that `import salign` costs nothing.
"""

from __future__ import annotations

import importlib.util
import pkgutil
from typing import TYPE_CHECKING, Any

from salign.moved import find_moved_modules

if TYPE_CHECKING:
    from salign.data.manifest import Manifest
    from salign.losses import LOSSES, Cyborg, cyborg
    from salign.maps import SaliencyMap
    from salign.models import Classifier, load
    from salign.runs.fit import fit
    from salign.train.recipe import Recipe
    from salign.types import Batch, Output, SalignError

_HOME = {
    "Batch": "salign.types",
    "Classifier": "salign.models",
    "Cyborg": "salign.losses",
    "LOSSES": "salign.losses",
    "Manifest": "salign.data.manifest",
    "Output": "salign.types",
    "Recipe": "salign.train.recipe",
    "SaliencyMap": "salign.maps",
    "SalignError": "salign.types",
    "cyborg": "salign.losses",
    "fit": "salign.runs.fit",
    "load": "salign.models",
}

__version__ = "0.1.0"
__all__ = [
    "LOSSES",
    "Batch",
    "Classifier",
    "Cyborg",
    "Manifest",
    "Output",
    "Recipe",
    "SaliencyMap",
    "SalignError",
    "cyborg",
    "fit",
    "load",
]

find_moved_modules()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'salign' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    subpackages = [module.name for module in pkgutil.iter_modules(__path__)]
    return [*(name for name in globals() if name.startswith("__")), *__all__, *subpackages]
