"""salign trains image classifiers to look where people look.

The package has the public names below and its subpackages. Each is imported when it is first used, so that
`import salign` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index
from salign.moved import find_moved_modules

if TYPE_CHECKING:
    from salign.data.manifest import Manifest as Manifest
    from salign.errors import SalignError as SalignError
    from salign.losses import LOSSES as LOSSES, Cyborg as Cyborg, cyborg as cyborg
    from salign.maps import SaliencyMap as SaliencyMap
    from salign.models import Classifier as Classifier, load as load
    from salign.runs.fit import fit as fit
    from salign.runs.run import Run as Run
    from salign.train.recipe import Recipe as Recipe
    from salign.types import Batch as Batch, Output as Output

__version__ = "0.2.0"

find_moved_modules()
lazy_index(__name__)
