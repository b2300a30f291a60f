"""The study of a folder without any map: cross-entropy alone, under a name of its own."""

from __future__ import annotations

from salign.experiment.study import Study

_SUFFIX = "-without-maps"


def without_maps(study: Study) -> Study:
    """The first grid of a study with the arm `ce` alone, as `NAME-without-maps`."""
    grids = [grid.model_copy(update={"arms": ["ce"]}) for grid in study.grids[:1]]
    return study.model_copy(update={"name": study.name + _SUFFIX, "guided": "ce", "controls": [], "grids": grids})
