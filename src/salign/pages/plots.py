"""Plots as SVG text for a page, in the page's colours and with a text alternative; equal data give equal bytes."""

from __future__ import annotations

import io
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from salign.errors import SalignError

Array = NDArray[Any]
WIDTH = 5.4
"""Width of a plot in inches; it is 389 units of the SVG. On a narrow phone the letters keep their size, and on a
desktop plots stand side by side."""

_LEGEND = 0.19
"""Height in inches of a row of the legend; a plot has room for three rows."""
_LONGEST = 28
"""The largest number of letters of a name in a plot; longer names would take room from the curves. The text
alternative has the whole name."""
_INK, _LINE = "#010203", "#040506"
_VARIABLES = {_INK: "var(--ink)", _LINE: "var(--line)"}
"""Placeholder colour in the plot -> the variable of the page's style sheet that replaces it; its value differs
between light mode, dark mode and print."""
# The first six are of Okabe & Ito 2008, which people with any common colour blindness can tell apart. The others lie as
# far from them as possible, also for red- and green-blind people. All are readable on white and on near-black.
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
    "#951d52", "#225c13", "#ad3eec", "#1dcf64", "#313be7", "#cfafa4",
)  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollars
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "lines.markersize": 5,
}


class Look(NamedTuple):
    """The colour and marker of an arm in every plot; no two of the first 84 arms share both."""

    colour: str
    marker: str
    size: float = 22
    """Area of a point that stands for a run, in square points (1/72 inch)."""


Styles = Mapping[str, Look]
"""Arm -> its look."""


class Interval(NamedTuple):
    """A row of a forest plot; low and high are NaN if the interval is unknown."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """The curve of an arm over a quantity, with an interval at each point."""

    name: str
    x: Array
    """`(P,)` ascending."""
    value: Array
    """`(P,)`."""
    low: Array
    """`(P,)`; NaN if the interval is unknown."""
    high: Array
    """`(P,)`."""


@dataclass(frozen=True)
class Cloud:
    """The runs of an arm as points of a scatter plot."""

    name: str
    x: Array
    """`(R,)`."""
    y: Array
    """`(R,)`."""


def looks(arms: Sequence[str]) -> dict[str, Look]:
    """Assign every arm a colour and a marker; the first arm, the baseline, is grey."""
    rest = [Look(_COLOURS[k % len(_COLOURS)], _MARKERS[k % len(_MARKERS)]) for k in range(len(arms) - 1)]
    return dict(zip(arms, [Look("#808890", "o"), *rest], strict=False))


def forest(intervals: Sequence[Interval], styles: Styles, label: str, *, title: str = "", name: str) -> str:
    """Draw a forest plot: a row per arm with its value and interval, and a line at zero.

    Args:
        intervals: the rows, from top to bottom.
        styles: the look of every arm.
        label: label of the axis.
        title: text above the plot.
        name: name of the plot; it must differ between the plots on a page.
    """
    with rc_context(_STYLE):
        figure, axes = _axes(0.75 + 0.27 * len(intervals))
        for row, interval in enumerate(intervals):
            look = styles[interval.name]
            axes.plot(
                [interval.low, interval.high], [row, row], color=look.colour, linewidth=1.6, solid_capstyle="butt"
            )
            axes.plot([interval.value], [row], color=look.colour, marker=look.marker)
        axes.axvline(0, color=_INK, linewidth=0.9)
        axes.set_yticks(range(len(intervals)), [_short(interval.name) for interval in intervals])
        axes.set_ylim(len(intervals) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        axes.set_xlabel(textwrap.fill(label, 44))
        lines = [
            f"{interval.name} {interval.value:+.1f}{_span(interval.low, interval.high, '+.1f')}"
            for interval in intervals
        ]
        axes.set_title(title)
        return _svg(figure, name, f"{title}: {label}. {'; '.join(lines)}.")


def curves(
    lines: Sequence[Line], styles: Styles, labels: tuple[str, str], *, title: str = "", name: str, log: bool = True
) -> str:
    """Draw the curve of every arm over a quantity, with its interval as a band.

    Args:
        lines: see `Line`.
        styles: the look of every arm.
        labels: labels of the two axes.
        title: text above the plot.
        name: name of the plot; it must differ between the plots on a page.
        log: whether the horizontal axis is logarithmic, which needs a quantity above zero.
    """
    with rc_context(_STYLE):
        figure, axes = _axes(3.3)
        artists: dict[str, Artist] = {}
        for line in lines:
            look = styles[line.name]
            (artists[line.name],) = axes.plot(line.x, line.value, color=look.colour, marker=look.marker, linewidth=1.5)
            axes.fill_between(line.x, line.low, line.high, color=look.colour, alpha=0.15, linewidth=0)
        ticks = sorted({float(x) for line in lines for x in line.x})
        if log:
            axes.set_xscale("log")
            ticks = _spread(ticks)
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticklabels([f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        spoken = [
            f"{line.name}: " + ", ".join(f"{y:.1f} at {x:g}" for x, y in zip(line.x, line.value, strict=True))
            for line in lines
        ]
        _labelled(figure, axes, artists, labels, title)
        return _svg(figure, name, f"{title}: {labels[1]} over {labels[0]}. {'; '.join(spoken)}.")


def traces(
    lines: Mapping[str, tuple[Array, Array]],
    labels: tuple[str, str],
    *,
    title: str = "",
    name: str,
    square: bool = False,
    diagonal: bool = False,
) -> str:
    """Draw lines without intervals, for example figures over epochs, or a ROC curve.

    Args:
        lines: name -> x values `(P,)` and y values `(P,)`; y values that are not finite leave a gap.
        labels: labels of the two axes.
        title: text above the plot.
        name: name of the plot; it must differ between the plots on a page.
        square: show both axes from 0 to 1.
        diagonal: draw the diagonal, which is chance in a ROC plot and perfect calibration in a calibration plot.

    Raises:
        SalignError: there is no finite value, or there are more lines than colours.
    """
    finite = {line: np.isfinite(y) for line, (_, y) in lines.items()}
    if not 1 <= len(lines) <= len(_COLOURS) or not any(known.any() for known in finite.values()):
        raise SalignError(f"a plot has 1 to {len(_COLOURS)} lines with finite values, got {len(lines)}.")
    with rc_context(_STYLE):
        figure, axes = _axes(3.0)
        artists: dict[str, Artist] = {}
        for colour, (line, (x, y)) in zip(_COLOURS, lines.items(), strict=False):
            marker = "." if len(x) < 40 else None
            (artists[line],) = axes.plot(x, y, color=colour, marker=marker, linewidth=1.5)
        if diagonal:
            axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.9, linestyle=(0, (4, 4)))
        if square:
            axes.set_xlim(-0.01, 1.01)
            axes.set_ylim(-0.01, 1.01)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        spoken = []
        for line, (x, y) in lines.items():
            if (known := finite[line]).any():
                (x0, *_, x1), (y0, *_, y1) = ([*values[known], values[known][-1]] for values in (x, y))
                spoken.append(f"{line}: {y0:.3g} at {x0:.3g}, {y1:.3g} at {x1:.3g}")
        _labelled(figure, axes, artists, labels, title)
        return _svg(figure, name, f"{title}: {labels[1]} over {labels[0]}. {'; '.join(spoken)}.")


def bars(names: Sequence[str], series: Mapping[str, Sequence[float]], label: str, *, title: str = "", name: str) -> str:
    """Draw horizontal bars from zero, with the bars of each name in a group.

    Args:
        names: the groups, from top to bottom.
        series: what a bar of each group stands for -> its length for every name; NaN draws no bar.
        label: label of the axis.
        title: text above the plot.
        name: name of the plot; it must differ between the plots on a page.
    """
    with rc_context(_STYLE):
        figure, axes = _axes(0.6 + (0.12 + 0.16 * len(series)) * len(names))
        artists: dict[str, Artist] = {}
        rows, height = np.arange(len(names)), 0.8 / max(1, len(series))
        for k, (what, values) in enumerate(series.items()):
            colour = "#808890" if k == 0 else _COLOURS[k - 1]
            heights = rows + (k - (len(series) - 1) / 2) * height
            artists[what] = axes.barh(heights, values, height * 0.9, color=colour).patches[0]
            for y, value in zip(heights, values, strict=True):
                if np.isfinite(value):
                    axes.annotate(f"{value:.0f}", (value, y), (3, 0), textcoords="offset points", va="center", size=8)
        axes.set_yticks(rows, [_short(text) for text in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        spoken = [
            f"{text}: " + ", ".join(f"{what} {values[k]:.1f}" for what, values in series.items())
            for k, text in enumerate(names)
        ]
        axes.set_xlabel(textwrap.fill(label, 64))
        axes.set_title(title)
        figure.set_figheight(figure.get_figheight() + _LEGEND * len(series))
        figure.legend(list(artists.values()), list(artists), loc="outside upper left", ncols=1, fontsize=9)
        return _svg(figure, name, f"{title}: {label}. {'; '.join(spoken)}.")


def scatter(clouds: Sequence[Cloud], styles: Styles, labels: tuple[str, str], *, title: str = "", name: str) -> str:
    """Draw a point per run; arms differ by colour and marker.

    Args:
        clouds: see `Cloud`.
        styles: the look of every arm.
        labels: labels of the two axes.
        title: text above the plot.
        name: name of the plot; it must differ between the plots on a page.
    """
    with rc_context(_STYLE):
        figure, axes = _axes(3.3)
        artists: dict[str, Artist] = {}
        for cloud in clouds:
            look = styles[cloud.name]
            artists[cloud.name] = axes.scatter(
                cloud.x, cloud.y, color=look.colour, marker=look.marker, alpha=0.8, s=look.size
            )
        spoken = [
            f"{cloud.name}: {len(cloud.x)} runs, on average {np.mean(cloud.x):.2f} and {np.mean(cloud.y):.1f}"
            for cloud in clouds
        ]
        _labelled(figure, axes, artists, labels, title)
        return _svg(figure, name, f"{title}: {labels[1]} against {labels[0]}, a point per run. {'; '.join(spoken)}.")


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _labelled(figure: Figure, axes: Axes, artists: Mapping[str, Artist], labels: tuple[str, str], title: str) -> None:
    """Label the axes and the plot, with a legend above the plot, where it covers nothing and takes no room from it.

    The legend gets the artists and their names explicitly: matplotlib leaves out artists whose label begins with `_`.
    """
    axes.set_xlabel(textwrap.fill(labels[0], 64))
    axes.set_ylabel(textwrap.fill(labels[1], 40))
    axes.set_title(title)
    names = [_short(name) for name in artists]
    widest = 40 + 5.5 * max(map(_width, names))  # in points: 40 for the mark and the gaps, 5.5 for a letter
    columns = max(1, min(3, len(artists), int(72 * WIDTH / widest)))
    figure.set_figheight(figure.get_figheight() + _LEGEND * max(0, -(-len(artists) // columns) - 3))
    figure.legend(list(artists.values()), names, loc="outside upper left", ncols=columns, fontsize=9)


def _short(name: str) -> str:
    return name if _width(name) <= _LONGEST else f"{name[: _LONGEST * len(name) // _width(name) - 1]}…"


def _width(name: str) -> int:
    """Return the width of a name in letters; an East Asian character is as wide as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def _span(low: float, high: float, form: str) -> str:
    return f" [{low:{form}}, {high:{form}}]" if low == low else ""


def _spread(ticks: list[float]) -> list[float]:
    """Return the ticks of a logarithmic axis without those whose labels would overlap the one before."""
    legible: list[float] = []
    reach = np.log(ticks[-1] / ticks[0]) or 1.0
    for tick in ticks:
        if not legible or np.log(tick / legible[-1]) > 0.09 * reach:
            legible.append(tick)
    return legible


def _svg(figure: Figure, name: str, spoken: str) -> str:
    stream = io.StringIO()
    with rc_context({"svg.hashsalt": name}), warnings.catch_warnings():  # the salt makes ids differ between plots
        warnings.filterwarnings(
            "ignore", r"Glyph .* missing"
        )  # matplotlib only measures the text; the browser draws it with its own fonts
        figure.savefig(
            stream, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text)  # figure_1, axes_1, ...: the same in every plot
    view = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg class="plot" role="img" aria-label="{escape(spoken.removeprefix(": "))}" {view[0] if view else ""}>'
    text = re.sub(r"^<svg[^>]*>", lambda _: head, text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text.strip()
