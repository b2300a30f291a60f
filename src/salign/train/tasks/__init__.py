"""The tasks that may be learned; each has a file here and a line in `TASKS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import LazyTable, lazy_index

if TYPE_CHECKING:
    from salign.train.tasks.base import Task as Task
    from salign.train.tasks.classification import Classification as Classification
    from salign.train.tasks.map_drawing import MapDrawing as MapDrawing
    from salign.train.tasks.pretraining import Pretraining as Pretraining

TASKS: LazyTable[type[Task]] = LazyTable(
    {
        "classify": "salign.train.tasks.classification:Classification",
        "maps": "salign.train.tasks.map_drawing:MapDrawing",
        "pretrain": "salign.train.tasks.pretraining:Pretraining",
    }
)
"""`task` of a recipe -> its class, which is imported when it is looked up."""

lazy_index(__name__)
