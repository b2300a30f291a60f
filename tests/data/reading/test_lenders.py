"""Who lends surroundings is drawn as by looking through all images, without doing so."""

from __future__ import annotations

from typing import cast, get_args

import numpy as np
import pandas as pd
import torch
from hypothesis import given, settings, strategies as st

from salign.data.manifest import Manifest
from salign.data.reading.lenders import Lender, Lenders


class Rows:
    """As much of a manifest as lenders look at."""

    def __init__(self, images: list[int]) -> None:
        self.table = pd.DataFrame({"id": range(len(images)), "path": [f"n{k}.png" for k in images]})


@settings(max_examples=150, deadline=None)
@given(
    images=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.booleans()), min_size=1, max_size=14),
    among=st.sampled_from(get_args(Lender)),
    several=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_that_may_lend_is_drawn_as_if_all_had_been_looked_through(
    images: list[tuple[int, int, bool]], among: Lender, several: bool, seed: int
) -> None:
    ids = sorted(number for number, _, _ in images)
    kind_of = {number: kind for number, kind, _ in images}  # copies of an image are of one class
    kinds = np.array([kind_of[number] for number in ids])
    may = np.array([lends for _, _, lends in images])
    labels = np.array([[kind > 0, kind > 1] for kind in kinds]) if several else kinds.astype(np.int16)
    lenders = Lenders(cast(Manifest, Rows(ids)), labels, among, may)
    for i in range(len(ids)):
        fits = {"same_class": kinds == kinds[i], "other_class": kinds != kinds[i], "any": kinds >= 0}[among]
        candidates = np.flatnonzero(fits & may & (np.array(ids) != ids[i]))
        torch.manual_seed(seed)
        drawn = lenders.draw(i)
        torch.manual_seed(seed)
        expected = int(candidates[int(torch.randint(len(candidates), ()))]) if len(candidates) else None
        assert drawn == expected
