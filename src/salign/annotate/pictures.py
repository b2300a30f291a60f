"""Images and maps encoded for the page: upright, of eight bits, no larger than needed, and kept in a cache."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from salign.data.reading.image import image_size, read_image, read_saliency
from salign.errors import SalignError
from salign.readers import read_bytes

LADDER = (256, 512, 1024, 2048, 4096)
"""Widths, in pixels, of the versions that are made of an image. The page asks for any width, which is rounded up to the
next of these, so that few versions are kept."""

_LOSSLESS = 2**16
"""Images of at most this many pixels are sent as PNG, without loss, since people look at small images enlarged."""

_QUALITY = 92


class Encoded(NamedTuple):
    """An encoded picture, ready to be sent."""

    content: bytes
    media_type: str
    tag: str
    """Identifies file and version: it changes whenever the file or the requested version changes."""


def rung(least: int, width: int) -> int:
    """Return the width to send, in pixels, of an image that is `width` wide when at least `least` are needed.

    This is the smallest width of `LADDER` that is at least `least`, or its largest one, but never more than `width`.
    """
    return min(next((step for step in LADDER if step >= least), LADDER[-1]), width)


def encode_image(path: Path, width: int, window: tuple[float, float] | None) -> tuple[bytes, str]:
    """Read, window, shrink and compress an image.

    Args:
        path: the file.
        width: width of the result in pixels, at most that of the image.
        window: the values, in 0..1 of the full range, that are shown as black and as white; None = (0, 1).

    Returns:
        The encoded bytes and their media type: JPEG, or PNG for small images. No metadata of the source is kept.
    """
    height, full = image_size(path)
    size = (width, max(1, round(height * width / full)))
    values = read_image(path, at_least=(size[1], size[0]))
    values = values[0] if values.stride(0) == 0 else values.permute(1, 2, 0).contiguous()
    low, high = window if window is not None else (0.0, 1.0)
    deep = values.is_floating_point()
    if not deep and window is None:
        picture = Image.fromarray(values.numpy())
    else:
        scaled = values if deep else values.float() / 255
        scaled = (scaled - low) / max(high - low, 1e-6)
        picture = Image.fromarray((scaled.clamp(0, 1) * 255).round().byte().numpy())
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    if size[0] * size[1] <= _LOSSLESS:
        picture.save(buffer, "PNG")
        return buffer.getvalue(), "image/png"
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue(), "image/jpeg"


def encode_map(path: Path, width: int) -> tuple[bytes, str]:
    """Read a heat map, shrink it to at most `width` pixels, and return it as a grey PNG, with its media type."""
    values = (read_saliency(path).numpy() * 255).round().astype(np.uint8)
    picture = Image.fromarray(values)
    width = min(width, picture.width)
    size = (width, max(1, round(picture.height * width / picture.width)))
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue(), "image/png"


def default_window(path: Path) -> tuple[float, float] | None:
    """Return the values to start window and level with: the 0.5th and 99.5th percentile; None for an 8-bit image."""
    values = read_image(path)
    if not values.is_floating_point():
        return None
    low, high = np.quantile(values[0].numpy()[::4, ::4], [0.005, 0.995])
    return (float(low), float(high)) if high > low else (0.0, 1.0)


class PictureCache:
    """A cache of encoded pictures in memory and on disk, which drops the least recently used ones first."""

    def __init__(self, folder: Path, *, memory: int = 64 * 2**20, disk: int = 2 * 2**30) -> None:
        """Keep pictures in `folder`, which nothing else uses; `memory` and `disk` are limits in bytes."""
        self._folder, self._memory, self._disk = folder, memory, disk
        self._held: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making = [threading.Lock() for _ in range(256)]  # by first byte of the tag: nothing is made twice
        self._decoding = threading.Semaphore(2)  # a large image takes hundreds of megabytes while it is read
        folder.mkdir(parents=True, exist_ok=True)
        self._written = sum(size for _, size, _ in self._kept())

    def image(self, path: Path, least: int, window: tuple[float, float] | None = None) -> Encoded:
        """Return an image as wide as `rung` says for `least` pixels; see `encode_image`."""
        if window is not None:
            window = (round(window[0], 4), round(window[1], 4))
        width = rung(least, image_size(path)[1])
        return self._get(path, f"{width} {window}", lambda: encode_image(path, width, window))

    def map(self, path: Path, least: int) -> Encoded:
        """Return a heat map, at most as wide as `rung` says for `least` pixels."""
        width = rung(least, LADDER[-1])
        return self._get(path, f"map {width}", lambda: encode_map(path, width))

    def _get(self, path: Path, version: str, make: Callable[[], tuple[bytes, str]]) -> Encoded:
        state = path.stat()
        named = f"{path}\0{state.st_mtime_ns}\0{state.st_size}\0{version}\0{_QUALITY}"
        tag = hashlib.blake2b(named.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        picture = self._find(tag)
        if picture is None:
            with self._making[int(tag[:2], 16)]:
                picture = self._find(tag)  # another thread may have made it meanwhile
                if picture is None:
                    with self._decoding:
                        picture = make()
                    self._keep(tag, *picture)
        return Encoded(*picture, tag)

    def _find(self, tag: str) -> tuple[bytes, str] | None:
        with self._lock:
            if tag in self._held:
                self._held.move_to_end(tag)
                return self._held[tag]
        for media_type in ("image/jpeg", "image/png"):
            path = self._file(tag, media_type)
            try:
                content = read_bytes(path)
                os.utime(path)
            except (OSError, SalignError):
                continue
            self._hold(tag, content, media_type)
            return content, media_type
        return None

    def _keep(self, tag: str, content: bytes, media_type: str) -> None:
        self._hold(tag, content, media_type)
        path = self._file(tag, media_type)
        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except OSError:  # for example a full disk: the picture is sent all the same
            partial.unlink(missing_ok=True)
            return
        with self._lock:
            self._written += len(content)
            if self._written > self._disk:
                self._sweep()

    def _hold(self, tag: str, content: bytes, media_type: str) -> None:
        with self._lock:
            if tag in self._held or len(content) > self._memory:
                return
            self._held[tag] = content, media_type
            self._bytes += len(content)
            while self._bytes > self._memory:
                _, (dropped, _) = self._held.popitem(last=False)
                self._bytes -= len(dropped)

    def _sweep(self) -> None:
        """Delete the least recently used files until a fifth of the space is free."""
        states = sorted(self._kept())
        self._written = sum(size for _, size, _ in states)
        for _, size, path in states:
            if self._written <= self._disk * 0.8:
                break
            path.unlink(missing_ok=True)
            self._written -= size

    def _kept(self) -> Iterator[tuple[float, int, Path]]:
        """Yield time of last use, size in bytes and path of each finished file.

        Files that another process deletes meanwhile are left out.
        """
        for path in self._folder.iterdir():
            if path.suffix in (".jpeg", ".png"):  # a file that is still being written has another suffix
                with contextlib.suppress(OSError):
                    state = path.stat()
                    yield state.st_mtime, state.st_size, path

    def _file(self, tag: str, media_type: str) -> Path:
        return self._folder / f"{tag}.{media_type.removeprefix('image/')}"
