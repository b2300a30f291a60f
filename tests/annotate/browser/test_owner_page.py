"""The owner's page in a real browser: a link is shared, an answer comes back, and one link is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from browsing import AUDIT, CLEAN, Server, Visitor, pictures, serious_faults

pytestmark = pytest.mark.slow

PHONE = {"width": 375, "height": 667}


@pytest.fixture(scope="module")
def server(serve: Callable[..., Server]) -> Server:
    return serve(pictures(3), classes=["real", "fake"], title="Faces")


def open_part(page: Any, part: str) -> None:
    page.click(f"[data-part={part}]")
    page.wait_for_selector(f"#{part}:not([hidden])")


def wait_for_cards(page: Any, selector: str) -> None:
    """Ask again until the list, which is a few seconds old at most, has what is looked for."""
    for _ in range(40):
        open_part(page, "gallery")
        page.wait_for_timeout(500)
        if page.query_selector(selector):
            return
    raise AssertionError(page.inner_text("#gallery"))


def test_a_link_is_shared_an_answer_goes_back_and_comes_again(server: Server, visit: Callable[..., Visitor]) -> None:
    owner, ann = visit(server), visit(server)
    page = owner.page
    page.goto(f"{server.url}/owner")
    page.wait_for_selector("#begin:not([hidden])")
    assert page.inner_text("#begin h2") == "Nobody has annotated yet"

    page.focus("#begin-links")  # by keys alone
    page.keyboard.press("Enter")
    page.focus("#invite-name")
    page.keyboard.type("Class of 2027")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    link = page.wait_for_selector("#invites input").input_value()
    assert link.startswith(f"{server.url}/#invite=invite-1.")
    assert page.inner_text("#invites tbody tr").split("\n")[-1].split("\t")[1:4] == ["0 of 1", "all", "no end"]

    ann.page.goto(link)
    ann.page.fill("#name", "Ann")
    ann.page.click("#join-form button")
    task = ann.painted()
    assert "invite" not in ann.page.url, "the link has left the address bar"
    ann.page.keyboard.press("1")
    ann.drag([(60, 60), (150, 90)])
    drawn = ann.shapes()
    assert ann.next(lambda: ann.page.click("#save")) != task
    ann.sent()

    wait_for_cards(page, "#cards li img[src]")
    assert "Ann: real" in page.inner_text("#cards li")
    page.focus("#cards li button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer[open] img[src]")
    assert page.evaluate(AUDIT)["poor"] == []
    assert serious_faults(page) == []
    page.click("text=Send back")
    assert page.inner_text("#answer-said") == "Write what is to be done again."
    page.fill("#answer textarea", "Mark the ear, too.")
    page.click("text=Send back")
    page.wait_for_selector("#answer-people >> text=sent back, not done yet")
    page.keyboard.press("Escape")

    ann.page.reload()
    ann.painted()
    ann.page.wait_for_function("(task) => salign.tasks.next?.id === task", arg=task)
    ann.page.keyboard.press("1")
    ann.drag([(60, 60), (150, 90)])
    assert ann.next(lambda: ann.page.click("#save")) == task, "it comes after the one at hand"
    assert ann.page.inner_text("#sent-back") == "Sent back to you: Mark the ear, too."
    assert ann.shapes() == drawn, "the old work is there to be changed"
    ann.drag([(200, 60), (240, 90)])
    ann.next(lambda: ann.page.click("#save"))
    ann.sent()
    assert ann.page.is_hidden("#sent-back")

    page.click("#cards li button")
    page.wait_for_selector("#answer option >> nth=1", state="attached")
    versions = page.locator("#answer option").all_inner_texts()
    assert [text[:7] for text in versions] == ["2: real", "1: real"]
    assert versions[0].endswith(", counts")
    page.keyboard.press("Escape")

    page.set_viewport_size(PHONE)
    for part in ("overview", "gallery", "links"):
        open_part(page, part)
        page.wait_for_selector({"overview": "#figures div", "gallery": "#cards li", "links": "#people table"}[part])
        assert page.evaluate(AUDIT) == CLEAN, part
        assert serious_faults(page) == [], part
    page.click("#people button >> text=Stop")
    page.wait_for_selector("#people >> text=stopped")
    ann.page.reload()
    ann.page.wait_for_selector("#join:not([hidden])")
    ann.page.fill("#name", "Bob")
    ann.page.click("#join-form button")
    ann.page.wait_for_function("() => document.querySelector('#alert').textContent.includes('for no more')")
    ann.faults = [fault for fault in ann.faults if "401" not in fault and "403" not in fault]


def test_the_figures_of_the_annotators_fit_into_a_window_of_1280_pixels(
    serve: Callable[..., Server], visit: Callable[..., Visitor]
) -> None:
    server = serve(pictures(3), classes=["real", "fake"])
    ann, owner = visit(server), visit(server)
    ann.join("Ann Katrin of Somewhere-Farther-Away")
    ann.page.keyboard.press("s")
    owner.page.goto(f"{server.url}/owner")
    owner.page.wait_for_selector("#annotators tbody tr")
    owner.page.evaluate(
        """() => {
            const long = { Progress: "620 of 1000", Answered: "610", "Median time": "12 s", "Gold right": "50 of 61" };
            const titles = [...document.querySelectorAll("#annotators thead th")].map((cell) => cell.textContent);
            for (const [title, text] of Object.entries(long)) {
                const cell = document.querySelector(`#annotators tbody tr td:nth-child(${titles.indexOf(title) + 1})`);
                (cell.querySelector(".share") ?? cell).lastChild.replaceWith(text);
            }
        }"""
    )
    wide, room = owner.page.evaluate("(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(annotators)")
    assert room > 1200
    assert wide == room
