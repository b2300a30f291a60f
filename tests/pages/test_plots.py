from __future__ import annotations

import itertools
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from salign.errors import SalignError
from salign.pages.plots import Cloud, Interval, Line, bars, curves, forest, looks, scatter, traces

ARMS = ["ce", "cyborg", "shuffled", 'a <b> & "c"', "a$x$", "_y$"]
STYLES = looks(ARMS)


def a_forest(name="one", high=40.9):
    lines = [Interval("cyborg", 22.4, 4.0, high), Interval("shuffled", -2.0, -10.0, 6.0)]
    lines += [Interval(arm, 1.0, np.nan, np.nan) for arm in ARMS[3:]]
    return forest(lines, STYLES, "points", title="busi", name=name)


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


def test_bars_are_as_long_as_their_values_and_none_is_drawn_for_nothing():
    series = {"whole": [80.0, 40.0], "part": [20.0, np.nan]}
    svg = bars(["ce", "cyborg"], series, "accuracy", title="t", name="b")
    drawn = [one for one in root(svg).iter() if one.tag.endswith("path") and one.get("clip-path")]
    widths = []
    for one in drawn:
        corners = re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", one.get("d"))
        if "fill: #" in one.get("style", "") and len(corners) == 4:
            xs = [float(x) for x, _ in corners]
            widths.append(max(xs) - min(xs))
    assert len(widths) == 3
    assert widths[0] == pytest.approx(2 * widths[1], rel=1e-3)
    assert widths[0] == pytest.approx(4 * widths[2], rel=1e-3)
    assert 'aria-label="t: accuracy. ce: whole 80.0, part 20.0; cyborg: whole 40.0, part nan."' in svg


def test_a_trace_goes_through_its_points_and_leaves_a_gap():
    x, y = np.array([0.0, 0.3, 0.6, 1.0]), np.array([0.0, 0.5, np.nan, 1.0])
    svg = traces({"up": (x, y)}, ("false positives", "found"), name="t", square=True, diagonal=True)
    (line,) = strokes(svg, "#0072b2")
    (diagonal,) = strokes(svg, "var(--ink)")
    assert line[1][1] == pytest.approx((diagonal[0][1] + diagonal[1][1]) / 2, abs=0.01)  # y 0.5 is half way up
    assert line[1][0] == pytest.approx(diagonal[0][0] + 0.3 * (diagonal[1][0] - diagonal[0][0]), abs=0.01)
    assert 'aria-label="found over false positives. up: 0 at 0, 1 at 1."' in svg


@pytest.mark.parametrize("lines", [{}, {"a": [np.nan]}, {str(k): [1.0] for k in range(13)}])
def test_traces_of_nothing_or_too_much_are_refused(lines):
    with pytest.raises(SalignError, match="a plot has 1 to 12 lines"):
        traces({name: (np.arange(len(y)), np.array(y)) for name, y in lines.items()}, ("x", "y"), name="n")


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
        (
            a_forest,
            'busi: points. cyborg +22.4 [+4.0, +40.9]; shuffled -2.0 [-10.0, +6.0]; a <b> & "c" +1.0; a$x$ +1.0; ',
        ),
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


@pytest.mark.parametrize("plot", [a_forest, a_curve, a_scatter])
def test_a_plot_names_every_arm_as_it_is_called(plot):
    """Not as a formula, and those with a dash below before them, which matplotlib's legends leave out, too."""
    written = {text.text for text in root(plot()).iter() if text.tag.endswith("text")}
    assert set(ARMS[plot is a_forest :]) <= written


@pytest.mark.parametrize("plot", [forest, curves, scatter])
def test_a_long_name_is_cut_and_leaves_the_plot_and_the_legend_their_room(plot):
    """Ten arms, one of 71 letters and one of 20 of East Asia, which take two each: all end within the 5.4 inches."""
    names = [*(f"an arm of some letters {k}" for k in range(8)), "a name of many letters " * 3 + "to", "名" * 20]
    x = np.array([1.0, 2.0])
    drawn = {
        forest: lambda: [Interval(name, 1.0, 0.0, 2.0) for name in names],
        curves: lambda: [Line(name, x, x, x, x) for name in names],
        scatter: lambda: [Cloud(name, x, x) for name in names],
    }[plot]()
    labels = "accuracy on a test set with a long name minus ce's, points" if plot is forest else ("images", "accuracy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = root(plot(drawn, looks(names), labels, name="one"))
    written = {text.text: text for text in svg.iter() if text.tag.endswith("text")}
    assert {*names[:8], "a name of many letters a na…", "名" * 13 + "…"} <= set(written)
    assert all(name in svg.get("aria-label") for name in names)
    ends = {name: 5.5 * len(name) if plot is not forest else 0 for name in written if name in names or "…" in name}
    assert all(0 < float(written[name].get("x")) + end < 72 * 5.4 for name, end in ends.items())


def test_every_arm_has_a_look_of_its_own():
    many = looks([f"arm {k}" for k in range(85)])
    assert len(set(many.values())) == 85
    assert next(iter(many)) == "arm 0"
    assert {look.colour for look in list(many.values())[1:]} & {many["arm 0"].colour} == set()


def test_thirteen_arms_have_thirteen_colours_that_are_told_apart():
    """At least 20 of CIELAB's units (D65) apart, where 2 can just be seen, and not lost on white or on near-black."""

    def light(colour):
        values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)

    def lab(colour):
        xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]] @ light(colour)
        x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    colours = [look.colour for look in looks([f"arm {k}" for k in range(13)]).values()]
    assert min(np.linalg.norm(lab(a) - lab(b)) for a, b in itertools.combinations(colours, 2)) > 20
    luminance = np.array([light(colour) @ [0.2126, 0.7152, 0.0722] for colour in colours])
    assert (1.05 / (luminance + 0.05)).min() > 1.8
    assert ((luminance + 0.05) / (0.01 + 0.05)).min() > 1.8


def test_ticks_are_left_out_where_they_would_overlap():
    x = np.array([100.0, 101.0, 1000.0])
    svg = curves([Line("ce", x, x, x, x)], STYLES, ("images", "accuracy"), name="a")
    ticks = [text.text for text in root(svg).iter() if text.tag.endswith("text")]
    assert "100" in ticks
    assert "1000" in ticks
    assert "101" not in ticks
