"""A study of the module's `GRIDS`, with made-up results."""

from __future__ import annotations

import pytest

from made_study import made, study


@pytest.fixture(scope="module")
def plan(request, digits):
    return study(digits, grids=request.module.GRIDS)


@pytest.fixture(scope="module")
def results(plan, digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("studies"), digits, plan)
