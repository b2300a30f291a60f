"""Iterative stratification, which counts what is left of every label anew before each of its steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from salign.data.manifest.split import _wanted


def assigned(counts: Sequence[Counter[str]], sizes: Sequence[int], shares: Mapping[str, float], seed: int) -> list[str]:
    """The split of each group, from how often each label occurs in it and how many rows it has."""
    order = np.random.default_rng(seed).permutation(len(counts)).tolist()
    names = {label for group in counts for label in group}
    targets = {}
    for name in names:
        having = [group[name] for group in counts if group[name]]
        targets[name] = _wanted(sum(having), shares, everywhere=len(having) >= len(shares))
    room = {split: share * sum(sizes) for split, share in shares.items()}
    splits: dict[int, str] = {}
    while len(splits) < len(counts):
        free = [k for k in order if k not in splits]
        left = {name: sum(counts[k][name] for k in free) for name in names}
        label = min((name for name in names if left[name]), key=lambda name: (left[name], name))
        for k in sorted((k for k in free if counts[k][label]), key=lambda k: -counts[k][label]):
            holders = [i for i in order if counts[i][label]]
            without = [name for name in shares if name not in [splits.get(i) for i in holders]]
            last = len(holders) >= len(shares) and sum(i not in splits for i in holders) <= len(without)
            choices = without if last else shares
            splits[k] = max(choices, key=lambda name: (round(targets[label][name], 9), round(room[name], 9)))
            room[splits[k]] -= sizes[k]
            for name, count in counts[k].items():
                targets[name][splits[k]] -= count
    return [splits[k] for k in range(len(counts))]
