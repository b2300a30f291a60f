"""All with all, one pair at a time: what `near_pairs` must find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from salign.data.checks.duplicates import Fingerprint


def near_pairs(fingerprints: Sequence[Fingerprint]) -> set[tuple[int, int]]:
    found = set()
    for i, one in enumerate(fingerprints):
        for j in range(i):
            other = fingerprints[j]
            if one.codes is None or other.codes is None or one.digest == other.digest:
                continue
            crossings = [(one.codes[0], other.codes[0]), (one.codes[0], other.codes[1]), (one.codes[1], other.codes[0])]
            close = min((a ^ b).bit_count() for a, b in crossings) <= 7
            a, b = (np.frombuffer(f.thumbnails, dtype=np.int8).reshape(2, -1).astype(float) for f in (one, other))
            best = max(
                np.dot(a[u], b[v]) / np.linalg.norm(a[u]) / np.linalg.norm(b[v]) for u, v in ((0, 0), (0, 1), (1, 0))
            )
            if close and best >= 0.96:
                found.add((j, i))
    return found
