"""Splits that a seed draws: how many of each label go where, by hand."""

from __future__ import annotations

from collections import Counter

from salign.annotate.splits import draw_splits

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def rows(**labels: int) -> list[dict[str, str]]:
    return [{"id": f"{label}{k}", "label": label} for label, count in labels.items() for k in range(count)]


def counts(images: list[dict[str, str]], shares: dict[str, float], seed: int = 0) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for row, split in zip(images, draw_splits(images, shares, seed), strict=True):
        found.setdefault(row["label"], Counter())[split] += 1
    return {label: dict(number) for label, number in found.items()}


def test_shares_hold_within_each_label_up_to_the_largest_remainder() -> None:
    """Of 13: 9.1, 1.3 and 2.6, and the one that is left goes to .6; of 10 nothing is left."""
    assert counts(rows(a=10, b=13), SHARES) == {
        "a": {"train": 7, "val": 1, "test": 2},
        "b": {"train": 9, "val": 1, "test": 3},
    }


def test_every_split_with_a_share_gets_an_image_where_there_are_enough() -> None:
    """Of 4 the remainders would leave nothing for val: train has most and gives one."""
    assert counts(rows(a=3, b=4), SHARES | {"none": 0.0}) == {
        "a": {"train": 1, "val": 1, "test": 1},
        "b": {"train": 2, "val": 1, "test": 1},
    }


def test_seed_and_id_decide_and_the_order_of_rows_does_not() -> None:
    images = rows(a=20, b=20)
    drawn = dict(zip((row["id"] for row in images), draw_splits(images, SHARES, 3), strict=True))
    backwards = images[::-1]
    assert dict(zip((row["id"] for row in backwards), draw_splits(backwards, SHARES, 3), strict=True)) == drawn
    assert draw_splits(images, SHARES, 4) != draw_splits(images, SHARES, 3)
