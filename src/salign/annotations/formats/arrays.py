"""Maps as NumPy arrays: a folder of `.npy`, a stack in one `.npy`, or a `.npz`; pickled arrays are refused."""

from __future__ import annotations

import io
import lzma
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from salign.annotations.annotated import Annotated
from salign.annotations.formats.fields import printable, quote, read_text
from salign.annotations.formats.notes import Notes, Reader, files_of
from salign.annotations.formats.stored import MOST_PIXELS, Names, keep
from salign.errors import SalignError
from salign.readers import open_file

MOST_BYTES = 200_000_000
"""Most bytes of one array in a `.npz`. A `.npy` may be larger, because it is read map by map."""
MOST_DIRECTORY = 16_000_000
"""Most bytes of the directory of a `.npz`, enough for some two hundred thousand arrays."""

_BROKEN = (
    OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError,
    MemoryError, RecursionError, NotImplementedError, RuntimeError, struct.error, zlib.error, lzma.LZMAError,
    tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip
"""The errors that NumPy and zipfile raise on damaged files."""

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_STACK, _IDS, _PEOPLE = "maps", "ids", "annotators"


class Layout(NamedTuple):
    """What the header of an array says."""

    shape: tuple[int, ...]
    fortran: bool
    """Whether the values are in Fortran order."""
    dtype: np.dtype
    offset: int
    """Length of the header in bytes."""


@Reader
def read_arrays(
    path: Path, notes: Notes, *, pattern: str = "{image}", ids: Path | str | None = None, scale: bool = False
) -> list[Annotated]:
    """Read maps: bool, 0 and 1, uint8 or uint16 over their full range, or floating point in [0, 1].

    Args:
        path: a folder of `.npy` with one map `(H, W)` each; a `.npy` with a stack `(N, H, W)`; or a `.npz` with one
            array per image, or with the arrays `maps` `(N, H, W)`, `ids` `(N,)` and optionally `annotators` `(N,)`.
        notes: collects the faults of single maps.
        pattern: the meaning of a path below the folder (without suffix), a name in a `.npz` or an id; see
            `stored.Names`.
        ids: a text file with one id per line, one for each map of a stack in a `.npy`.
        scale: whether to divide each map by its maximum, for densities and counts.

    Returns:
        One annotation per map. A map of zeros says "looked and marked nothing". Binary maps are kept as run lengths,
        other maps are read again when they are drawn (a stack in a `.npz` stays in memory).

    Raises:
        SalignError: the file or folder is missing, of another kind, too large, damaged, or pickled.
    """
    names = Names(pattern)
    if path.is_dir():
        maps = _of_folder(path)
    elif path.suffix.lower() == ".npz" and path.is_file():
        maps = _of_archive(path)
    elif path.suffix.lower() == ".npy" and path.is_file():
        maps = _of_stack(path, ids)
    else:
        kind = "got a file of another kind" if path.exists() else "there is none"
        raise SalignError(f"{path}: expected a folder of .npy, a .npy or a .npz; {kind}")

    def read(entry: Map) -> list[Annotated]:
        name, who, raw = entry

        def load() -> np.ndarray:
            return _as_map(raw(), scale=scale)

        marked = names.annotated(name, *keep(load(), load))
        return [marked if who is None else replace(marked, annotator=who)]

    entries = [
        (f"{entry[0][:200]}, map {k}", notes.each(entry[0][:200], [entry], read)[0]) for k, entry in enumerate(maps, 1)
    ]
    return names.once_each(entries, "map", notes)


Map = tuple[str, str | None, Callable[[], np.ndarray]]
"""The name of a map, its annotator, and a function that reads it."""


def _of_folder(folder: Path) -> Iterator[Map]:
    for file in files_of(folder, ".npy"):
        yield file.relative_to(folder).with_suffix("").as_posix(), None, partial(_mapped, file, 2)


def _of_stack(path: Path, ids: Path | str | None) -> Iterator[Map]:
    stack = _mapped(path, 3)
    if ids is None:
        raise SalignError(f"{path}: a stack of maps needs a text file with an id per line (ids)")
    names = [line.strip() for line in read_text(Path(ids)).splitlines() if line.strip()]
    if len(names) != len(stack):
        raise SalignError(f"{ids}: expected {len(stack)} ids, one per map of {path.name}, got {len(names)}")
    for number, name in enumerate(names):
        yield name, None, partial(_slice, path, number)


def _of_archive(path: Path) -> Iterator[Map]:
    with _explained(path), open_file(path, limit=None) as file:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    if not names or len(set(names)) < len(names) or any(not name.endswith(".npy") for name in names):
        raise SalignError(f"{path}: expected arrays of different names as numpy.savez writes them, got {len(names)}")
    keys = {name.removesuffix(".npy") for name in names}
    if _STACK not in keys:
        for name in names:
            yield name.removesuffix(".npy"), None, partial(_member, path, name)
        return
    if not {_STACK, _IDS} <= keys <= {_STACK, _IDS, _PEOPLE}:
        raise SalignError(f"{path}: expected the arrays {_STACK}, {_IDS} and perhaps {_PEOPLE}, got {sorted(keys)[:9]}")
    stack, ids = _member(path, f"{_STACK}.npy"), _texts(path, _IDS)
    people: Sequence[str | None] = _texts(path, _PEOPLE) if _PEOPLE in keys else [None] * len(ids)
    if stack.ndim != 3 or not len(stack) == len(ids) == len(people):
        raise SalignError(
            f"{path}: expected maps (N, H, W) and N ids, got {stack.shape} and {len(ids)} (annotators: {len(people)})"
        )
    for number, (name, who) in enumerate(zip(ids, people, strict=True)):
        yield name, who, partial(stack.__getitem__, number)


def _check_directory(file: IO[bytes]) -> None:
    """Raise a ValueError for a zip file with a large directory, before the directory is read into memory."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 42))
    tail = file.read()
    if len(tail) < 22 or tail[-22:-18] != b"PK\5\6" or tail[-2:] != b"\0\0":
        raise ValueError("it is no archive as numpy.savez writes it")
    (directory,) = struct.unpack("<L", tail[-10:-6])
    if directory > MOST_DIRECTORY or tail[:4] == b"PK\6\7":
        raise ValueError("it holds too many arrays; save them as a folder of .npy")
    file.seek(0)


def _member(path: Path, name: str) -> np.ndarray:
    """Read one array of an archive, unpacking no more bytes than its header and `MOST_BYTES` allow."""
    with _explained(path, name), zipfile.ZipFile(path) as archive:
        size = archive.getinfo(name).file_size
        if size > MOST_BYTES:
            raise ValueError(f"{size / 1e6:,.0f} MB unpacked; arrays up to {MOST_BYTES / 1e6:,.0f} MB are read")
        with archive.open(name) as member:
            layout = _layout(member, size)
            content = member.read(size - layout.offset + 1)
        if len(content) != size - layout.offset:
            raise ValueError("it is cut off")
        flat = np.frombuffer(content, layout.dtype)
        return flat.reshape(layout.shape, order="F" if layout.fortran else "C")


def _texts(path: Path, key: str) -> list[str]:
    values = _member(path, f"{key}.npy")
    names: list[str] = []
    if values.ndim == 1 and (values.dtype.kind == "i" or _is_text(values)):
        names = [str(text) for text in values.tolist()]
    if len(names) != values.size or not all(map(printable, names)):
        raise SalignError(f"{path}: expected {key} to be a list of names, got {values.dtype} {values.shape}")
    return names


def _is_text(values: np.ndarray) -> bool:
    """Return whether an array holds text of valid code points; CPython fails on invalid ones."""
    if values.dtype.kind != "U":
        return False
    numbers = np.ascontiguousarray(values).view(np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
    return bool(numbers.max() <= sys.maxunicode)


def _mapped(path: Path, dimensions: int) -> np.ndarray:
    """Open a `.npy` as a memory map, so that only the parts that are used are read."""
    with _explained(path):
        with open_file(path, limit=None) as file:
            layout = _layout(file, path.stat().st_size)
        if len(layout.shape) != dimensions:
            expected = "(H, W)" if dimensions == 2 else "(N, H, W)"
            raise ValueError(f"expected an array {expected}, got {layout.shape}")
        order = "F" if layout.fortran else "C"
        return np.memmap(path, layout.dtype, "r", layout.offset, layout.shape, order)  # type: ignore[call-overload]


def _slice(path: Path, number: int) -> np.ndarray:
    values: np.ndarray = _mapped(path, 3)[number]
    return values


def _layout(file: IO[bytes], size: int) -> Layout:
    """Read the header of an array and check its dtype, its shape, the pixels of a map and the size of the file."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it is of format {version}; expected 1.0 or 2.0")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.kind not in "biufU" or dtype.subdtype is not None or dtype.itemsize > 4 * 4096 or dtype.itemsize == 0:
        raise ValueError(f"it holds {quote(str(dtype))}; expected numbers")
    if any(not isinstance(side, int) or isinstance(side, bool) or side < 1 for side in shape) or len(shape) > 3:
        raise ValueError(f"expected a map (H, W) or a stack (N, H, W), got {quote(str(shape))}")
    pixels, count = 1, 1
    for side in shape:
        count *= side
    for side in shape[-2:]:
        pixels *= side
    if dtype.kind != "U" and pixels > MOST_PIXELS:
        raise ValueError(f"maps up to {MOST_PIXELS:,} pixels are read, got {quote(str(shape))}")
    offset = file.tell()
    if offset + count * dtype.itemsize != size:
        raise ValueError(f"its header says {quote(count * dtype.itemsize)} bytes, and there are {size - offset}")
    return Layout(tuple(shape), bool(fortran), dtype, offset)


def _as_map(values: np.ndarray, *, scale: bool) -> np.ndarray:
    """Convert the values of an array to a map `(H, W)` float32 in [0, 1]."""
    if values.ndim != 2:
        raise SalignError(f"expected a map (H, W), got {values.shape}")
    if values.dtype.kind == "U":
        raise SalignError("expected numbers, got text")
    if scale:
        top = float(values.max())
        if not (float(values.min()) >= 0 and top < np.inf):
            raise SalignError(f"expected finite values >= 0 to scale, got {values.min():g} to {top:g}")
        return np.divide(values, top or 1.0, out=np.empty(values.shape, np.float32), casting="unsafe")
    if (
        values.dtype.kind in "iu"
        and values.dtype not in (np.uint8, np.uint16)
        and values.min() >= 0
        and values.max() <= 1
    ):
        return values.astype(np.float32)
    import torch  # late, so that errors in the files found before do not wait for the import

    from salign.maps import SaliencyMap

    if values.dtype.kind == "f":  # one copy only, because maps may be large
        return SaliencyMap(torch.from_numpy(np.array(values, dtype=np.float32, order="C"))).values.numpy()
    return SaliencyMap.from_array(values.astype(values.dtype.newbyteorder("="))).values.numpy()


@contextmanager
def _explained(path: Path, member: str | None = None) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        inside = f", {quote(member)}" if member else ""
        raise SalignError(f"{path}{inside} cannot be read: {str(error)[:300]}") from error
