"""What the tests of tables share."""

from __future__ import annotations

import pytest
from PIL import Image


@pytest.fixture
def beside_letters(tmp_path):
    """Write a table beside `a.png`, `b.png` and `c.png`."""
    for name in "abc":
        Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")

    def write(text):
        (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "t.csv"

    return write
