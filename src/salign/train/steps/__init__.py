"""The steps that may change a training batch before the loss; each has a file here and a line in `STEPS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import LazyTable, lazy_index

if TYPE_CHECKING:
    from salign.train.steps.attack import Attack as Attack
    from salign.train.steps.base import Step as Step, for_steps as for_steps
    from salign.train.steps.blur import Blur as Blur, blur_outside as blur_outside
    from salign.train.steps.interpolate import Interpolate as Interpolate
    from salign.train.steps.select import Select as Select, largest as largest
    from salign.train.steps.swap import Swap as Swap

STEPS: LazyTable[type[Step]] = LazyTable(
    {
        "attack": "salign.train.steps.attack:Attack",
        "blur": "salign.train.steps.blur:Blur",
        "interpolate": "salign.train.steps.interpolate:Interpolate",
        "select": "salign.train.steps.select:Select",
        "swap": "salign.train.steps.swap:Swap",
    }
)
"""`name` of an entry of `steps` in a recipe -> its class, which is imported when it is looked up."""
FOR_CLASSES = frozenset({"attack", "interpolate", "select"})
"""The steps that need a network with classes, which a net that draws maps does not have."""

lazy_index(__name__)
