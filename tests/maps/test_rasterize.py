from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from references.rasterize import reference_fixation_map, reference_rasterize
from salign.errors import SalignError
from salign.maps import polygon as polygon_module, rasterize as rasterize_module, stroke as stroke_module
from salign.maps.rasterize import covers, fixation_map, rasterize
from salign.maps.scan import rows_of
from salign.maps.shapes import Box, Fixation, Polygon, Shape, Stroke

SIZE = (13, 17)
quarter = st.integers(-24, 96).map(lambda n: n / 4)
third = st.integers(-600, 2400).map(lambda n: n / 99)
coordinate = quarter | third
point = st.tuples(coordinate, coordinate)
disc = st.tuples(point, st.integers(0, 24).map(lambda n: n / 4))


def box(a: tuple[float, float], b: tuple[float, float], erase: bool) -> Box:
    return Box(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]), erase)


def stroke(discs: list[tuple[tuple[float, float], float]], erase: bool) -> Stroke:
    return Stroke(tuple(p for p, _ in discs), tuple(r for _, r in discs), erase)


polygons = st.builds(Polygon, st.lists(point, min_size=3, max_size=8).map(tuple), st.booleans())
boxes = st.builds(box, point, point, st.booleans())
strokes = st.builds(stroke, st.lists(disc, min_size=1, max_size=5), st.booleans())
drawings = st.lists(polygons | boxes | strokes, max_size=4)


@given(drawings)
@settings(max_examples=60, deadline=None)
def test_every_pixel_is_as_in_exact_arithmetic(shapes: list[Shape]):
    np.testing.assert_array_equal(rasterize(shapes, SIZE), reference_rasterize(shapes, SIZE))


@given(drawings, st.sampled_from([1, 40, 10_000]))
@settings(max_examples=60, deadline=None)
def test_the_way_for_many_points_and_large_images_leaves_every_pixel_as_it_is(shapes: list[Shape], pixels: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polygon_module, "MANY", 0)
        patch.setattr(stroke_module, "MANY", 0)
        patch.setattr(stroke_module, "_BLOCK", 2)
        patch.setattr(stroke_module, "_STRIDES", (3, 2, 1))
        patch.setattr(rasterize_module, "_PIXELS_AT_ONCE", pixels)
        np.testing.assert_array_equal(rasterize(shapes, SIZE), reference_rasterize(shapes, SIZE))


def test_strides_leave_no_part_out():
    """Each part stands apart from all others: one that is not drawn would be missed."""
    points = [(x + 0.5, y + 0.5) for y in range(1, 60, 4) for x in range(1, 60, 4)]
    there_and_back = tuple(point for pair in zip(points, points, strict=True) for point in pair)
    radii = (0.0,) * len(there_and_back)
    expected = rasterize([Stroke(there_and_back, radii)], (64, 64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stroke_module, "MANY", 0)
        found = rasterize([Stroke(there_and_back, radii)], (64, 64))
    assert [bool(found[int(y), int(x)]) for x, y in points] == [True] * len(points)
    np.testing.assert_array_equal(found, expected)


def to_and_fro(count: int, side: int) -> tuple[tuple[float, float], ...]:
    return tuple(zip(np.linspace(0, side, count).tolist(), [0.0, float(side)] * (count // 2), strict=True))


def test_a_polygon_to_and_fro_is_as_counted_in_a_row():
    """100,000 edges of 1,000 rows each: the columns of a row are told by how many edges cross it left of them."""
    points = np.array(to_and_fro(100_000, 1000))
    found = rasterize([Polygon(tuple(map(tuple, points.tolist())))], (1000, 1000))
    ends = np.roll(points, -1, 0)
    for row in (0, 333, 999):
        share = (row + 0.5 - points[:, 1]) / (ends[:, 1] - points[:, 1])
        crossed = np.sort(points[:, 0] + share * (ends[:, 0] - points[:, 0]))
        centres = np.arange(1000) + 0.5
        before, after = (np.searchsorted(crossed, centres + step) for step in (-1e-6, 1e-6))
        expected, sure = after % 2 == 1, before == after
        np.testing.assert_array_equal(found[row][sure], expected[sure])
        assert sure.sum() > 900


@pytest.mark.parametrize("many", [0, 1 << 20], ids=["along columns", "along rows"])
def test_a_centre_that_an_edge_all_but_meets_is_told_by_products(many, monkeypatch):
    """Edges through centres, up to the last bits of their ends: a quotient may be rounded past the centre."""
    monkeypatch.setattr(polygon_module, "MANY", many)
    random = np.random.default_rng(11)
    y, x = np.mgrid[:13, :17] + 0.5
    for _ in range(400):
        centres = random.integers(1, 12, (3, 2)) + 0.5
        away = random.uniform(-5, 5, (3, 2))
        before, after = (centres + side * away * random.uniform(0.1, 1, (3, 1)) for side in (-1, 1))
        points = [tuple(point) for pair in zip(before.tolist(), after.tolist(), strict=True) for point in pair]
        crossings = np.zeros(SIZE, dtype=int)
        for one, other in zip(points, points[1:] + points[:1], strict=True):
            (x0, y0), (x1, y1) = (one, other) if one[1] <= other[1] else (other, one)
            crossings += (y0 <= y) & (y < y1) & ((x - x0) * (y1 - y0) >= (y - y0) * (x1 - x0))
        np.testing.assert_array_equal(rasterize([Polygon(tuple(points))], SIZE), crossings % 2 == 1)


@pytest.mark.parametrize("kind", ["polygon", "stroke", "scribble"])
def test_many_points_take_few_steps_and_little_memory(kind, monkeypatch):
    """Row by row, to and fro would be a hundred million steps."""
    steps = []

    def counted(*arguments):
        for index, row in rows_of(*arguments):
            steps.append(len(index))
            yield index, row

    monkeypatch.setattr(polygon_module, "rows_of", counted)
    monkeypatch.setattr(stroke_module, "rows_of", counted)
    points = to_and_fro(100_000, 1000)
    if kind == "scribble":
        points = tuple(map(tuple, np.random.default_rng(0).uniform(0, 1000, (100_000, 2)).tolist()))
    shape = Polygon(points) if kind == "polygon" else Stroke(points, (2.0,) * len(points))
    tracemalloc.start()
    found = rasterize([shape], (1000, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6, f"{peak / 1e6:.0f} MB"
    assert sum(steps) < 10e6
    assert found.all() == (kind == "stroke")


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        (Box(1, 1, 3, 2), ["....", ".##.", "...."]),
        (Box(0.5, 0.5, 1.5, 1.5), ["#...", "....", "...."]),  # holds its left and top edge only
        (Polygon(((0, 0), (4, 0), (0, 3))), ["###.", "##..", "#..."]),
        (Stroke(((0.5, 1.5), (3.5, 1.5)), (0, 0)), ["....", "####", "...."]),
        (Stroke(((1.5, 1.5),), (1,)), [".#..", "###.", ".#.."]),  # a disc holds its boundary
    ],
)
def test_small_shapes_by_hand(shape, rows):
    found = ["".join("#" if inside else "." for inside in row) for row in rasterize([shape], (3, 4))]
    assert found == rows


def test_a_slanted_stroke_holds_the_centres_on_its_boundary():
    """Its axis goes 6 across and 8 down: a centre 4 across and 3 up from it lies 5 away, which is the radius."""
    points = ((0.5, 0.5), (6.5, 8.5))
    found = rasterize([Stroke(points, (5, 5))], (9, 12))
    np.testing.assert_array_equal(found, reference_rasterize([Stroke(points, (5, 5))], (9, 12)))
    lost = found & ~rasterize([Stroke(points, (4.999, 4.999))], (9, 12))
    assert np.argwhere(lost).tolist() == [[1, 7], [5, 10], [8, 11]]
    tapered = [Stroke(points, (5, 0)), Stroke(points, (1, 6)), Stroke(points[::-1], (4, 2))]
    for one in tapered:
        np.testing.assert_array_equal(rasterize([one], (9, 12)), reference_rasterize([one], (9, 12)))


@given(drawings, st.integers(-5, 5), st.integers(-5, 5))
@settings(max_examples=50, deadline=None)
def test_moving_the_shapes_moves_the_picture(shapes, right, down):
    """Quarters only: adding whole numbers to them rounds nothing."""
    shapes = [shape for shape in shapes if all(4 * n == int(4 * n) for n in numbers(shape))]
    near = rasterize([move(shape, 20, 20) for shape in shapes], (53, 57))
    far = rasterize([move(shape, 20 + right, 20 + down) for shape in shapes], (53, 57))
    np.testing.assert_array_equal(far[8:-8, 8:-8], near[8 - down : 45 - down, 8 - right : 49 - right])


@given(drawings, polygons | boxes | strokes)
@settings(max_examples=50, deadline=None)
def test_what_is_erased_last_is_gone_and_nothing_else(shapes, last):
    before, area = rasterize(shapes, SIZE), rasterize([as_erase(last, False)], SIZE)
    np.testing.assert_array_equal(rasterize([*shapes, as_erase(last, True)], SIZE), before & ~area)
    np.testing.assert_array_equal(rasterize([*shapes, as_erase(last, False)], SIZE), before | area)


@given(drawings)
@settings(max_examples=50, deadline=None)
def test_what_lies_outside_changes_nothing_inside(shapes):
    np.testing.assert_array_equal(rasterize(shapes, (40, 40))[:13, :17], rasterize(shapes, SIZE))


def test_backwards_nothing_is_rounded_otherwise():
    """A pixel centre as far from the stroke as it is wide, to the last bit of a float."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        points = tuple((float(x), float(y)) for x, y in rng.integers(0, 60, (3, 2)) / rng.integers(3, 99, (3, 1)))
        radii = tuple((rng.integers(0, 12, 3) / 4).tolist())
        backwards = Stroke(points[::-1], radii[::-1])
        np.testing.assert_array_equal(rasterize([backwards], SIZE), rasterize([Stroke(points, radii)], SIZE))


@given(st.lists(point, min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_a_stroke_may_be_drawn_backwards_and_in_parts(points, random):
    radii = tuple(random.randrange(12) / 4 for _ in points)
    whole = rasterize([Stroke(tuple(points), radii)], SIZE)
    np.testing.assert_array_equal(rasterize([Stroke(tuple(points[::-1]), radii[::-1])], SIZE), whole)
    parts = [Stroke(tuple(points[i : i + 2]), radii[i : i + 2]) for i in range(max(1, len(points) - 1))]
    np.testing.assert_array_equal(rasterize(parts, SIZE), whole)


def test_shapes_that_share_an_edge_share_no_pixel_and_leave_no_gap():
    left, right = Polygon(((0, 0), (7, 0), (3, 9), (0, 9))), Polygon(((7, 0), (12, 0), (12, 9), (3, 9)))
    one, other = rasterize([left], (9, 12)), rasterize([right], (9, 12))
    assert not (one & other).any()
    assert (one | other).all()


@pytest.mark.parametrize("far", [1e6, 1e12, 1e15])
def test_far_coordinates_are_clipped(far):
    assert rasterize([Box(-far, -far, far, far)], (30, 40)).all()
    assert rasterize([Polygon(((-far, -far), (far, -far), (0, far)))], (30, 40)).all()
    assert rasterize([Stroke(((-far, 0), (far, 0)), (50, 50))], (30, 40)).all()
    assert rasterize([Stroke(((0, 0),), (far,))], (30, 40)).all()
    assert not rasterize([Stroke(((far, far),), (1,)), Box(far, 0, far, 9)], (30, 40)).any()


@pytest.mark.parametrize("radius", [None, 3.0, 300.0])
def test_many_points_need_no_memory_for_each(radius):
    random = np.random.default_rng(0)
    points = tuple(map(tuple, random.uniform(-100, 1100, (100_000 if radius is None else 10_000, 2)).tolist()))
    shape = Polygon(points[:10_000]) if radius is None else Stroke(points, (radius,) * len(points))
    tracemalloc.start()
    rasterize([shape], (1000, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6, f"{peak / 1e6:.0f} MB"


def test_a_band_of_the_image_has_as_many_rows_as_its_pixels_allow(monkeypatch):
    monkeypatch.setattr(rasterize_module, "_PIXELS_AT_ONCE", 12)
    drawn = []
    monkeypatch.setattr(rasterize_module, "_inside", lambda shape, window: drawn.append(window) or False)
    rasterize([Box(10, 2, 14, 9)], SIZE)
    assert drawn == [(1, 9, 3, 15), (3, 9, 5, 15), (5, 9, 7, 15), (7, 9, 9, 15), (9, 9, 10, 15)]


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (-1, 2)])
def test_a_size_without_pixels_is_refused(size):
    with pytest.raises(SalignError, match="at least 1 x 1"):
        rasterize([], size)
    with pytest.raises(SalignError, match="at least 1 x 1"):
        fixation_map([], size, 1)


@given(polygons | boxes | strokes)
@settings(max_examples=60, deadline=None)
def test_a_shape_covers_a_pixel_or_none(shape: Shape):
    assert covers(shape, SIZE) == reference_rasterize([as_erase(shape, False)], SIZE).any()


def test_a_fixation_has_no_area():
    with pytest.raises(SalignError, match="fixation_map"):
        rasterize([Fixation(1, 1, 100)], (4, 4))
    with pytest.raises(SalignError, match="got a box; use rasterize"):
        fixation_map([Box(0, 0, 1, 1)], (4, 4), 1)  # type: ignore[list-item]


def test_fixation_maps_are_as_pixel_by_pixel():
    random = np.random.default_rng(1)
    fixations = [
        Fixation(
            random.uniform(-3, 20),
            random.uniform(-3, 16),
            random.uniform(0, 500),
            spread=tuple(random.uniform(1, 4, 2)) if i % 2 else None,
            shown=(2, 3, 9.5, 11) if i % 3 else None,
        )
        for i in range(30)
    ]
    found = fixation_map(fixations, SIZE, 2.5)
    np.testing.assert_allclose(found, reference_fixation_map(fixations, SIZE, 2.5), atol=1e-6)
    assert found.dtype == np.float32
    assert found.max() == 1


def test_a_fixation_without_spread_needs_sigma():
    assert fixation_map([Fixation(3, 3, 1, spread=(1, 1))], SIZE).max() == 1
    with pytest.raises(SalignError, match="expected sigma in px"):
        fixation_map([Fixation(3, 3, 1)], SIZE)


def test_many_fixations_are_summed_in_parts():
    fixations = [Fixation(5, 5, 1)] * 1500 + [Fixation(12, 9, 1)] * 1000
    weighted = [Fixation(5, 5, 1500), Fixation(12, 9, 1000)]
    np.testing.assert_allclose(fixation_map(fixations, SIZE, 2), fixation_map(weighted, SIZE, 2), atol=1e-6)


@pytest.mark.parametrize("fixations", [[], [Fixation(3, 3, 0)], [Fixation(-1, 3, 100), Fixation(17, 3, 100)]])
def test_nothing_looked_at_is_a_blank_map(fixations):
    assert not fixation_map(fixations, SIZE, 2).any()


@pytest.mark.parametrize("sigma", [0, -1, float("nan"), float("inf")])
def test_sigma_is_positive(sigma):
    with pytest.raises(SalignError, match="sigma > 0"):
        fixation_map([], SIZE, sigma)


def numbers(shape: Shape) -> list[float]:
    if isinstance(shape, Box):
        return [shape.x0, shape.y0, shape.x1, shape.y1]
    return [number for point in shape.points for number in point]  # type: ignore[union-attr]


def move(shape: Shape, right: float, down: float) -> Shape:
    if isinstance(shape, Box):
        return Box(shape.x0 + right, shape.y0 + down, shape.x1 + right, shape.y1 + down, shape.erase)
    points = tuple((x + right, y + down) for x, y in shape.points)  # type: ignore[union-attr]
    return Polygon(points, shape.erase) if isinstance(shape, Polygon) else Stroke(points, shape.radii, shape.erase)  # type: ignore[union-attr]


def as_erase(shape: Shape, erase: bool) -> Shape:
    return replace(shape, erase=erase)
