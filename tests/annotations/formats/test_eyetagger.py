"""EyeTagger: every shape is read as it was meant; oddities that people report are read, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from annotation_samples import SAMPLE_MASK, marked_pixels, png
from tool_files import (
    MASK,
)  # fmt: skip


def test_eyetagger(read_sample):
    found = read_sample("eyetagger")
    assert [(one.image, one.annotator) for one in found[:3]] == [("lesion", "3"), ("lesion", "4"), ("lesion", "5")]
    assert np.array_equal(marked_pixels(found, annotator="3"), SAMPLE_MASK)
    assert np.array_equal(marked_pixels(found, annotator="4"), marked_pixels(found, annotator="5"))
    (stroke,) = found[1].shapes
    assert stroke.points[0] == (10, 10)
    assert stroke.points[-1] == (20, 14)
    assert set(stroke.radii) == {10.0}
    half = stroke.points[len(stroke.points[1:]) // 2]  # a quadratic curve with its control at its beginning
    assert half == pytest.approx((10 + 5 * 0.25, 10 + 2 * 0.25))
    (svg,) = read_sample("eyetagger svg")
    assert (svg.image, svg.size) == ("lesion", (40, 60))
    assert [tuple(map(tuple, np.round(one.points, 9))) for one in svg.shapes] == [
        tuple(map(tuple, np.round(stroke.points, 9)))
    ]


def test_eyetagger_leaves_out_one_entry_and_keeps_the_others(read):
    alpha = np.zeros((40, 60, 4), np.uint8)
    alpha[MASK] = (0, 255, 0, 85)
    good = {"annotator": 3, "image": "a", "annotation": f"data:image/png;base64,{png(alpha)}"}
    opaque = {"annotator": 3, "image": "b", "annotation": f"data:image/png;base64,{png(alpha[:, :, :3])}"}
    turned = {"objects": [{"type": "path", "strokeWidth": 2, "angle": 9, "path": [["M", 1, 1], ["L", 2, 2]]}]}
    entries = [good, opaque, {"annotator": 3, "image": "c", "annotation": turned}, {"annotator": 3, "image": "d"}]
    found, faults = read("eyetagger", {"e.json": entries}, "e.json")
    assert [one.image for one in found] == ["a"]
    assert np.array_equal(found[0].mask.decode(), MASK)
    assert "[1].annotation: expected a transparent picture with strokes" in faults[0]
    assert "[2].annotation.objects[0].angle: expected 0: a path as it was drawn" in faults[1]
    mirror = {"objects": [{"type": "path", "strokeWidth": 2, "flipX": True, "path": [["M", 1, 1], ["L", 2, 2]]}]}
    found, faults = read("eyetagger", {"e.json": [good, good | {"image": "c", "annotation": mirror}]}, "e.json")
    assert "[1].annotation.objects[0].flipX: expected false: a path as it was drawn, got true" in faults[0]
