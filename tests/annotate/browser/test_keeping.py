"""Nothing drawn is lost: by a reload, a closed tab, a lost network, a server that dies; and nothing is stored twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from browsing import Server, Visitor, pictures, settled

pytestmark = pytest.mark.slow

LINE = [(60.0, 60.0), (160.0, 90.0), (240.0, 180.0)]


@pytest.fixture(scope="module")
def server(serve: Callable[..., Server]) -> Server:
    return serve(pictures(8), classes=["real", "fake"], annotators_per_image=9, confidence=True, consent="I agree.")


def press(visitor: Visitor, *keys: str) -> None:
    for key in keys:
        visitor.page.keyboard.press(key)


def joined(visitor: Visitor, name: str) -> None:
    visitor.page.goto(visitor.server.url)
    visitor.page.fill("#name", name)
    visitor.page.click("#join-form button")
    visitor.page.check("#agree")
    visitor.page.click("#welcome-form button.primary")
    visitor.painted()


def revisions(server: Server) -> int:
    """How many saves are in the database."""
    with sqlite3.connect(f"file:{server.folder}/annotations/annotations.db?mode=ro", uri=True) as store:
        return int(store.execute("select count(*) from revisions").fetchone()[0])


IN_STORE = """(store) => new Promise((ok) => {
    const opened = indexedDB.open(`salign-${localStorage["salign.study"]}`);
    opened.onsuccess = () => {
        const rows = opened.result.transaction(store).objectStore(store).getAll();
        rows.onsuccess = () => { opened.result.close(); ok(rows.result); };
    };
})"""


def in_store(visitor: Visitor, store: str) -> list[Any]:
    """The rows of a store of the browser's own."""
    return list(visitor.page.evaluate(IN_STORE, store))


def begun(visitor: Visitor) -> bool:
    """Whether a polygon of three points, not finished yet, is kept."""
    polygons = [row["pending"] for row in in_store(visitor, "drafts")]
    return any(one and len(one["points"]) == 3 for one in polygons)


def prefetched(visitor: Visitor) -> None:
    """Wait until the next image is in the browser."""
    visitor.page.wait_for_function("() => salign.tasks.held.length > 1")
    settled(lambda: len(in_store(visitor, "blobs")) >= 2)


def answered(visitor: Visitor) -> list[dict[str, Any]]:
    return list(
        visitor.page.evaluate(
            "import('/static/api.js').then(({call}) => call('/api/tasks', {token: salign.queue.session.token}))"
            ".then((body) => body.tasks)"
        )
    )


def test_a_reload_keeps_answers_marks_and_their_history(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server)
    joined(visitor, "reload")
    task = visitor.painted()
    visitor.drag(LINE)
    visitor.drag([(20, 20), (100, 20)])
    visitor.drag([(20, 200), (100, 200)])
    press(visitor, "Control+z", "1", "Shift+Digit3", "p")
    for point in [(200, 20), (300, 30), (280, 90)]:
        visitor.page.mouse.click(*visitor.at(*point))
    before = visitor.shapes()
    settled(lambda: begun(visitor))
    visitor.page.reload()
    assert visitor.painted() == task
    assert visitor.shapes() == before
    assert visitor.page.is_checked("input[name=answer][value=real]")
    assert visitor.page.is_checked("input[name=sure][value='3']")
    assert visitor.page.evaluate("salign.work.clock.now") > 300  # the time before the reload counts
    press(visitor, "f")  # the polygon that was begun is finished
    assert [shape["kind"] for shape in visitor.shapes()] == ["stroke", "stroke", "polygon"]
    press(visitor, "Control+z", "Control+z", "Control+z")
    assert visitor.shapes() == []
    press(visitor, *["Control+Shift+z"] * 3)
    assert len(visitor.shapes()) == 3


def test_a_closed_tab_is_taken_up_again(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server)
    joined(visitor, "closed")
    task = visitor.painted()
    visitor.drag(LINE)
    press(visitor, "2")
    marks = visitor.shapes()
    visitor.page.close(run_before_unload=False)
    visitor.page = visitor.context.new_page()
    visitor.page.goto(server.url)  # known by its token: straight to the image
    assert visitor.painted() == task
    assert visitor.shapes() == marks
    assert visitor.page.is_checked("input[name=answer][value=fake]")


def test_offline_work_is_sent_once_when_the_network_is_back(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server)
    joined(visitor, "offline")
    page = visitor.page
    page.wait_for_function("() => navigator.serviceWorker.ready.then((worker) => worker.active.state === 'activated')")
    stored = revisions(server)
    visitor.drag(LINE)
    press(visitor, "1", "Shift+Digit5")
    prefetched(visitor)
    second = page.evaluate("salign.tasks.next.id")
    visitor.context.set_offline(True)
    assert visitor.next(lambda: press(visitor, "Enter")) == second  # prefetched: it needs no network
    page.wait_for_function("() => document.querySelector('#status').textContent === '1 waiting'")
    visitor.drag(LINE)
    press(visitor, "2", "Shift+Digit1")
    marks = visitor.shapes()

    page.reload()  # without a network: the service worker has the page, the browser the image and the draft
    assert visitor.painted() == second
    assert visitor.shapes() == marks
    press(visitor, "Enter")
    page.wait_for_selector("#pause:not([hidden])")
    assert page.inner_text("#pause-title") == "No network"
    assert page.inner_text("#status").endswith("2 waiting")
    assert revisions(server) == stored

    visitor.context.set_offline(False)
    page.wait_for_function("() => salign.work.active")  # goes on by itself
    visitor.sent()
    assert page.inner_text("#status").endswith("Saved")
    assert [task["answer"] for task in answered(visitor)] == ["real", "fake"]
    assert revisions(server) == stored + 2


def test_a_save_whose_reply_is_lost_is_stored_once(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server)
    joined(visitor, "lost reply")
    stored, keys = revisions(server), []

    def swallow(route: Any) -> None:
        keys.append(route.request.url)
        if len(keys) < 3:
            route.fetch()  # it reaches the server, and its reply never the page
            route.abort()
        else:
            route.continue_()

    visitor.page.route("**/api/annotations/*", swallow)
    visitor.drag(LINE)
    press(visitor, "1", "Shift+Digit5")
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert revisions(server) == stored + 1
    visitor.faults[:] = [fault for fault in visitor.faults if "net::ERR_FAILED" not in fault]


def test_a_server_that_dies_and_comes_back_gets_what_waited(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server)
    joined(visitor, "server gone")
    stored = revisions(server)
    prefetched(visitor)
    port = server.url.rsplit(":", 1)[1]
    server.process.kill()
    server.process.wait()
    visitor.drag(LINE)
    press(visitor, "2", "Shift+Digit2")
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.page.wait_for_function("() => document.querySelector('#status').textContent === '1 waiting'")
    server.start(port)
    visitor.sent()
    assert revisions(server) == stored + 1


def test_going_back_changes_what_was_saved(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server)
    joined(visitor, "back")
    first = visitor.painted()
    visitor.drag(LINE)
    press(visitor, "1", "Shift+Digit5")
    visitor.next(lambda: press(visitor, "Enter"))
    assert visitor.next(lambda: press(visitor, "g")) == first
    assert visitor.page.is_visible("#returning")
    assert len(visitor.shapes()) == 1, visitor.page.evaluate("JSON.stringify(salign.work.task)")
    visitor.drag([(20, 200), (100, 200)])
    press(visitor, "2")
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    assert [(task["answer"], task["revision"]) for task in answered(visitor)] == [("fake", 2)]
    visitor.page.click("#earlier-open")
    visitor.page.wait_for_selector("#earlier[open]")
    assert "1: fake" in visitor.page.inner_text("#earlier-list")
    alpha = "document.querySelector('#earlier-list canvas').getContext('2d').getImageData(80, 80, 1, 1).data[3]"
    visitor.page.wait_for_function(f"() => {alpha} === 255")
    assert visitor.next(lambda: visitor.page.click("#earlier-list button")) == first
    assert len(visitor.shapes()) == 2


SLOW_TO_OPEN = """() => {
    const { tasks, queue } = salign, earlier = tasks.earlier.bind(tasks);
    tasks.earlier = async (id) => {
        const task = await earlier(id);
        globalThis.fetched = true;
        while (queue.entries.length) await new Promise((go) => setTimeout(go, 10));
        return task;
    };
}"""


def test_going_back_while_the_save_is_on_its_way_changes_that_save(
    server: Server, visit: Callable[..., Visitor]
) -> None:
    """The image is fetched before the first save has arrived, and on the page only after."""
    visitor = visit(server)
    joined(visitor, "fast")
    held: list[Any] = []
    visitor.page.route("**/api/annotations/*", lambda route: route.continue_() if held else held.append(route))
    visitor.drag(LINE)
    press(visitor, "1", "Shift+Digit5")
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.page.evaluate(SLOW_TO_OPEN)
    press(visitor, "g")
    visitor.page.wait_for_function("() => globalThis.fetched")
    held[0].continue_()
    visitor.page.wait_for_selector("#returning:not([hidden])")
    visitor.painted()
    press(visitor, "2")
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    assert [(task["answer"], task["revision"]) for task in answered(visitor)] == [("fake", 2)]


def test_two_tabs_of_one_annotator_lose_nothing(server: Server, visit: Callable[..., Visitor]) -> None:
    """The second save of the same image is kept beside the first, and the page says so."""
    visitor = visit(server)
    joined(visitor, "two tabs")
    other = visit(server)
    joined(other, "two tabs")
    assert visitor.painted() == other.painted()
    stored = revisions(server)
    for one, answer in ((visitor, "1"), (other, "2")):
        one.drag(LINE)
        press(one, answer, "Shift+Digit5")
        one.next(lambda one=one: press(one, "Enter"))
        one.sent()
    other.page.wait_for_selector("#alert:has-text('kept')")
    assert revisions(server) == stored + 2
    other.faults[:] = [fault for fault in other.faults if "409" not in fault]


def test_skipping_needs_a_reason(server: Server, visit: Callable[..., Visitor]) -> None:
    visitor = visit(server)
    joined(visitor, "skips")
    press(visitor, "s")
    visitor.page.wait_for_selector("#skip-dialog[open]")
    press(visitor, "Escape")
    assert visitor.page.evaluate("salign.work.active")
    press(visitor, "s", "ArrowDown")
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    press(visitor, "s")
    visitor.page.fill("#own-reason", "<b>too dark</b>")
    visitor.next(lambda: press(visitor, "Enter"))
    visitor.sent()
    assert [task["skipped"] for task in answered(visitor)] == ["bad image", "<b>too dark</b>"]
