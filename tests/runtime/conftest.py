from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def pictures(digits: Path, tmp_path: Path) -> Path:
    """A folder with six test images of the run, one of them in a folder below."""
    names = sorted((digits.parent / "images" / "test_ood").iterdir())[:6]
    (tmp_path / "in" / "below").mkdir(parents=True)
    for name in names:
        shutil.copy(name, tmp_path / "in" / ("below" if name == names[0] else "."))
    return tmp_path / "in"
