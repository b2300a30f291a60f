"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real annotated image sets, which cannot be redistributed with salign."""
    folder = Path(os.environ.get("SALIGN_TEST_DATA", REPOSITORY / ".." / "shared" / "data")).resolve()
    if not (folder / "busi_ultrasound" / "index.csv").exists():
        pytest.skip(f"no real image sets at {folder}; set SALIGN_TEST_DATA to their folder to run this test")
    return folder
