"""Run lengths of three tools against pixel-by-pixel references and against COCO's own library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from references.rle import coco_counts, cvat_counts, packed
from salign.annotations.formats.rle import (
    from_coco_string,
    from_cvat,
    from_label_studio,
    to_coco_counts,
    to_coco_string,
    to_cvat,
)
from salign.annotations.rle import Runs, at_size, checked_size, run_counts
from salign.data.reading.image import MAX_PIXELS
from salign.errors import SalignError

masks = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda size: arrays(bool, size))


@given(masks)
def test_coco_counts_go_down_the_columns(mask):
    runs = Runs.of(mask, columns=True)
    assert to_coco_counts(Runs.of(mask)) == runs.counts.tolist() == coco_counts(mask)
    assert np.array_equal(runs.decode(), mask)
    assert runs.pixels == mask.sum()


def test_a_mask_without_a_pixel_is_refused():
    with pytest.raises(SalignError, match=r"expected 1 to .* pixels; got 5 x 0"):
        Runs.of(np.zeros((0, 5), bool))


@given(masks)
def test_coco_strings_are_those_of_pycocotools(mask):
    oracle = pytest.importorskip("pycocotools.mask")
    theirs = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert to_coco_string(Runs.of(mask)) == theirs
    assert np.array_equal(from_coco_string(theirs, mask.shape).decode(), mask)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40))
def test_long_runs_survive_the_string(counts):
    oracle = pytest.importorskip("pycocotools.mask")
    size = (max(1, sum(counts)), 1)
    counts = counts if sum(counts) else [1]
    text = to_coco_string(Runs(size, np.array(counts), columns=True))
    assert from_coco_string(text, size).counts.tolist() == counts
    theirs = oracle.decode({"size": list(size), "counts": text.encode()}).astype(bool)
    assert np.array_equal(from_coco_string(text, size).decode(), theirs)


@given(masks.filter(lambda mask: mask.any()))
def test_cvat_runs_go_along_the_rows_of_their_box(mask):
    text, (top, left, height, width) = to_cvat(mask)
    assert [int(part) for part in text.split(",")] == cvat_counts(mask, top, left, height, width)
    assert (top, left) == (np.flatnonzero(mask.any(1))[0], np.flatnonzero(mask.any(0))[0])
    assert np.array_equal(from_cvat(text, mask.shape, (top, left, height, width)).decode(), mask)


def test_a_box_may_stick_out_of_the_image():
    runs = from_cvat("0, 6", (4, 4), (3, -1, 3, 2))
    expected = np.zeros((4, 4), dtype=bool)
    expected[3, 0] = True
    assert np.array_equal(runs.decode(), expected)
    assert not from_cvat("0,6", (4, 4), (-9, 9, 3, 2)).decode().any()


@settings(deadline=None)
@given(masks, st.sampled_from([(3, 4, 8, 16), (1, 2, 5, 16), (16, 16, 16, 16), (2, 3, 3, 9)]), st.integers(128, 255))
def test_label_studio_bits(mask, sizes, paint):
    data = bytes(packed(mask, sizes, paint))
    assert np.array_equal(from_label_studio(data, mask.shape).decode(), mask)


def test_label_studio_bits_of_another_size_or_cut_off_are_refused():
    data = bytes(packed(np.eye(9, dtype=bool)))
    with pytest.raises(SalignError, match=r"expected 320 values of 8 bits \(RGBA of 10 x 8 pixels\), got 324 of 8"):
        from_label_studio(data, (8, 10))
    with pytest.raises(SalignError, match="ends early"):
        from_label_studio(data[:-4], (9, 9))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("~", "damaged"),
        ("/", "damaged"),
        ("P", "damaged"),
        ("ooooooooo0", "up to 7 characters"),
        ("5", "add up to 5"),
    ],
)
def test_damaged_coco_strings_are_refused(text, complaint):
    with pytest.raises(SalignError, match=complaint):
        from_coco_string(text, (2, 2))


@pytest.mark.parametrize("text", ["1,,3", "1;3", "-1,5", "1.5", "", "٣", "99999999999"])
def test_damaged_cvat_lists_are_refused(text):
    with pytest.raises(SalignError):
        from_cvat(text, (2, 2), (0, 0, 2, 2))


def test_sizes_are_checked_before_anything_is_made():
    for height, width in ((0, 5), (-3, -3), (10**6, 10**6), (1, MAX_PIXELS + 1), (10**400, 1)):
        with pytest.raises(SalignError, match="expected 1 to"):
            checked_size(height, width)
    assert checked_size(1, MAX_PIXELS) == (1, MAX_PIXELS)
    assert run_counts([0, MAX_PIXELS]).tolist() == [0, MAX_PIXELS]
    for wrong in (-1, MAX_PIXELS + 1):
        with pytest.raises(SalignError, match=r"whole numbers from 0 .*; got one out of range"):
            run_counts([wrong])
    with pytest.raises(SalignError, match="whole numbers from 0"):
        run_counts([1, True])
    with pytest.raises(SalignError, match="whole numbers from 0"):
        run_counts([10**30])


@given(masks, st.integers(1, 40), st.integers(1, 40))
def test_a_resized_mask_takes_the_pixel_under_each_centre(mask, height, width):
    got = at_size(mask, (height, width))
    h, w = mask.shape
    rows = [int((i + 0.5) * (h / height)) for i in range(height)]
    columns = [int((j + 0.5) * (w / width)) for j in range(width)]
    assert np.array_equal(got, np.array([[mask[i, j] for j in columns] for i in rows]))
