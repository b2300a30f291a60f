"""Damaged and hostile annotation files: a SalignError or a valid result, no file outside, never much memory.

`SALIGN_FUZZ=10000` sets how many mutated files each sample gives.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import resource
import sys
import time
import zlib
from pathlib import Path

import pytest

from annotation_samples import SAMPLES, put, put_images
from salign.annotations.annotated import Annotated
from salign.annotations.draw import draw_marks
from salign.annotations.formats import annotation_format
from salign.annotations.formats.notes import Notes
from salign.annotations.resolve import Naming
from salign.annotations.write import Output, write_annotated
from salign.errors import SalignError

COUNT = int(os.environ.get("SALIGN_FUZZ", "120"))
MOST_MEMORY = 500e6
MOST_SECONDS = 2
TOKENS = [
    b"-1", b"0", b"1e999", b"-1e308", b"NaN", b"Infinity", b"null", b"true", b'""', b"[]", b"{}", b"[[]]",
    b"4294967296", b"18446744073709551616", b"9" * 400, b"9000", b"1e-300", b"0.5", b"..", b"../secret.png",
    b"/etc/passwd",
    b"\\\\host\\share", b"file:///etc/passwd", b"\xf0\x9f\x98\x80", b"\\ud800", b"\x00", b"\xff", b",", b";",
    b'"', b"<", b"&#0;",
    b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", b"&b;", b"PK\x03\x04", b"(" * 500, b"[" * 5000,
]  # fmt: skip
VALUES = [
    None, True, False, -1, 0, 0.5, 1e999, 2**70, 10**400, 9000, "", "..", "../../secret.png", "/etc/passwd", "C:\\x",
    "\ud800", "\0", "a" * 5000, [], {}, [[]], [None], [1, 2], {"a": 1}, [[1, 2]] * 3, "NaN", "1e9",
    "data:image/png;base64,", "<svg/>",
]  # fmt: skip
TOKEN = re.compile(rb"-?\d+(?:\.\d+)?|[A-Za-z_]+|[^\sA-Za-z0-9_]")


def flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(content: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return rng.choice((content[:start], content[:start] + content[end:], content[:end] + content[start:]))


def swapped(content: bytes, rng: random.Random) -> bytes:
    tokens = list(TOKEN.finditer(content))
    if not tokens:
        return content
    for _ in range(rng.choice((1, 1, 2, 4))):
        token = rng.choice(tokens)
        other = rng.choice(TOKENS) if rng.random() < 0.6 else rng.choice(tokens)[0]
        content = content[: token.start()] + other + content[token.end() :]
    return content


def revalued(content: bytes, rng: random.Random) -> bytes:
    """A value of JSON replaced by a hostile one or another one of the file; text inside of text too."""
    try:
        value = json.loads(content)
    except ValueError:
        return swapped(content, rng)
    places = list(walk(value))
    seen = [holder[key] for holder, key in places]
    for _ in range(rng.choice((1, 1, 2, 3))):
        holder, key = rng.choice(places)
        if isinstance(holder, dict) and rng.random() < 0.1:
            holder.pop(key, None)
        else:
            holder[key] = copy.deepcopy(rng.choice(seen if rng.random() < 0.3 else VALUES))
    try:
        return json.dumps(value).encode()
    except ValueError:  # a number has too many digits to be written
        return content


def walk(value):
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from walk(value[key])


MUTATIONS = (flipped, cut, swapped, swapped, revalued, revalued)


class Opened:
    """Every file that is opened while this is active, by Python's own audit (a hook cannot be removed again)."""

    def __init__(self) -> None:
        self.active = False
        self.paths: list[str] = []

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.active and event in ("open", "os.listdir", "os.scandir"):
            self.paths.append(os.fspath(arguments[0]) if isinstance(arguments[0], str | os.PathLike) else "")


OPENED = Opened()
sys.addaudithook(OPENED)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_files_give_an_error_or_a_result(name: str, tmp_path: Path) -> None:
    of, make = SAMPLES[name]
    sample, reader = make(), annotation_format(of)
    images = put_images(tmp_path / "root" / "images")
    (tmp_path / "secret.png").write_bytes((images / "lesion.png").read_bytes())
    folder = tmp_path / "root" / "labels"
    path = put(sample, folder)
    reader.read(path, **sample.options)  # everything is imported before it is watched
    rng = random.Random(zlib.crc32(name.encode()))
    before, good, slowest, said = peak(), 0, 0.0, []
    OPENED.paths.clear()
    for number in range(COUNT):
        file = rng.choice(sorted(sample.files))
        mutated = rng.choice(MUTATIONS)(sample.files[file] or b" ", rng)
        (folder / file).write_bytes(mutated)
        OPENED.active = True
        try:
            started, notes = time.process_time(), Notes()
            try:
                found = reader.read(path, notes, **sample.options)
            finally:
                slowest = max(slowest, time.process_time() - started)
            good += not notes.faults
            assert all(fault.message and "Traceback" not in fault.message for fault in notes.faults)
            said += [fault.message for fault in notes.faults]
            check(found)
            if number % 20 == 0:
                bring(found, images, tmp_path / "root" / "out")
        except SalignError as error:
            said.append(str(error))
        except BaseException:
            (tmp_path / "culprit").write_bytes(mutated)
            print(f"{name}: mutation {number} of {file}: {mutated[:300]!r}")
            raise
        finally:
            OPENED.active = False
            (folder / file).write_bytes(sample.files[file])
    assert good > COUNT / 100, "hardly any file was still valid: the mutations are too coarse to test anything"
    assert good < COUNT
    assert not [one for one in said if one.startswith("None")], "what is wrong, and where"
    ours = str(tmp_path / "root")
    code = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]))
    outside = [one for one in OPENED.paths if one and not one.startswith((ours, *code))]
    assert outside == []
    assert peak() - before < MOST_MEMORY
    assert slowest < MOST_SECONDS, "of the processor's time, for one file"
    print(f"{name}: {COUNT} files, {good} without a fault, {slowest:.2f} s at most, {(peak() - before) / 1e6:.0f} MB")


def check(found: list[Annotated]) -> None:
    for one in found:
        assert one.image
        assert one.size is None or min(one.size) >= 1
        if not one.relative and (one.mask is None or one.size == (40, 60)):
            assert 0 <= draw_marks([one], (40, 60)).max() <= 1


def bring(found: list[Annotated], images: Path, out: Path) -> None:
    naming = Naming(default="unnamed")
    for leave_out in (False, True):
        try:
            brought = write_annotated(
                found, images, Output(out=out, leave_out=leave_out, overwrite=True), naming=naming
            )
        except SalignError:
            continue
        assert set(brought.manifest.table["path"]) <= {"images/lesion.png", "images/clear.png"}
