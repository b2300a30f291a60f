"""Random splits by a seed, with the same shares within every label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from salign.annotate.assign import draw


def draw_splits(rows: Sequence[Mapping[str, str | None]], shares: Mapping[str, float], seed: int) -> list[str]:
    """Draw a split for each row.

    Within each label the shares hold up to rounding by the largest remainder. Every split with a share above 0 gets an
    image if the label has enough. Which image goes where depends only on the seed and the ids.

    Args:
        rows: rows with `id` and `label`.
        shares: share of each split; they add up to 1.
        seed: seed of the draw.

    Returns:
        The name of the split of each row, in the order of the rows.
    """
    splits: dict[int, str] = {}
    by_label: dict[str | None, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_label[row["label"]].append(number)
    for numbers in by_label.values():
        numbers.sort(key=lambda number: (draw("split", seed, rows[number]["id"]), rows[number]["id"]))
        begun = 0
        for split, count in _counts(len(numbers), shares).items():
            splits.update(dict.fromkeys(numbers[begun : begun + count], split))
            begun += count
    return [splits[number] for number in range(len(rows))]


def _counts(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    counts = {split: int(total * share + 1e-9) for split, share in shares.items()}
    rest = sorted(shares, key=lambda split: counts[split] - total * shares[split])
    for split in rest[: total - sum(counts.values())]:
        counts[split] += 1
    for split, share in shares.items():
        richest = max(counts, key=lambda name: counts[name])
        if share > 0 and counts[split] == 0 and counts[richest] > 1:
            counts[split], counts[richest] = 1, counts[richest] - 1
    return counts
