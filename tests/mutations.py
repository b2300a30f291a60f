"""Damaged files for readers: each must read as something valid or end in a SalignError, within bounded memory."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from salign.errors import SalignError

COUNT = int(os.environ.get("SALIGN_FUZZ", "200"))
"""Damaged files per reader; `SALIGN_FUZZ=10000` for a long run."""
MOST_MEMORY = 500 * 2**20

TOKENS = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b",", b"\n", b"\r", b"nan", b"inf", b"-1", b"0", b"1e400",
    b"9" * 400, b"4294967295", b"99999999999", b"../../etc/passwd", b"PK\x03\x04", b"\x80\x04", b"()", b"True",
    b"object", b"'O'", b"{",
)  # fmt: skip


def mutated(contents: list[bytes], count: int = COUNT, seed: int = 0) -> Iterator[bytes]:
    """Files made out of good ones: bytes changed, parts cut, doubled, moved, exchanged or replaced, ends cut off."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        content = bytearray(contents[random.integers(len(contents))])
        for _ in range(random.integers(1, 5)):
            start = int(random.integers(len(content) + 1))
            stop = min(len(content), start + int(random.geometric(0.1)))
            part = bytes(content[start:stop])
            match random.integers(7):
                case 0:
                    content[start:stop] = bytes(random.integers(0, 256, stop - start, dtype=np.uint8))
                case 1:
                    del content[start:stop]
                case 2:
                    content[start:start] = part * int(random.integers(1, 20))
                case 3:
                    content[start:stop] = TOKENS[random.integers(len(TOKENS))]
                case 4:
                    del content[start:]
                case 5:
                    place = int(random.integers(len(content) + 1))
                    content[place : place + len(part)] = part
                case 6 if stop > start:
                    content[start] ^= 1 << int(random.integers(8))
        yield bytes(content)


def survive(path: Path, contents: list[bytes], read: Callable[[Path], list], check: Callable[[list], None]) -> int:
    """Read damaged files written to `path`; how many were still valid. `pytest -s` shows the slowest, in CPU time."""
    before, valid, slowest = _peak(), 0, 0.0
    for number, content in enumerate(mutated(contents)):
        path.write_bytes(content)
        started = time.process_time()
        try:
            found = read(path)
        except SalignError:
            continue
        except BaseException as error:
            error.add_note(f"damaged file number {number}: {content[:500]!r}")
            raise
        finally:
            slowest = max(slowest, time.process_time() - started)
        check(found)
        valid += 1
    grown = _peak() - before
    print(f"{path.name}: {COUNT:,} files, {valid:,} valid, slowest {slowest:.2f} s, {grown / 1e6:.0f} MB more")
    assert grown < MOST_MEMORY
    return valid


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
