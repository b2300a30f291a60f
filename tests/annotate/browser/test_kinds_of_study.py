"""Pair, review and assisted; two annotators at once; names that are markup; deep images; the owner's page."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from browsing import Server, Visitor, pictures

pytestmark = pytest.mark.slow

PHONE = {"width": 390, "height": 844}
SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def press(visitor: Visitor, *keys: str) -> None:
    for key in keys:
        visitor.page.keyboard.press(key)


def bodies(server: Server) -> list[dict[str, Any]]:
    """What the server keeps of each save, oldest first."""
    with sqlite3.connect(f"file:{server.folder}/annotations/annotations.db?mode=ro", uri=True) as store:
        rows = store.execute("select body from revisions order by id").fetchall()
    return [json.loads(body) for (body,) in rows]


def with_help(folder: Path) -> None:
    """Images with a model's answer and map."""
    pictures(6)(folder)
    rows = ["id,path,label,split,decision,model_map,saliency_ann,saliency_bob"]
    for k in range(6):
        heat = np.zeros((240, 320), np.uint8)
        heat[60:140, 80:200] = np.linspace(0, 255, 120, dtype=np.uint8)
        Image.fromarray(heat).save(folder / f"map{k}.png")
        rows.append(f"{k:02d},{k:02d}.png,{'real' if k % 2 else 'fake'},train,real,map{k}.png,map{k}.png,map{k}.png")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")


def test_a_pair_is_judged_and_marked(serve: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    server = serve(pictures(6, labels=("real", "fake")), mode="pair", target="fake", question="Which one is synthetic?")
    visitor = visit(server)
    visitor.join("pair")
    assert [stage.get_attribute("aria-label") for stage in visitor.page.query_selector_all(".stage")] == [
        "Image A",
        "Image B",
    ]
    press(visitor, "2", "b")
    visitor.drag([(60, 60), (200, 90)], stage=0)
    visitor.drag([(50, 100), (100, 200)], stage=1)
    assert [shape["image"] for shape in visitor.shapes()] == [0, 1]
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    press(visitor, "1", "w", "c", "Enter", "ArrowRight", "Enter", "Escape")  # by keys, on the second image
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    first, second = bodies(server)
    assert (first["side"], [shape["image"] for shape in first["shapes"]]) == (1, [0, 1])
    assert (second["side"], [shape["image"] for shape in second["shapes"]]) == (0, [1])
    assert earlier(visitor) == ["2: Image A", "1: Image B"]
    assert {"1 · 2", "W", "B · X · P · D · O"} <= keys_in_help(visitor)
    assert not {"A · E · R", "1 – 9", "C, then Space", "Shift + 1 – 5"} & keys_in_help(visitor)


def test_on_a_phone_the_question_of_a_pair_covers_neither_image(
    serve: Callable[..., Server], visit: Callable[..., Visitor]
) -> None:
    server = serve(pictures(2, labels=("real", "fake")), mode="pair", target="fake", question="Which one is synthetic?")
    visitor = visit(server, viewport=PHONE, has_touch=True, is_mobile=True)
    page = visitor.join("phone")
    if not page.is_visible("#panel"):
        page.click("#fold")
    question, tools = page.locator("#panel").bounding_box(), page.locator("#tools").bounding_box()
    images = [stage.bounding_box() for stage in page.locator(".stage").all()]
    assert question is not None
    assert tools is not None
    assert len(images) == 2
    for image in images:
        assert image is not None
        assert image["height"] >= 0.3 * PHONE["height"]
        assert image["y"] + image["height"] <= tools["y"] <= question["y"]
    page.click("#fold")
    upper, lower = (stage.bounding_box() for stage in page.locator(".stage").all())
    assert upper is not None
    assert lower is not None
    assert upper["y"] + upper["height"] <= lower["y"]  # put away, one below the other, as wide as the screen
    assert upper["width"] == PHONE["width"]


def earlier(visitor: Visitor) -> list[str]:
    """What the list of earlier ones says, newest first."""
    visitor.page.click("#earlier-open")
    visitor.page.wait_for_selector("#earlier[open]")
    said = visitor.page.locator("#earlier-list button > span:last-child").all_inner_texts()
    visitor.page.click("#earlier [data-closes]")
    return said


def keys_in_help(visitor: Visitor) -> set[str]:
    return set(visitor.page.locator("#help-keys th").all_text_contents())


def test_maps_of_others_are_accepted_edited_and_rejected(
    serve: Callable[..., Server], visit: Callable[..., Visitor]
) -> None:
    polygon = {"kind": "polygon", "points": [[60, 50], [200, 60], [120, 180]], "erase": False}
    drafts = [
        {"image": f"{k:02d}", "annotator": "Bob", "answer": "real", "skipped": None, "shapes": [polygon]}
        for k in range(4)
    ]

    def fill(folder: Path) -> None:
        pictures(4, labels=("real", "fake"))(folder)
        (folder / "drafts.json").write_text(json.dumps({"annotations": drafts}))

    server = serve(fill, mode="review", drafts="drafts.json", classes=["real", "fake"])
    visitor = visit(server)
    visitor.join("judge")
    page = visitor.page
    assert "Bob" in page.inner_text("#review-title")
    assert heat_pixels(visitor) > 1000
    press(visitor, "Enter")  # a verdict is missing
    assert "Accept" in page.inner_text("#alert")
    press(visitor, "a")
    visitor.next(lambda: press(visitor, "Enter"))
    press(visitor, "e", "b")
    assert visitor.shapes()[0]["points"] == polygon["points"]
    visitor.drag([(30, 200), (90, 210)])
    visitor.next(lambda: press(visitor, "Enter"))
    press(visitor, "r", "2")
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    accepted, edited, rejected = bodies(server)
    assert (accepted["review"], accepted["draft"], accepted["answer"]) == ("accept", 0, "real")
    assert [shape["kind"] for shape in accepted["shapes"]] == ["polygon"]
    assert (edited["review"], [shape["kind"] for shape in edited["shapes"]]) == ("edit", ["polygon", "stroke"])
    assert (rejected["review"], rejected["shapes"], rejected["answer"]) == ("reject", [], "fake")
    page.wait_for_function("() => salign.work.task && document.querySelector('#progress-text').textContent !== ''")
    assert page.inner_text("#progress-text") == "3 of 4", "a save on its way while the server counted is counted"
    assert earlier(visitor) == ["3: Reject", "2: Edit", "1: Accept"]
    assert {"A · E · R", "1 – 9"} <= keys_in_help(visitor)


def test_a_review_on_a_phone_says_the_verdict_and_names_nobody_where_nobody_is_named(
    serve: Callable[..., Server], visit: Callable[..., Visitor]
) -> None:
    def fill(folder: Path) -> None:
        with_help(folder)
        table = pd.read_csv(folder / "manifest.csv", dtype=str).drop(columns=["saliency_ann", "saliency_bob"])
        whose = ["", "mask", "human:Ann", "human:unknown", "model:net@1", "human:Ann+Bob"]
        table.assign(saliency=table["model_map"], provenance=whose).to_csv(folder / "manifest.csv", index=False)

    server = serve(fill, mode="review", classes=["real", "fake"], annotators_per_image=2)
    desk, phone = visit(server), visit(server, viewport=PHONE, has_touch=True, is_mobile=True)
    desk.join("desk")
    titles, heights = set(), []
    for k in range(6):
        titles.add(desk.page.inner_text("#review-title").partition(": ")[0])
        press(desk, "a")
        heights.append(desk.page.locator("#verdicts .text").first.bounding_box()["height"])
        if k < 5:
            desk.next(lambda: press(desk, "Enter"))
    assert titles == {"Map", "Map of Ann", "Map of a machine", "Map of Ann+Bob"}
    assert max(heights) < 30, "a verdict that is chosen, in bold letters, stays in one line"
    page = phone.join("phone")
    page.tap("#verdicts label:nth-child(1)")
    assert page.inner_text("#fold") == "Draw ▾"
    page.tap("#fold")
    assert page.inner_text("#fold") == "Accept ▴", "the verdict is the answer, and the class came with it"


def heat_pixels(visitor: Visitor) -> int:
    """How many pixels of the first stage show somebody's map, once it is drawn."""
    visitor.page.wait_for_timeout(300)
    return int(
        visitor.page.evaluate(
            "() => { const { canvas } = salign.work.stages[0].layers.heat;"
            "const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;"
            "let n = 0; for (let i = 3; i < data.length; i += 4) n += data[i] > 0; return n }"
        )
    )


def test_help_is_shown_as_drawn_by_lot(serve: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    server = serve(with_help, mode="assisted", classes=["real", "fake"], assisted={"by": "image"}, require_map=False)
    visitor = visit(server)
    visitor.join("helped")
    seen = {}
    for k in range(4):
        arm = visitor.page.evaluate("salign.work.task.arm")
        said = visitor.page.is_visible("#decision") and visitor.page.inner_text("#decision")
        seen[arm] = (said, heat_pixels(visitor) > 1000)
        press(visitor, "1")
        if k < 3:
            visitor.next(lambda: press(visitor, "Enter"))
    says = "The computer says: real"
    assert seen == {"none": (False, False), "decision": (says, False), "map": (False, True), "both": (says, True)}


def test_two_annotators_work_at_once_and_names_are_text(
    serve: Callable[..., Server], visit: Callable[..., Visitor]
) -> None:
    """Names, classes, question, instructions, consent and reasons are markup; all of it is shown as text."""
    server = serve(
        pictures(4),
        title=SCRIPT,
        question=f"Which? {SCRIPT}",
        instructions=SCRIPT,
        classes=["real", SCRIPT],
        skip_reasons=[SCRIPT],
    )
    people = [visit(server), visit(server, viewport={"width": 768, "height": 1024})]
    for visitor, name in zip(people, (SCRIPT[:60], "Bob"), strict=True):
        visitor.page.on("dialog", lambda dialog, visitor=visitor: visitor.faults.append("a script ran"))
        visitor.join(name)
    assert people[0].painted() != people[1].painted()
    for _ in range(2):
        for visitor in people:
            visitor.drag([(60, 60), (200, 90)])
            press(visitor, "2")
        for visitor in people:
            press(visitor, "Enter")
        for visitor in people:
            visitor.sent()
    for visitor in people:
        visitor.page.wait_for_selector("#pause-title:has-text('All done')")
    assert len({body["task"] for body in bodies(server)}) == 4
    ann = people[0].page
    assert ann.inner_text("#title") == SCRIPT
    ann.goto(f"{server.url}/owner")
    ann.wait_for_selector("#overview:not([hidden])")
    assert SCRIPT[:60] in ann.inner_text("#annotators")
    assert f"{SCRIPT} × 1" in ann.inner_text("#images")
    assert "4 of 4" in ann.inner_text("#figures")
    assert ann.query_selector("main img, main script") is None
    with ann.expect_download() as waited:
        ann.click("#export")
    assert waited.value.suggested_filename.endswith(".zip")


def test_gold_tells_whether_the_answer_was_right(serve: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    gold = {f"{k:02d}": "fake" for k in range(4)}
    server = serve(pictures(4, labels=("real", "fake")), classes=["real", "fake"], gold=gold, gold_feedback=True)
    visitor = visit(server)
    visitor.join("learner")
    visitor.page.keyboard.press("n")
    press(visitor, "1", "Enter")
    visitor.page.wait_for_selector("#feedback[open]")
    assert "not quite" in visitor.page.inner_text("#feedback-title")
    assert "fake" in visitor.page.inner_text("#feedback-text")
    visitor.page.wait_for_function("salign.work.active")  # the next image is there, behind it
    spent = visitor.page.evaluate("salign.work.clock.now")
    visitor.page.wait_for_timeout(200)
    assert visitor.page.evaluate("salign.work.clock.now") == spent, "reading it is no time on the next image"
    press(visitor, "Enter")
    assert visitor.page.evaluate("salign.work.active")


def test_window_and_level_of_deep_images(serve: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    """A faint square, 1 % of the range, is seen once the window is narrow."""

    def fill(folder: Path) -> None:
        deep = np.full((240, 320), 30_000, np.uint16)
        deep[100:140, 140:180] += 655
        Image.fromarray(deep).save(folder / "deep.png")

    server = serve(fill, classes=["real"], window_level=True)
    visitor = visit(server)
    visitor.join("radiologist")

    def contrast() -> int:
        return int(
            visitor.page.evaluate(
                "() => { const { canvas } = salign.work.stages[0].layers.picture, view = salign.work.stages[0].view;"
                "const here = (x, y) => view.toScreen(x, y).map(Math.round);"
                "const at = (x, y) => canvas.getContext('2d').getImageData(...here(x, y), 1, 1).data[0];"
                "return at(160, 120) - at(20, 20) }"
            )
        )

    visitor.page.evaluate("salign.work.panel.setWindow([0, 1])")
    visitor.page.wait_for_timeout(600)
    assert 0 <= contrast() <= 5
    visitor.page.evaluate("salign.work.panel.setWindow([0.45, 0.475])")
    visitor.page.wait_for_timeout(600)
    assert contrast() > 80


def stripes(folder: Path) -> None:
    """Black and white stripes of 4 pixels: sharp they are black and white, blurred they are grey."""
    for k in range(3):
        columns = np.mgrid[:240, :320][1]
        Image.fromarray(np.where(columns // 4 % 2, 255, 0).astype(np.uint8)).save(folder / f"{k}.png")


def test_a_blurred_image_shows_what_is_clicked(serve: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    """One window at a time; none can be taken back; an answer needs one; order and times are kept."""
    server = serve(stripes, mode="reveal", classes=["real", "fake"], reveal={"radius": 0.1, "blur": 0.05})
    visitor = visit(server)
    page = visitor.join("looker")
    assert "C, then Space" in keys_in_help(visitor)
    assert not {"B · X · P · D · O", "N", "F", "Ctrl + Z · Ctrl + Shift + Z"} & keys_in_help(visitor)
    page.set_viewport_size(PHONE)
    assert page.inner_text("#fold") == "Look ▾", "nobody draws here"
    page.set_viewport_size({"width": 1280, "height": 800})

    def contrast(x: float, y: float) -> float:
        """Brightest minus darkest of the 16 pixels of the image around a point."""
        page.wait_for_timeout(150)
        values = page.evaluate(
            """([x, y]) => {
                const { layers: { picture }, view, density } = salign.work.stage, [sx, sy] = view.toScreen(x, y);
                const half = 8 * view.scale * density;
                const box = [sx * density - half, sy * density, 2 * half, 1].map(Math.round);
                return [...picture.getImageData(...box).data];
            }""",
            [x, y],
        )
        grey = np.array(values)[::4]
        return float(grey.max() - grey.min())

    assert contrast(100, 100) < 30
    assert not page.is_visible("#undo")
    assert not page.is_visible("#marking")
    press(visitor, "1", "Enter")
    assert page.inner_text("#alert") == "Click where you want to look closely first."
    page.mouse.click(*visitor.at(100, 100))
    assert contrast(100, 100) > 200
    assert contrast(200, 100) < 30
    page.mouse.click(*visitor.at(200, 100))
    assert contrast(200, 100) > 200
    assert contrast(100, 100) < 30, "the window before is closed"
    press(visitor, "Control+z", "n")
    press(visitor, "c", " ", "Escape")  # by keys, in the middle
    windows = visitor.shapes()
    assert [shape["radii"] for shape in windows] == [[32], [32], [32]]
    assert np.allclose([shape["points"][0] for shape in windows], [[100, 100], [200, 100], [160, 120]], atol=1)
    times = [shape["times"][0] for shape in windows]
    assert 0 < times[0] < times[1] < times[2]
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    (body,) = bodies(server)
    assert (body["answer"], body["shapes"]) == ("real", windows)
    page.click("#earlier-open")
    page.wait_for_selector("#earlier[open]")
    assert "1: real" in page.inner_text("#earlier-list")
    assert page.query_selector("#earlier-list canvas") is None, "a small picture would show what is hidden"
