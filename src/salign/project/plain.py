"""The study of a folder that has no maps yet: cross-entropy alone, with a name of its own."""

from __future__ import annotations

from salign.experiment.study import Study

_SUFFIX = "-without-maps"


def without_maps(study: Study) -> Study:
    """Return a study called `NAME-without-maps`, with the first grid of the study and the arm `ce` alone."""
    grids = [grid.model_copy(update={"arms": ["ce"]}) for grid in study.grids[:1]]
    return study.model_copy(update={"name": study.name + _SUFFIX, "guided": "ce", "controls": [], "grids": grids})
