"""Ten images, each tool by mouse, finger, pen and keyboard: the exported maps are what was drawn."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import drawn
from browsing import Server, Visitor, pictures

pytestmark = pytest.mark.slow

SIZE = (240, 320)
LINE = [(60.0, 60.0), (160.0, 90.0), (240.0, 180.0)]
CORNERS = [(70.0, 50.0), (250.0, 80.0), (220.0, 200.0), (90.0, 170.0)]
EDGES = [(80.0, 60.0), (230.0, 170.0)]
CUT = [(40.0, 120.0), (280.0, 120.0)]


@pytest.fixture(scope="module")
def server(serve: Callable[..., Server]) -> Server:
    return serve(pictures(14, SIZE), classes=["real", "fake"], annotators_per_image=5, seed=3)


def exported(server: Server, name: str) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    """Answer, map (H, W) bool and entry of `shapes.json` of everything an annotator saved, oldest first."""
    said = {"X-Salign": "1", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/api/session", None, said)) as reply:
        said["X-Salign-Study"] = json.load(reply)["study"]
    request = urllib.request.Request(f"{server.url}/api/owner/export", b"{}", said)
    with urllib.request.urlopen(request) as reply:
        archive = zipfile.ZipFile(io.BytesIO(reply.read()))
    entries = [
        one for one in json.loads(archive.read("exported/shapes.json"))["annotations"] if one["annotator"] == name
    ]
    found = []
    for entry in sorted(entries, key=lambda one: str(one["saved"])):
        file = archive.read(f"exported/maps/{name}/{Path(entry['image']).stem}.png")
        values = np.asarray(Image.open(io.BytesIO(file))).astype(float) / 65535
        found.append((entry["answer"], values >= 0.5, entry))
    return found


def radius(visitor: Visitor) -> float:
    return float(visitor.page.evaluate("salign.work.panel.radius(320, 240)"))


def press(visitor: Visitor, *keys: str) -> None:
    for key in keys:
        visitor.page.keyboard.press(key)


# --- Hands: the same four figures by each means -----------------------------------------------------------------------


class Mouse:
    context: ClassVar[dict[str, Any]] = {}

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def line(self, points: drawn.Points) -> None:
        self.visitor.drag(list(points))

    def route(self, points: drawn.Points) -> drawn.Points:
        """Where a line through the points runs."""
        return points

    def snap(self, points: drawn.Points) -> drawn.Points:
        """The points nearest to these where this hand can be."""
        return self.visitor.snap(points)

    def place(self, points: drawn.Points) -> None:
        for point in points:
            self.visitor.page.mouse.click(*self.visitor.at(*point))

    def tool(self, name: str) -> None:
        self.visitor.page.click(f"input[name=tool][value={name}]")

    def close(self, first: tuple[float, float]) -> None:
        self.place([first])


class Finger(Mouse):
    context: ClassVar[dict[str, Any]] = {"has_touch": True, "viewport": {"width": 768, "height": 1024}}

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
        for (ax, ay), (bx, by) in pairwise(points):
            for step in (0.25, 0.5, 0.75, 1.0):
                self.touch("touchMove", (ax + step * (bx - ax), ay + step * (by - ay)))
        self.touch("touchEnd")

    def place(self, points: drawn.Points) -> None:
        for point in points:
            self.touch("touchStart", point)
            self.touch("touchEnd")

    def tool(self, name: str) -> None:
        page = self.visitor.page
        page.tap(f"input[name=tool][value={name}]")
        page.wait_for_timeout(100)
        while page.evaluate("salign.work.toolName") != name:  # on a busy machine a tap may last as long as a long press
            page.tap(f"input[name=tool][value={name}]")
            page.wait_for_timeout(500)


class Keys(Mouse):
    """Nothing but the keyboard."""

    def route(self, points: drawn.Points) -> drawn.Points:
        """Arrow keys go across first, then down."""
        return [points[0], *(corner for (_, y), to in pairwise(points) for corner in ((to[0], y), to))]

    def snap(self, points: drawn.Points) -> drawn.Points:
        """Keys move in tenths of a pixel."""
        return points

    def tool(self, name: str) -> None:
        press(self.visitor, {"brush": "b", "eraser": "x", "polygon": "p", "box": "d"}[name])

    def go(self, x: float, y: float) -> None:
        page = self.visitor.page
        if not page.evaluate("salign.work.cursor.on"):
            press(self.visitor, "c")
        for wanted, axis, keys in ((x, "x", ("ArrowLeft", "ArrowRight")), (y, "y", ("ArrowUp", "ArrowDown"))):
            for modifier, wide in (("Alt+", 60), ("", 10), ("Shift+", None)):
                while True:
                    at, scale = page.evaluate(f"[salign.work.cursor.{axis}, salign.work.stage.view.scale]")
                    if abs(wanted - at) < (wide / scale if wide else 0.01):
                        break
                    press(self.visitor, modifier + keys[wanted > at])

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
    expected = []

    def save(answer: str, mask: np.ndarray) -> None:
        press(visitor, "Escape", answer)
        expected.append(mask)
        visitor.next(lambda: press(visitor, "Enter"))

    hand.tool("brush")
    line = hand.snap(LINE)
    hand.line(line)
    save("1", drawn.stroke(hand.route(line), wide, SIZE))

    hand.tool("box")
    edges = hand.snap(EDGES)
    hand.line(edges)
    save("2", drawn.box(edges, SIZE))

    hand.tool("polygon")
    corners = hand.snap(CORNERS)
    hand.place(corners)
    hand.close(corners[0])
    save("2", drawn.polygon(corners, SIZE))

    hand.tool("brush")
    line, cut = hand.snap(LINE), hand.snap(CUT)
    hand.line(line)
    hand.tool("eraser")
    hand.line(cut)
    save("1", drawn.stroke(hand.route(line), wide, SIZE) & ~drawn.stroke(cut, wide, SIZE))
    visitor.sent()

    found = exported(server, name)
    assert [answer for answer, _, _ in found] == ["real", "fake", "fake", "real"]
    for (_, mask, _), wanted in zip(found, expected, strict=True):
        assert drawn.iou(mask, wanted) >= 0.98


def test_ten_images_painted_with_a_reload_and_a_lost_network(server: Server, visit: Callable[..., Visitor]) -> None:
    """One annotator, ten images, zoomed and panned, corrected, reloaded half-way, offline for a while."""
    visitor = visit(server)
    page = visitor.join("ten")
    hand = Mouse(visitor)
    wide = radius(visitor)
    expected: list[str] = []
    expected_masks: list[np.ndarray] = []
    for k in range(10):
        line = [(x, y + 3 * k) for x, y in LINE]
        if k == 2:  # zoomed in, and panned with the space bar held
            visitor.page.mouse.move(*visitor.at(160, 120))
            page.mouse.wheel(0, -300)
            page.keyboard.down(" ")
            visitor.drag([(160, 120), (150, 110)])
            page.keyboard.up(" ")
            assert page.evaluate("salign.work.stage.view.fitted") is False
        hand.line(line)
        mask = drawn.stroke(line, wide, SIZE)
        if k == 3:  # a stroke too many, taken back; one more, taken back and brought again
            hand.line(CUT)
            press(visitor, "Control+z", "Control+z", "Control+Shift+z")
        if k == 4:
            press(visitor, "1")
            page.reload()
            visitor.painted()
        if k == 6:
            visitor.page.wait_for_function("() => salign.tasks.held.length > 1")
            visitor.context.set_offline(True)
        press(visitor, "12"[k % 2])
        expected.append(("real", "fake")[k % 2])
        expected_masks.append(mask)
        if k == 6:
            press(visitor, "Enter")
            page.wait_for_function("() => document.querySelector('#status').textContent.includes('waiting')")
            visitor.context.set_offline(False)
            page.wait_for_function("() => salign.work.active")
            visitor.painted()
        else:
            visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    found = exported(server, "ten")
    assert [answer for answer, _, _ in found] == expected
    for (_, mask, _), wanted in zip(found, expected_masks, strict=True):
        assert drawn.iou(mask, wanted) >= 0.98
    for _, _, entry in found:
        assert entry["elapsed_ms"] > 0
        assert all(len(shape["times"]) == len(shape["points"]) for shape in entry["shapes"])
        assert all(shape["times"] == sorted(shape["times"]) for shape in entry["shapes"])


def test_a_pen_presses_and_a_palm_does_not(server: Server, visit: Callable[..., Visitor]) -> None:
    """Pressure scales the radius; a finger that comes with the pen draws nothing."""
    visitor = visit(server)
    page = visitor.join("pen")
    wide = radius(visitor)
    page.evaluate(
        """(points) => {
            const { element, view } = salign.work.stages[0], frame = element.getBoundingClientRect();
            element.setPointerCapture = () => {};
            const send = (kind, x, y, pressure, pointerType = "pen", pointerId = 5) => {
                const [sx, sy] = view.toScreen(x, y);
                const at = { clientX: frame.left + sx, clientY: frame.top + sy, pressure };
                element.dispatchEvent(new PointerEvent(kind, { ...at, pointerType, pointerId, cancelable: true }));
            };
            send("pointerdown", ...points[0]);
            for (const point of points.slice(1)) send("pointermove", ...point);
            send("pointerdown", 20, 20, 0.5, "touch", 6);
            send("pointermove", 90, 90, 0.5, "touch", 6);
            send("pointerup", 90, 90, 0, "touch", 6);
            send("pointerup", ...points.at(-1));
        }""",
        [[60, 60, 0.25], [160, 90, 0.5], [240, 180, 1.0]],
    )
    (stroke,) = visitor.shapes()
    assert stroke["points"] == [[60, 60], [160, 90], [240, 180]]
    assert stroke["radii"] == pytest.approx([wide / 2, wide, 2 * wide], abs=0.01)


def test_two_fingers_zoom_and_pan_and_draw_nothing(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server, **Finger.context)
    page = visitor.join("pinch")
    before = page.evaluate("salign.work.stage.view.scale")
    devtools = visitor.context.new_cdp_session(page)
    middle = visitor.at(160, 120)

    def touch(kind: str, *apart: float) -> None:
        points = [{"x": middle[0] + way, "y": middle[1], "id": i} for i, way in enumerate(apart)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -50)
    touch("touchStart", -50, 50)
    for way in (60, 80, 100):
        touch("touchMove", -way, way)
    touch("touchEnd")
    assert page.evaluate("salign.work.stage.view.scale") == pytest.approx(2 * before, rel=0.02)
    assert visitor.at(160, 120) == pytest.approx(middle, abs=2)
    assert visitor.shapes() == []
    Finger(visitor).line([(140, 100), (180, 140)])  # one finger draws again
    assert len(visitor.shapes()) == 1


def test_what_is_shown_is_what_is_kept(server: Server, visit: Callable[..., Visitor]) -> None:
    """The marks on the screen, pixel for pixel, are the shapes: while drawn, after undo and redo, and zoomed."""
    visitor = visit(server)
    page = visitor.join("shown")
    hand = Mouse(visitor)
    hand.line(LINE)
    hand.tool("polygon")
    hand.place(CORNERS)
    hand.close(CORNERS[0])
    hand.tool("eraser")
    hand.line(CUT)
    wanted = (drawn.stroke(LINE, radius(visitor), SIZE) | drawn.polygon(CORNERS, SIZE)) & ~drawn.stroke(
        CUT, radius(visitor), SIZE
    )

    def shown() -> np.ndarray:
        page.wait_for_timeout(100)
        values = page.evaluate(
            """() => {
                const { layers: { marks }, view } = salign.work.stages[0];
                const small = new OffscreenCanvas(320, 240).getContext("2d");
                small.drawImage(marks.canvas, view.x, view.y, 320 * view.scale, 240 * view.scale, 0, 0, 320, 240);
                const { data } = small.getImageData(0, 0, 320, 240);
                return Array.from({ length: 320 * 240 }, (_, i) => data[4 * i + 3]);
            }"""
        )
        return np.array(values).reshape(SIZE) > 127

    assert drawn.iou(shown(), wanted) > 0.98
    press(visitor, "Control+z", "Control+z", "Control+Shift+z", "Control+Shift+z", "0")
    assert drawn.iou(shown(), wanted) > 0.98


def test_finished_marks_are_edited_and_hidden(server: Server, visit: Callable[..., Visitor]) -> None:
    """A box is moved, pulled at a corner and deleted by mouse, then by keys alone; undo brings each step back."""
    visitor = visit(server)
    page = visitor.join("editor")
    hand = Mouse(visitor)
    hand.tool("box")
    (ax, ay), (bx, by) = edges = hand.snap([(80.0, 60.0), (160.0, 120.0)])
    hand.line(edges)
    hand.tool("select")
    hand.line([(100.0, 80.0), (120.0, 110.0)])
    (box,) = visitor.shapes()
    assert np.allclose(box["points"], [[ax + 20, ay + 30], [bx + 20, by + 30]], atol=1)
    hand.line([tuple(box["points"][1]), (220.0, 200.0)])
    (pulled,) = visitor.shapes()
    assert pulled["points"][0] == box["points"][0]
    assert np.allclose(pulled["points"][1], [220, 200], atol=2)
    opacity = "() => getComputedStyle(salign.work.stage.layers.marks.canvas).opacity"
    page.keyboard.down("h")
    assert page.evaluate(opacity) == "0"
    page.keyboard.up("h")
    assert page.evaluate(opacity) == "0.5"
    press(visitor, "Delete")
    assert visitor.shapes() == []
    press(visitor, "Control+z", "Control+z")
    assert visitor.shapes() == [box]
    press(visitor, "b", "j", "Shift+ArrowRight", "Shift+ArrowDown")
    assert page.inner_text("#live") == "Mark 1 of 1: box"
    assert visitor.shapes()[0]["points"] == [[x + 1, y + 1] for x, y in box["points"]]
    page.reload()
    visitor.painted()
    assert visitor.shapes()[0]["points"] == [[x + 1, y + 1] for x, y in box["points"]]
    press(visitor, "Control+z", "Control+z", "Control+z", "1")
    assert np.allclose(visitor.shapes()[0]["points"], edges, atol=0.01)
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    ((_, mask, _),) = exported(server, "editor")
    assert drawn.iou(mask, drawn.box(edges, SIZE)) >= 0.98


def test_on_a_phone_drawing_has_the_screen(server: Server, visit: Callable[..., Visitor]) -> None:
    """The question is a sheet that a touch of the image puts away; saving without an answer brings it back."""
    visitor = visit(server, **Finger.context | {"viewport": {"width": 375, "height": 667}})
    page, hand = visitor.join("phone"), Finger(visitor)
    assert page.is_visible("#question"), "the question is there with the first image"
    page.click("#fold")
    assert not page.is_visible("#panel")
    hand.line(LINE)
    assert len(visitor.shapes()) == 1
    page.click("#save")
    assert page.is_visible("#panel")
    assert page.inner_text("#alert") == "Choose an answer first."
    page.click("input[name=answer][value=fake]")
    page.click("#fold")
    assert page.inner_text("#fold") == "fake ▴"
    visitor.next(lambda: page.click("#save"))
    assert not page.is_visible("#panel"), "the question is the same for each image"
    page.click("#fold")
    page.touchscreen.tap(100, 70)  # what the sheet leaves of the image
    assert not page.is_visible("#panel")
    assert visitor.shapes() == [], "that touch was for the sheet, and marks nothing"
    hand.line(LINE)
    assert len(visitor.shapes()) == 1


def test_the_cursor_takes_the_keys_from_a_button_that_was_clicked(
    server: Server, visit: Callable[..., Visitor]
) -> None:
    """Space would press the answer or "Nothing to mark" again, and the arrows would choose another answer."""
    visitor = visit(server)
    page = visitor.join("cursor")
    page.click("input[name=answer][value=fake]")
    press(visitor, "c", " ", "ArrowRight", "ArrowRight", " ")
    assert page.is_checked("input[name=answer][value=fake]")
    assert [shape["kind"] for shape in visitor.shapes()] == ["stroke"]
    page.click("#clear")
    press(visitor, "Escape", "Enter")
    assert "Mark what supports your answer" in page.inner_text("#alert")
    press(visitor, "c", " ", "ArrowRight", " ", "j", "ArrowDown")
    assert [shape["kind"] for shape in visitor.shapes()] == ["stroke"], "and not nothing to mark"


def discs(folder: Path) -> None:
    """A bright disc on a dark ground, a little noisy."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    for k in range(3):
        grey = np.where(np.hypot(columns - 160, rows - 120) < 60, 200, 60)
        noisy = grey + np.random.default_rng(k).integers(-4, 5, SIZE)
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{k}.png")


def test_regions_and_the_wand_follow_the_image(serve: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    server = serve(discs, classes=["real"], annotators_per_image=5)
    visitor = visit(server)
    page, hand = visitor.join("smart"), Mouse(visitor)
    disc = drawn.stroke([(160, 120)], 60, SIZE)

    def found() -> None:
        page.wait_for_function("() => salign.work.tool.cells?.grid === salign.work.stage.grid")

    hand.tool("wand")
    hand.place([(140.0, 130.0)])
    press(visitor, "1")
    visitor.next(lambda: press(visitor, "Enter"))

    hand.tool("region")
    found()
    way = [(k, (57**2 - k**2) ** 0.5) for k in range(-56, 57, 6)]  # to and fro, as wide as the disc is there
    hand.line([(160 + side * half, 120.0 + k) for k, half in way for side in (-1, 1)])
    assert [shape["kind"] for shape in visitor.shapes()] == ["polygon"], "one drag is one mark"
    hand.place([(160.0, 120.0)])
    assert len(visitor.shapes()) == 1, "a region that is clicked again leaves the mark it is of"
    press(visitor, "Control+z")
    page.reload()
    visitor.painted()
    hand.tool("region")
    found()
    hand.place([(160.0, 120.0)])
    assert [shape["erase"] for shape in visitor.shapes()] == [False, True], "also of marks made otherwise"
    press(visitor, "1")
    visitor.next(lambda: press(visitor, "Enter"))

    press(visitor, "u")
    found()
    press(visitor, "c", " ", "Escape", "1")  # by keys alone, in the middle
    assert [shape["kind"] for shape in visitor.shapes()] == ["polygon"]
    press(visitor, "Enter")
    visitor.sent()
    wand, regions, key = (mask for _, mask, _ in exported(server, "smart"))
    assert drawn.iou(wand, disc) >= 0.98
    hole = disc & ~regions
    assert 60 < hole.sum() < 500, "one cell of about 14 x 14 pixels"
    assert hole[120, 160]
    assert drawn.iou(regions | hole, disc) >= 0.95
    assert 60 < key.sum() < 500
    assert key[120, 160]
