"""Find the same picture twice: pixel for pixel, or re-encoded, rescaled, brightened or slightly cropped.

Each picture is reduced to a `Fingerprint` of about half a kilobyte, so that a hundred thousand of them fit into memory.
Candidates for near duplicates are found by a 64-bit code (the signs of the lowest cosine frequencies, a "perceptual
hash") without comparing all with all, and are then confirmed by the correlation of 16 x 16 thumbnails. Each picture is
also fingerprinted without its outer 3 % on each side, so that a slightly cropped copy matches the original.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn
from torch import Tensor

from salign.maps.tensor_ops import resize

DISTANCE = 7
"""The most bits, of 64, in which the codes of a candidate pair may differ."""
SIMILARITY = 0.96
"""The lowest correlation of the thumbnails at which a candidate counts as a near duplicate."""
FLAT = 0.02
"""Standard deviation (image range 1) below which a picture is too plain to be told from other plain pictures."""

_CROP = 0.03
_LUMA = (0.299, 0.587, 0.114)
_GRID, _THUMBNAIL = 32, 16
_BANDS = 4  # DISTANCE = 7 over 4 bands of 16 bits: in at least one band, at most one bit differs
_FLIPS = (0, *(1 << bit for bit in range(16)))
_CHUNK = 1 << 18

Words = npt.NDArray[np.uint64]


class Fingerprint(NamedTuple):
    """What is kept of a picture to compare it with others."""

    digest: bytes
    """16 bytes, equal for equal pixels of equal size."""
    codes: tuple[int, int] | None
    """64-bit codes of the whole picture and of its centre; None for a picture too plain to compare."""
    thumbnails: bytes
    """Standardised 16 x 16 thumbnails (int8) of the whole picture and of its centre; empty if `codes` is None."""


class NearPair(NamedTuple):
    """Two positions whose pictures look alike without being equal."""

    first: int
    second: int
    similarity: float


def fingerprint(image: Tensor) -> Fingerprint:
    """Reduce `(3, H, W)`, uint8 or floating point in [0, 1], to a `Fingerprint`; colour counts in the digest only."""
    # 1. The digest of the pixels finds exact copies. Three equal channels count as one, which saves two thirds of the
    # work; shape and type go into the digest, too, so that equal bytes of different pictures differ.
    grey = image.stride(0) == 0 or bool((image[0] == image[1]).all() and (image[0] == image[2]).all())
    pixels = image[:1] if grey else image
    digest = hashlib.blake2b(repr((tuple(image.shape), image.dtype)).encode(), digest_size=16)
    digest.update(pixels.contiguous().numpy().data)
    # 2. Two views, the whole picture and its centre, are reduced to 32 x 32 grey values. A picture with hardly any
    # contrast would be like every other such picture, so it gets no code.
    top = 1.0 if image.is_floating_point() else 255.0
    height, width = image.shape[1:]
    rows, columns = round(height * _CROP), round(width * _CROP)
    views = (pixels, pixels[:, rows : height - rows, columns : width - columns])
    grids = [_grid(view) / top for view in views]
    if grids[0].std() < FLAT:
        return Fingerprint(digest.digest(), None, b"")
    # 3. Each view gets a code to find candidates by, and a thumbnail to confirm them by.
    codes = (_code(grids[0]), _code(grids[1]))
    return Fingerprint(digest.digest(), codes, b"".join(_thumbnail(grid) for grid in grids))


def exact_groups(fingerprints: Sequence[Fingerprint | None]) -> list[tuple[int, ...]]:
    """Return the groups of two or more positions with equal pixels, in order of their first position.

    An entry of `fingerprints` is None if the picture was not read.
    """
    groups: dict[bytes, list[int]] = {}
    for position, print_ in enumerate(fingerprints):
        if print_ is not None:
            groups.setdefault(print_.digest, []).append(position)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def near_pairs(fingerprints: Sequence[Fingerprint | None], *, limit: int = 1_000_000) -> list[NearPair]:
    """Return the pairs of pictures that look alike but are not equal, most similar first.

    By the pigeonhole principle, two codes that differ in at most `DISTANCE` = 7 bits differ in at most one bit in one
    of four bands of 16 bits. So 4 x 17 look-ups per picture find all such pairs (Norouzi, Punjani & Fleet 2012,
    multi-index hashing).

    Args:
        fingerprints: One per position; None = a picture that was not read.
        limit: Keep at most this many pairs, the most similar ones, so that a thousand video frames cannot fill the
            memory.
    """
    prints = [
        (position, print_)
        for position, print_ in enumerate(fingerprints)
        if print_ is not None and print_.codes is not None
    ]
    if len(prints) < 2:
        return []
    # 1. The fingerprints become arrays; `equal` numbers the digests, so that exact copies can be left out.
    positions = np.array([position for position, _ in prints])
    codes = np.array([print_.codes for _, print_ in prints], dtype=np.uint64)
    stacked = np.frombuffer(b"".join(print_.thumbnails for _, print_ in prints), dtype=np.int8)
    thumbnails = stacked.reshape(len(prints), 2, _THUMBNAIL**2)
    numbers: dict[bytes, int] = {}
    equal = np.array([numbers.setdefault(print_.digest, len(numbers)) for _, print_ in prints])

    # 2. Candidates come in chunks. Each is confirmed by the correlation of thumbnails, and only the `limit` most
    # similar stay, so that memory is bounded whatever the set is.
    norms = np.maximum(np.sqrt(np.square(thumbnails, dtype=np.float32).sum(-1)), 1)
    firsts, seconds, best = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    for first, second in _candidates(codes):
        other = equal[first] != equal[second]
        similarity = _similarity(thumbnails, norms, first[other], second[other])
        alike = similarity >= SIMILARITY
        firsts = np.concatenate([firsts, np.minimum(first, second)[other][alike]])
        seconds = np.concatenate([seconds, np.maximum(first, second)[other][alike]])
        best = np.concatenate([best, similarity[alike]])
        if len(best) > limit:
            most = np.argpartition(-best, limit)[:limit]
            firsts, seconds, best = firsts[most], seconds[most], best[most]
    # 3. The most similar pairs come first; equally similar pairs are in the order of their positions.
    order = np.lexsort((seconds, firsts, -best))
    pairs = zip(positions[firsts[order]], positions[seconds[order]], best[order], strict=True)
    return [NearPair(int(first), int(second), float(value)) for first, second, value in pairs]


def _candidates(codes: Words) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield pairs whose codes (whole and whole, or whole and centre) are within `DISTANCE`, in chunks, each once."""
    for view in (0, 1):
        for band in range(_BANDS):
            shift = np.uint64(16 * band)
            query, stored = (((codes[:, column] >> shift) & np.uint64(0xFFFF)).astype(np.int64) for column in (0, view))
            order = np.argsort(stored, kind="stable")
            starts = np.concatenate([[0], np.cumsum(np.bincount(stored, minlength=1 << 16))])
            for flip in _FLIPS:
                lower, upper = starts[query ^ flip], starts[(query ^ flip) + 1]
                for first, slot in _ranges(lower, upper):
                    second = order[slot]
                    differ = codes[first, 0] ^ codes[second, view]
                    keep = (np.bitwise_count(differ) <= DISTANCE) & (first != second)
                    for earlier in range(band):  # drop pairs that an earlier band has found
                        bits = (differ >> np.uint64(16 * earlier)) & np.uint64(0xFFFF)
                        keep &= np.bitwise_count(bits) > 1
                    if view == 0:
                        keep &= first < second
                    else:  # drop pairs found by their whole pictures, or with the two positions exchanged
                        keep &= np.bitwise_count(codes[first, 0] ^ codes[second, 0]) > DISTANCE
                        keep &= (first < second) | (np.bitwise_count(codes[second, 0] ^ codes[first, 1]) > DISTANCE)
                    if keep.any():
                        yield first[keep], second[keep]


def _ranges(
    lower: npt.NDArray[np.int64], upper: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Spell out `(i, lower[i] .. upper[i] - 1)` for every i, about `_CHUNK` pairs at a time."""
    ends = np.cumsum(upper - lower)
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK, side="right")))
        counts = (upper - lower)[start:stop]
        first = np.repeat(np.arange(start, stop), counts)
        within = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
        yield first, lower[first] + within
        start = stop


def _similarity(
    thumbnails: npt.NDArray[np.int8],
    norms: npt.NDArray[np.float32],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Return the correlation of pairs: whole with whole or, where that is too low, the best of all comparisons.

    The other comparisons are whole with centre, and centre with whole.
    """
    # Most candidates are settled by whole with whole. Only pairs that are not yet alike enough are compared again.
    best = np.full(len(first), -1, dtype=np.float32)
    open_ = np.arange(len(first))
    for left, right in ((0, 0), (0, 1), (1, 0)):
        for start in range(0, len(open_), 1 << 13):
            chunk = open_[start : start + (1 << 13)]
            a, b = thumbnails[first[chunk], left], thumbnails[second[chunk], right]
            dot = np.einsum("ij,ij->i", a.astype(np.float32), b.astype(np.float32))
            best[chunk] = np.maximum(best[chunk], dot / (norms[first[chunk], left] * norms[second[chunk], right]))
        open_ = np.flatnonzero(best < SIMILARITY)
    return best


def _grid(pixels: Tensor) -> npt.NDArray[np.float32]:
    """Reduce `(C, H, W)` to `(32, 32)` luma (BT.601), channel by channel, so that the floats need less memory."""
    weights = _LUMA if len(pixels) == 3 else (1.0,)
    grids = [
        weight * resize(channel.float()[None], (_GRID, _GRID))[0]
        for channel, weight in zip(pixels, weights, strict=True)
    ]
    return sum(grids[1:], start=grids[0]).numpy()


def _code(grid: npt.NDArray[np.float32]) -> int:
    """Return the signs of the 64 lowest cosine frequencies after the constant one, row by row, as 64 bits."""
    frequencies = dctn(grid, norm="ortho")[:8, :9].ravel()[1:65]
    return int.from_bytes(np.packbits(frequencies > 0).tobytes())


def _thumbnail(grid: npt.NDArray[np.float32]) -> bytes:
    """Return 16 x 16 block means as int8, with mean 0 and standard deviation 31, clipped at about 4 deviations."""
    # Standardised values make brightness and contrast irrelevant. At 31 per deviation, int8 holds up to 4 deviations.
    step = _GRID // _THUMBNAIL
    small = grid.reshape(_THUMBNAIL, step, _THUMBNAIL, step).mean((1, 3))
    deviation = max(float(small.std()), 1e-6)
    return bytes(np.clip(np.rint((small - small.mean()) / deviation * 31), -127, 127).astype(np.int8).tobytes())
