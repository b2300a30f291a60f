"""The page for everybody: contrast, names, sizes, focus; and what the service worker keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import salign.annotate
from browsing import AUDIT, CLEAN, Server, Visitor, pictures, serious_faults

STATIC = Path(salign.annotate.__file__).parent / "static"
TEXT = [
    *((ink, ground) for ink in ("ink", "quiet", "accent", "fault") for ground in ("back", "card")),
    *((ink, "back") for ink in ("good", "warn")),
    ("ink", "chosen"),
    ("accent-ink", "accent"),
    ("back", "ink"),
    ("back", "fault"),
]
"""Text and what it stands on: at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
PARTS = [("line", "back"), ("line", "card"), ("focus", "back"), ("focus", "table"), ("accent", "back")]
"""Edges of controls and the focus ring: at least 3 to 1 (1.4.11)."""


def palettes() -> dict[str, dict[str, str]]:
    text = (STATIC / "style.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)[:2]
    found = {name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for name, part in (("l", light), ("d", dark))}
    return {"light": found["l"], "dark": found["l"] | found["d"]}


def luminance(colour: str) -> float:
    """Relative luminance of WCAG."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_palette_has_contrast(scheme: str) -> None:
    palette = palettes()[scheme]
    pairs = [*((pair, 4.5) for pair in TEXT), *((pair, 3.0) for pair in PARTS)]
    poor = {pair: contrast(palette[pair[0]], palette[pair[1]]) for pair, least in pairs}
    assert {pair: round(poor[pair], 2) for pair, least in pairs if poor[pair] < least} == {}


def test_the_service_worker_knows_every_file_of_the_page() -> None:
    listed = re.findall(r'"([\w/]+\.\w+)"', (STATIC / "worker.js").read_text().split("FILES = [")[1].split("]")[0])
    of_the_page = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    of_the_owner = {name for name in of_the_page if name.startswith("owner")}
    assert set(listed) == of_the_page - of_the_owner - {"index.html", "worker.js"}


def test_no_markup_is_made_of_text() -> None:
    for path in STATIC.rglob("*.js"):
        found = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text())
        assert found == [], path.name


def test_nothing_in_the_pages_is_inline_or_from_elsewhere() -> None:
    for page in STATIC.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"\sstyle=|\son\w+=|<style|<script(?![^>]+src=)", text) == []
        assert [
            url for url in re.findall(r'(?:src|href)="([^"]+)"', text) if not url.startswith(("/static/", "#"))
        ] == []


# --- In the browser ---------------------------------------------------------------------------------------------------

SIZES = {"desk": (1280, 800), "tablet": (768, 1024), "phone": (375, 667)}


@pytest.fixture(scope="module")
def server(serve: Callable[..., Server]) -> Server:
    return serve(pictures(4), classes=["real", "fake"], confidence=True, consent="Yes?", annotators_per_image=9)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_can_be_read_and_reached(
    scheme: str, size: str, server: Server, visit: Callable[..., Visitor]
) -> None:
    """Contrast as computed, names, targets of at least 24 pixels (2.5.8), nothing wider than the window."""
    width, height = SIZES[size]
    visitor = visit(server, viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
    page, axe = visitor.page, size == "desk"  # which looks at the same elements at every size
    page.goto(server.url)
    page.wait_for_selector("#name")
    assert page.evaluate(AUDIT) == CLEAN
    assert not axe or serious_faults(page) == []
    page.fill("#name", f"{scheme} {size}")
    page.keyboard.press("Enter")
    page.wait_for_selector("#welcome:not([hidden])")
    assert page.evaluate(AUDIT) == CLEAN
    assert not axe or serious_faults(page) == []
    page.keyboard.press("Tab")  # by keys alone: "Not you?", the tick, the button
    page.keyboard.press("Tab")
    page.keyboard.press(" ")
    page.keyboard.press("Enter")
    visitor.painted()
    for role, name in [
        ("radio", "Brush"),
        ("radio", "Region"),
        ("button", "Undo"),
        ("button", "Hide"),
    ]:
        assert page.get_by_role(role, name=name).count() == 1, "also where there is no room for it"
    page.evaluate("document.querySelector('#looks').open = true")
    assert not axe or serious_faults(page) == []
    for tool in ("p", "d", "b"):
        page.keyboard.press(tool)
        assert page.evaluate(AUDIT) == CLEAN
        stage = page.evaluate("salign.work.stage.element.getBoundingClientRect().height")
        assert stage > (0.6 if size == "phone" else 0.25) * height
    assert page.evaluate("[...document.styleSheets[0].cssRules].length") > 0
    assert page.evaluate("getComputedStyle(document.querySelector('#save')).transitionDuration") == "0s"
    page.keyboard.press("?")
    assert page.evaluate(AUDIT)["poor"] == []
    page.keyboard.press("Escape")
    page.goto(f"{server.url}/owner")
    page.wait_for_selector("#overview:not([hidden])")
    assert page.evaluate(AUDIT) == CLEAN


@pytest.mark.slow
def test_focus_is_seen_and_messages_are_spoken(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server)
    page = visitor.page
    page.goto(server.url)
    page.fill("#name", "focus")
    page.keyboard.press("Enter")
    page.wait_for_selector("#welcome:not([hidden])")
    page.check("#agree")
    page.keyboard.press("Enter")
    visitor.painted()
    ringed = page.evaluate(
        """() => new Promise((done) => {
            const bare = [];
            const every = document.querySelectorAll("#work button:not(:disabled), #work input, .stage, header button");
            for (const element of every) {
                if (!element.checkVisibility()) continue;
                element.focus({ focusVisible: true });
                const ring = element.matches(".choice input") ? element.nextElementSibling : element;
                if (getComputedStyle(ring).outlineStyle !== "solid") bare.push(element.outerHTML);
            }
            done(bare);
        })"""
    )
    assert ringed == []
    page.evaluate("salign.work.focus()")
    page.keyboard.press("Enter")
    assert page.inner_text("#alert") == "Choose an answer first."
    assert page.evaluate("document.activeElement.name") == "answer"
    page.keyboard.press("1")
    assert page.inner_text("#live") == "Answer: real"
    page.keyboard.press("Enter")
    assert "Mark what supports" in page.inner_text("#alert")
    assert page.evaluate("document.activeElement.id") == "blank"
    page.evaluate("localStorage.setItem('salign.keys', 'off')")
    page.keyboard.press("2")  # single keys are off, and the focus is not on the image
    assert page.is_checked("input[name=answer][value=real]")
    page.evaluate("salign.work.focus()")
    page.keyboard.press("2")
    assert page.is_checked("input[name=answer][value=fake]")
