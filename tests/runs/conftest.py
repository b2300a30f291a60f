from __future__ import annotations

import pytest

from salign.runs import blocks


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the blocks that are done, in this process and in turn, in place of a cluster."""
    seen: list[int] = []

    def one_after_the_other(job, left, address, actors):
        loaded = job.load()
        for number, part in left:
            blocks.do_block(job, loaded, number, part)
            seen.append(number)
            yield number

    monkeypatch.setattr(blocks, "_on_ray", one_after_the_other)
    return seen
