"""Every example runs as a reader would run it, and says what it saw."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from processes import Program

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def run(example: Path, folder: Path) -> str:
    """What the example prints, run in an empty folder."""
    program = Program(example, folder=folder)
    out, err = program.communicate()
    assert program.returncode == 0, err
    return out


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs_and_says_what_it_saw(example: Path, tmp_path: Path) -> None:
    said = run(example, tmp_path)
    assert re.search(r"\d", said), "an example prints the figures it saw"
    if example.stem == "01_loss_in_your_own_loop":
        plain, guided = (int(share) for share in re.findall(r"(\d+)% right", said))
        assert guided >= plain + 5
