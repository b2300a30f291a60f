"""Divide images among splits, each class in the same shares, and with images that belong together in the same split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from salign.class_names import names_in
from salign.data.manifest.labels import NONE, by_name
from salign.data.manifest.table import NO_SPLIT, Manifest
from salign.errors import SalignError, nearest

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
"""The share of the images that each split gets by default."""
FEW = 5
"""A class with fewer images than this in a split can be neither learned nor measured there."""
_NAMED = 5
_SHARE = re.compile(r"([^=/]+)=\s*(\d*\.?\d+)\s*", re.ASCII)


def read_shares(text: str) -> dict[str, float]:
    """Parse shares such as `0.7/0.15/0.15` or `70/15/15` (train, val and test), or `train=0.8/val=0.2`.

    Shares are read as percent if their sum is above 2. A split with a share of 0 is left out.

    Raises:
        SalignError: the text has another form, a name occurs twice, or the shares do not add up to 1.
    """
    parts = text.split("/")
    if "=" not in text and len(parts) <= len(SHARES):
        parts = [f"{name}={part}" for name, part in zip(SHARES, parts, strict=False)]
    matches = [match for part in parts if (match := _SHARE.fullmatch(part))]
    shares = {match[1].strip(): float(match[2]) for match in matches}
    if sum(shares.values()) > 2:  # percent
        shares = {name: share / 100 for name, share in shares.items()}
    if len(shares) < len(parts) or abs(sum(shares.values()) - 1) > 1e-6:
        raise SalignError(
            "expected shares that add up to 1, such as 0.7/0.15/0.15 for train, val and test, or train=0.8/val=0.2; "
            f"got {text!r}"
        )
    return {name: share for name, share in shares.items() if share}


def small_classes(manifest: Manifest, splits: Sequence[str]) -> list[str]:
    """Describe, in a line per split, the classes with fewer than `FEW` images in it and what they are too few for.

    Args:
        manifest: the rows.
        splits: names of splits. Names that no row has are skipped. A split whose name begins with `train` is one to
            learn from; the others are for measuring.
    """
    table, lines = by_name(manifest.table) if manifest.multi_label else manifest.table, []
    for split in filter(manifest.splits.__contains__, splits):
        counts = table["label"][table["split"] == split].value_counts()
        few = [(int(counts.get(label, 0)), f"of {label}") for label in manifest.classes]
        if manifest.multi_label:  # a class that every image has cannot be learned either
            images = int((manifest.table["split"] == split).sum())
            few += [(images - int(counts.get(label, 0)), f"without {label}") for label in manifest.classes]
        few = sorted((pair for pair in few if pair[0] < FEW), key=lambda pair: pair[0])
        if few:
            listed = [f"{count} {which}" for count, which in few[:_NAMED]] + ["..."] * (len(few) > _NAMED)
            use = "to learn from" if split.lower().startswith("train") else "for a figure to say anything"
            lines.append(f"split {split}: {', '.join(listed)}; too few {use} ({FEW} are the least, 50 are better)")
    return lines


def joined(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Group the positions that are joined by pairs, directly or through other pairs.

    Args:
        count: how many positions there are.
        pairs: positions that belong together.

    Returns:
        Groups of two or more positions. Each group is sorted, and the groups are in the order of their first position.
    """
    ends = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, numbers = connected_components(links, directed=False)
    groups: dict[int, list[int]] = {}
    for i in np.unique(ends).tolist():
        groups.setdefault(int(numbers[i]), []).append(i)
    return list(groups.values())


def groups_of_rows(
    manifest: Manifest, columns: Sequence[str] = (), alike: Sequence[Sequence[int]] = ()
) -> list[list[int]]:
    """Group the positions of rows that belong together; rows of the same image always do.

    Args:
        manifest: the rows.
        columns: rows with the same cell in one of these columns belong together, such as the rows of one patient; an
            empty cell joins nothing.
        alike: groups of positions that belong together for another reason, such as near-duplicates.

    Returns:
        Groups that together hold every position once.

    Raises:
        SalignError: one of the columns does not exist.
    """
    known = [str(name) for name in manifest.table.columns if name != "row"]
    if strange := [name for name in columns if name not in known]:
        hint = nearest(strange[0], known) or f"; there are {', '.join(known)}"
        raise SalignError(f"{manifest.source}: no column {strange[0]!r} to keep rows together by{hint}")
    together = [
        list(group)
        for column in ("path", *columns)
        for group in manifest.table.groupby(column, sort=False).indices.values()
    ]
    pairs = [(group[0], other) for group in [*together, *alike] for other in group[1:]]
    groups = joined(len(manifest), pairs)
    alone = sorted(set(range(len(manifest))).difference(*groups))
    return [*groups, *([i] for i in alone)]


def divide(
    manifest: Manifest,
    groups: Sequence[Sequence[int]],
    shares: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    move: Sequence[str] = (),
) -> Manifest:
    """Give a split to every row that has none.

    This is iterative stratification (Sechidis, Tsoumakas & Vlahavas, ECML 2011, algorithm 1), with groups instead of
    images. The label with the fewest rows left is dealt out first. Its groups come in the order of how many rows of the
    label they have, the largest first; equal groups are in an order drawn with the seed. Each group goes to the split
    that still wants most rows of that label or, if splits are equal in this, most rows overall. If a label has at least
    as many groups as there are splits, every split wants at least one row of it, and its last groups go to the splits
    that have none of it yet. If some rows of a group have a split already, the other rows of the group get the most
    frequent of these splits.

    Args:
        manifest: rows without a split have `NO_SPLIT`, as `Manifest.read(..., unsplit=True)` gives them.
        groups: positions that stay together; see `groups_of_rows`.
        shares: the share of the rows for each split; they add up to 1. None = `SHARES`.
        seed: decides the order of equal groups.
        move: the rows of these splits are divided again, too.

    Raises:
        SalignError: no row has one of the splits in `move`, or every row has a split already.
    """
    shares = dict(shares or SHARES)
    splits = manifest.table["split"].tolist()
    if unknown := sorted(set(move) - set(splits)):
        raise SalignError(f"{manifest.source}: no row has split {', '.join(unknown)}; there are {_listed(splits)}")
    splits = [NO_SPLIT if split in move else split for split in splits]
    if NO_SPLIT not in splits:
        raise SalignError(
            f"{manifest.source}: every row has a split already ({_listed(splits)}), and none is moved unasked. Rows "
            "that may move are named by --move SPLIT, e.g. --move train"
        )
    cells = manifest.table["label"].tolist()
    labels = [names_in(cell) or [NONE] for cell in cells] if manifest.multi_label else [[cell] for cell in cells]
    free: list[list[int]] = []
    for group in groups:
        known = Counter(splits[i] for i in group if splits[i] != NO_SPLIT)
        if known:
            for i in group:
                splits[i] = known.most_common(1)[0][0] if splits[i] == NO_SPLIT else splits[i]
        else:
            free.append(list(group))
    counts = [Counter(label for i in group for label in labels[i]) for group in free]
    for k, split in enumerate(_assigned(counts, [len(group) for group in free], shares, seed)):
        for i in free[k]:
            splits[i] = split
    return manifest.with_splits(splits)


def _assigned(
    counts: Sequence[Counter[str]], sizes: Sequence[int], shares: Mapping[str, float], seed: int
) -> list[str]:
    """Choose the split of each group, given how often each label occurs in the group and how many rows it has."""
    holders: dict[str, list[int]] = {}
    for k in np.random.default_rng(seed).permutation(len(counts)).tolist():
        for label in counts[k]:
            holders.setdefault(label, []).append(k)
    targets = {
        label: _wanted(sum(counts[k][label] for k in having), shares, everywhere=len(having) >= len(shares))
        for label, having in holders.items()
    }
    room = {split: share * sum(sizes) for split, share in shares.items()}
    assigned: dict[int, str] = {}
    left = {label: sum(counts[k][label] for k in having) for label, having in holders.items()}
    rarest = [(count, label) for label, count in left.items()]
    heapify(rarest)
    while rarest:
        count, label = heappop(rarest)
        if count != left[label]:  # an outdated entry: groups of this label were assigned later, which added a new entry
            continue
        splits_with = {assigned[k] for k in holders[label] if k in assigned}
        without = [name for name in shares if name not in splits_with and len(holders[label]) >= len(shares)]
        open_groups = sorted((k for k in holders[label] if k not in assigned), key=lambda k: -counts[k][label])
        for position, k in enumerate(open_groups):
            choices = without if len(open_groups) - position <= len(without) else shares
            split = max(choices, key=lambda name: (round(targets[label][name], 9), round(room[name], 9)))
            without = [name for name in without if name != split]
            assigned[k] = split
            room[split] -= sizes[k]
            for name, number in counts[k].items():
                targets[name][split] -= number
                left[name] -= number
                if left[name]:
                    heappush(rarest, (left[name], name))
    return [assigned[k] for k in range(len(counts))]


def _wanted(rows: int, shares: Mapping[str, float], *, everywhere: bool) -> dict[str, float]:
    """Return how many rows of a label each split wants; if `everywhere` is set, each split wants at least one."""
    counts = {split: share * rows for split, share in shares.items()}
    few = [split for split, number in counts.items() if everywhere and number < 1]
    rest = sum(number for split, number in counts.items() if split not in few)
    return {
        split: 1.0 if split in few else number * (rows - len(few)) / rest if rest else number
        for split, number in counts.items()
    }


def _listed(splits: Sequence[str]) -> str:
    return ", ".join(f"{split} {count}" for split, count in Counter(splits).items())
