from __future__ import annotations

import pytest

from whole_recipe import header_alone


@pytest.fixture
def manifest(tmp_path):
    return header_alone(tmp_path)
