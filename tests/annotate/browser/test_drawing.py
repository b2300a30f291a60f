"""Ten images, each tool by mouse, finger, pen and keyboard: the exported maps are what was drawn."""

from __future__ import annotations

import csv
import io
import json
import urllib.request
import zipfile
from collections.abc import Callable
from typing import Any

import drawn
import numpy as np
import pytest
from browsing import Server, Visitor, pictures
from PIL import Image

pytestmark = pytest.mark.slow

SIZE = (240, 320)
LINE = [(60.0, 60.0), (160.0, 90.0), (240.0, 180.0)]
CORNERS = [(70.0, 50.0), (250.0, 80.0), (220.0, 200.0), (90.0, 170.0)]
EDGES = [(80.0, 60.0), (230.0, 170.0)]
CUT = [(40.0, 120.0), (280.0, 120.0)]


@pytest.fixture(scope="module")
def server(serve: Callable[..., Server]) -> Server:
    return serve(pictures(14, SIZE), classes=["real", "fake"], annotators_per_image=5, seed=3)


def exported(server: Server) -> tuple[list[dict[str, str]], dict[str, Any], dict[str, np.ndarray]]:
    """The manifest's rows, `shapes.json`, and maps (H, W) in [0, 1] by their path."""
    request = urllib.request.Request(
        f"{server.url}/api/owner/export", b"{}", {"X-Salign": "1", "Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        archive = zipfile.ZipFile(io.BytesIO(reply.read()))
    names = archive.namelist()
    rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), encoding="utf-8")))
    shapes = json.loads(archive.read("shapes.json"))
    maps = {
        name: np.asarray(Image.open(io.BytesIO(archive.read(name)))).astype(float) / 65535
        for name in names
        if name.endswith(".png")
    }
    return rows, shapes, maps


def radius(visitor: Visitor) -> float:
    return float(visitor.page.evaluate("salign.work.panel.radius(320, 240)"))


def press(visitor: Visitor, *keys: str) -> None:
    for key in keys:
        visitor.page.keyboard.press(key)


# --- Hands: the same four figures by each means -----------------------------------------------------------------------


class Mouse:
    context: dict[str, Any] = {}

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def line(self, points: drawn.Points) -> None:
        self.visitor.drag(list(points))

    def place(self, points: drawn.Points) -> None:
        for point in points:
            self.visitor.page.mouse.click(*self.visitor.at(*point))

    def tool(self, name: str) -> None:
        self.visitor.page.click(f"input[name=tool][value={name}]")

    def close(self, first: tuple[float, float]) -> None:
        self.place([first])


class Finger(Mouse):
    context = {"has_touch": True, "viewport": {"width": 768, "height": 1024}}
    kind = "touch"

    def __init__(self, visitor: Visitor) -> None:
        super().__init__(visitor)
        self.devtools = visitor.context.new_cdp_session(visitor.page)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """Fingers at points of the image."""
        at = [self.visitor.at(*point) for point in points]
        self.devtools.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(at)]},
        )

    def line(self, points: drawn.Points) -> None:
        self.touch("touchStart", points[0])
        for (ax, ay), (bx, by) in zip(points, points[1:], strict=False):
            for step in (0.25, 0.5, 0.75, 1.0):
                self.touch("touchMove", (ax + step * (bx - ax), ay + step * (by - ay)))
        self.touch("touchEnd")

    def place(self, points: drawn.Points) -> None:
        for point in points:
            self.touch("touchStart", point)
            self.touch("touchEnd")

    def tool(self, name: str) -> None:
        self.visitor.page.tap(f"input[name=tool][value={name}]")


class Keys(Mouse):
    """Nothing but the keyboard; the cross begins in the middle and moves by whole steps and by pixels."""

    def __init__(self, visitor: Visitor) -> None:
        super().__init__(visitor)
        self.on = False

    def tool(self, name: str) -> None:
        press(self.visitor, {"brush": "b", "eraser": "x", "polygon": "p", "box": "d"}[name])

    def go(self, x: float, y: float) -> None:
        page = self.visitor.page
        if not page.evaluate("salign.work.cursor.on"):
            press(self.visitor, "c")
        for axis, keys in ((0, ("ArrowLeft", "ArrowRight")), (1, ("ArrowUp", "ArrowDown"))):
            for modifier in ("Alt+", "", "Shift+"):
                at, step = page.evaluate(
                    "([axis, m]) => [salign.work.cursor['xy'[axis]], m === 'Shift+' ? 1"
                    " : (m ? 60 : 10) / salign.work.stage.view.scale]",
                    [axis, modifier],
                )
                off = (x, y)[axis] - at
                count = round(off / step) if modifier == "Shift+" else int(off / step)
                for _ in range(abs(count)):
                    press(self.visitor, modifier + keys[off > 0])

    def line(self, points: drawn.Points) -> None:
        self.go(*points[0])
        press(self.visitor, "Enter")
        for point in points[1:]:
            self.go(*point)
        press(self.visitor, "Enter")

    def place(self, points: drawn.Points) -> None:
        for point in points:
            self.go(*point)
            press(self.visitor, " ")

    def close(self, first: tuple[float, float]) -> None:
        press(self.visitor, "f")


HANDS = {"mouse": Mouse, "finger": Finger, "keys": Keys}


@pytest.mark.parametrize("name", HANDS)
def test_every_tool_by_every_hand(name: str, server: Server, visit: Callable[..., Visitor]) -> None:
    """Brush, box, polygon, and a brush stroke cut by the eraser, on four images; then their exported maps."""
    visitor = visit(server, **HANDS[name].context)
    visitor.join(name)
    hand = HANDS[name](visitor)
    wide = radius(visitor)
    expected = {}

    hand.tool("brush")
    hand.line(LINE)
    band = drawn.stroke(LINE, wide, SIZE)
    press(visitor, "1")
    task = visitor.painted()
    expected[task] = band
    visitor.next(lambda: press(visitor, "Escape", "Enter"))

    hand.tool("box")
    hand.line(EDGES)
    press(visitor, "2")
    expected[visitor.painted()] = drawn.box(EDGES, SIZE)
    visitor.next(lambda: press(visitor, "Escape", "Enter"))

    hand.tool("polygon")
    hand.place(CORNERS)
    hand.close(CORNERS[0])
    press(visitor, "2")
    expected[visitor.painted()] = drawn.polygon(CORNERS, SIZE)
    visitor.next(lambda: press(visitor, "Escape", "Enter"))

    hand.tool("brush")
    hand.line(LINE)
    hand.tool("eraser")
    hand.line(CUT)
    press(visitor, "1")
    expected[visitor.painted()] = band & ~drawn.stroke(CUT, wide, SIZE)
    visitor.next(lambda: press(visitor, "Escape", "Enter"))
    visitor.sent()

    _, shapes, maps = exported(server)
    own = [one for one in shapes["annotations"] if one["annotator"] == name]
    assert len(own) == 4
    for one in own:
        found = maps[one["map"]] >= 0.5
        assert max(drawn.iou(found, mask) for mask in expected.values()) >= 0.98
