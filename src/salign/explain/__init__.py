"""What a model looked at: functions `(model, images, classes) -> maps`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from salign.index import LazyTable, lazy_index

if TYPE_CHECKING:
    from salign.explain.cam import cam as cam
    from salign.explain.grad_cam import grad_cam as grad_cam, grad_cam_of as grad_cam_of
    from salign.explain.rise import rise as rise
    from salign.explain.rollout import rollout as rollout

EXPLAINERS: LazyTable[Any] = LazyTable(
    {
        "cam": "salign.explain.cam:cam",
        "grad_cam": "salign.explain.grad_cam:grad_cam",
        "rise": "salign.explain.rise:rise",
    }
)
"""Explainers by name, each imported when it is looked up; `rise` also needs a generator."""

lazy_index(__name__)
