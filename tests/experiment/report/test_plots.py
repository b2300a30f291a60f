from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from salign.experiment.report.plots import Cloud, Interval, Line, curves, forest, looks, scatter

ARMS = ["ce", "cyborg", "shuffled", 'a <b> & "c"']
STYLES = looks(ARMS)


def a_forest(name="one", high=40.9):
    lines = [Interval("cyborg", 22.4, 4.0, high), Interval("shuffled", -2.0, -10.0, 6.0)]
    return forest([*lines, Interval(ARMS[3], 1.0, np.nan, np.nan)], STYLES, "points", title="busi", name=name)


def a_curve(name="one"):
    x = np.array([100.0, 200.0, 400.0])
    lines = [Line(arm, x, 50 + k + x / 40, 48 + k + x / 40, 52 + k + x / 40) for k, arm in enumerate(ARMS)]
    return curves(lines, STYLES, ("training images", "accuracy"), name=name)


def a_scatter(name="one"):
    clouds = [Cloud(arm, np.array([0.1, 0.3]) + k, np.array([50.0, 60.0])) for k, arm in enumerate(ARMS)]
    return scatter(clouds, STYLES, ("energy", "accuracy"), name=name)


def root(svg):
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))


def strokes(svg, colour):
    """`[(x, y), ...]` of every line drawn in a colour."""
    paths = [one for one in root(svg).iter() if one.tag.endswith("path") and one.get("clip-path")]
    drawn = [one.get("d") for one in paths if f"stroke: {colour}" in one.get("style", "")]
    found = [re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", one) for one in drawn]
    return [[(float(x), float(y)) for x, y in one] for one in found if len(one) > 1]


def test_a_forest_draws_every_interval_on_one_scale():
    svg = a_forest()
    (first,), (second,) = strokes(svg, STYLES["cyborg"].colour), strokes(svg, STYLES["shuffled"].colour)
    (zero,) = strokes(svg, "var(--ink)")
    drawn = [first[0][0], first[1][0], second[0][0], second[1][0], zero[0][0]]
    scale, offset = np.polyfit([4.0, 40.9, -10.0, 6.0, 0.0], drawn, 1)
    np.testing.assert_allclose(drawn, scale * np.array([4.0, 40.9, -10.0, 6.0, 0.0]) + offset, atol=1e-3)
    assert scale > 0
    assert first[0][1] < second[0][1]  # the first arm is above the second


@pytest.mark.parametrize("arms", [3, 12, 33])
def test_a_long_legend_leaves_the_plot_its_height(arms):
    """In points: 3.3 inches are 238 of them."""
    names = [f"arm {k}" for k in range(arms)]
    clouds = [Cloud(name, np.array([0.1, 0.3]), np.array([50.0, 60.0])) for name in names]
    svg = root(scatter(clouds, looks(names), ("energy", "accuracy"), name="one"))
    (frame,) = [one for one in svg.iter() if one.tag.endswith("rect")]
    assert 130 < float(frame.get("height")) < 200


def test_a_curve_is_drawn_over_the_logarithm():
    ((*points,),) = strokes(a_curve(), STYLES["cyborg"].colour)
    x = [place for place, _ in points]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=1e-3)
    heights = [-y for _, y in points]
    assert (heights[2] - heights[1]) / (heights[1] - heights[0]) == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize(
    ("plot", "said"),
    [
        (a_forest, 'busi: points. cyborg +22.4 [+4.0, +40.9]; shuffled -2.0 [-10.0, +6.0]; a <b> & "c" +1.0.'),
        (a_curve, "accuracy over training images. ce: 52.5 at 100, 55.0 at 200, 60.0 at 400; cyborg: 53.5 at 100"),
        (a_scatter, "accuracy against energy, a point per run. ce: 2 runs, on average 0.20 and 55.0; cyborg: 2 runs"),
    ],
)
def test_every_plot_says_its_numbers(plot, said):
    top = root(plot())
    assert top.get("role") == "img"
    assert top.get("aria-label").startswith(said)


@pytest.mark.parametrize("plot", [a_forest, a_curve, a_scatter])
def test_equal_data_give_equal_bytes_and_two_plots_share_no_id(plot):
    first, second = plot("one"), plot("two")
    assert plot("one") == first
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r"url\(#([^)]+)\)|xlink:href=\"#([^\"]+)", first)) <= {
        pair for one in ids[0] for pair in ((one, ""), ("", one))
    }


@pytest.mark.parametrize("plot", [a_forest, a_curve, a_scatter])
def test_plots_take_the_colours_of_the_page_and_hold_no_date(plot):
    svg = plot()
    assert "var(--ink)" in svg
    assert "var(--line)" in svg
    assert "#010203" not in svg
    assert "metadata" not in svg
    arms = "|".join(look.colour for look in STYLES.values())
    assert set(re.findall(r"#[0-9a-f]{6}\b", re.sub(arms, "", svg))) == set()


def test_every_arm_has_a_look_of_its_own():
    many = looks([f"arm {k}" for k in range(43)])
    assert len(set(many.values())) == 43
    assert next(iter(many)) == "arm 0"
    assert {look.colour for look in list(many.values())[1:7]} & {many["arm 0"].colour} == set()


def test_ticks_are_left_out_where_they_would_overlap():
    x = np.array([100.0, 101.0, 1000.0])
    svg = curves([Line("ce", x, x, x, x)], STYLES, ("images", "accuracy"), name="a")
    ticks = [text.text for text in root(svg).iter() if text.tag.endswith("text")]
    assert "100" in ticks
    assert "1000" in ticks
    assert "101" not in ticks
