"""Two studies, one port, one browser: nothing of one is shown, sent or stored for the other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browsing import Server, Visitor, pictures, settled

pytestmark = pytest.mark.slow

LINE = [(60.0, 60.0), (160.0, 90.0), (240.0, 180.0)]


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Begins the study of a name, or goes on with it; the one that ran before is stopped, and its port taken over."""
    running: dict[str, Server] = {}
    now: list[Server] = []

    def begin(name: str, **study: Any) -> Server:
        port = now[-1].url.rsplit(":", 1)[1] if now else "0"
        if now:
            now[-1].process.terminate()
            now[-1].process.wait(10)
        if name in running:
            running[name].start(port)
        else:
            (tmp_path / name).mkdir()
            pictures(5, (120, 160) if name == "a" else (200, 160))(tmp_path / name)
            running[name] = Server(tmp_path / name, port=port, **study)
        now.append(running[name])
        return running[name]

    yield begin
    now[-1].stop()


def stored(server: Server) -> list[tuple[str, str, str]]:
    """Annotator, unit and body of every save."""
    with sqlite3.connect(f"file:{server.folder}/annotations/annotations.db?mode=ro", uri=True) as store:
        joined = "revisions join tasks on task = tasks.id join annotators on annotator = annotators.id"
        return list(store.execute(f"select name, unit, body from {joined}"))


def size(visitor: Visitor) -> tuple[int, int]:
    return tuple(visitor.page.evaluate("(({height, width}) => [height, width])(salign.work.task.images[0])"))


def answer(visitor: Visitor, key: str) -> None:
    visitor.drag(LINE[:2])
    visitor.page.keyboard.press(key)
    visitor.page.keyboard.press("Enter")


def test_one_browser_at_two_studies(start: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    a = start("a", classes=["real", "fake"])
    visitor = visit(a)
    page = visitor.join("Ann")
    visitor.next(lambda: answer(visitor, "1"))
    visitor.sent()
    draft = visitor.painted()
    visitor.drag(LINE[:2])
    page.wait_for_function("() => salign.tasks.held.length > 1")
    assert size(visitor) == (120, 160)
    a.process.terminate()
    a.process.wait(10)
    page.keyboard.press("2")
    visitor.next(lambda: page.keyboard.press("Enter"))  # kept in the browser: A is gone
    visitor.drag([(20, 20), (100, 20)])
    kept = visitor.shapes()
    waiting = visitor.page.evaluate("salign.work.task.id")
    assert waiting != draft

    b = start("b", classes=["round", "square"], consent="I agree.")
    page.wait_for_selector("#pause-title:has-text('Another study is here now')", timeout=40_000)
    assert stored(b) == []
    page.click("#again")
    page.fill("#name", "Ben")
    page.click("#join-form button")
    page.wait_for_selector("#agree:visible")
    page.check("#agree")
    page.click("#welcome-form button.primary")
    visitor.painted()
    assert size(visitor) == (200, 160), "B's own picture"
    assert visitor.shapes() == []
    answer(visitor, "1")
    visitor.sent()
    ((who, _, body),) = stored(b)
    assert who == "Ben"
    assert '"answer": "round"' in body
    with sqlite3.connect(b.folder / "annotations" / "annotations.db") as store:
        assert store.execute("select count(*) from annotators where consented is not null").fetchone() == (1,)

    start("a")
    page.goto(a.url)
    assert visitor.painted() == waiting, "A goes on where it stopped, without asking who it is"
    assert visitor.shapes() == kept
    settled(lambda: len(stored(a)) == 2)
    assert [who for who, _, _ in stored(a)] == ["Ann", "Ann"]
    assert ['"answer": "real"' in body or '"answer": "fake"' in body for _, _, body in stored(a)] == [True, True]
    assert len(stored(b)) == 1
    expected = ("421", "ERR_CONNECTION", "ERR_EMPTY_RESPONSE")
    visitor.faults[:] = [fault for fault in visitor.faults if not any(word in fault for word in expected)]


def test_a_save_with_an_old_link_holds_up_nobody(start: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    """Somebody else's unsent save, whose link is not valid any more, waits; it can be given up."""
    server = start("a", classes=["real", "fake"], annotators_per_image=2)
    visitor = visit(server)
    page = visitor.join("Ann")
    page.evaluate(
        "salign.queue.add({key: crypto.randomUUID(), who: 99, token: '99.old', body: {task: '1', base: 0, shapes: []}})"
    )
    visitor.next(lambda: answer(visitor, "1"))
    page.wait_for_function("() => salign.queue.entries.length === 1")
    assert len(stored(server)) == 1
    page.wait_for_selector("#status:has-text('1 not sent')")
    page.click("#status")
    page.click("#outbox-list button:has-text('Give up')")
    page.wait_for_selector("#status:has-text('Saved')")
    visitor.faults[:] = [fault for fault in visitor.faults if "401" not in fault]


def test_a_picture_that_cannot_be_shown_stops_nobody(
    start: Callable[..., Server], visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    """Its header is sound, its pixels are not: only showing it tells. The page goes on, the owner is told."""
    server = start("a", classes=["real", "fake"])
    for number in range(4):
        file = tmp_path / "a" / f"{number:02d}.png"
        file.write_bytes(file.read_bytes()[:200])
    visitor = visit(server)
    page = visitor.join("Ann")
    answer(visitor, "1")
    page.wait_for_selector("#pause-title:has-text('All done')")
    visitor.sent()
    assert [unit for _, unit, _ in stored(server)] == ["04.png"]
    page.goto(f"{server.url}/owner")
    page.wait_for_selector("#doubts-list:has-text('00.png cannot be shown')")
    assert str(tmp_path) not in page.inner_text("body")
    visitor.faults[:] = [fault for fault in visitor.faults if "410" not in fault]


def test_a_message_does_not_stay_over_the_header(start: Callable[..., Server], visit: Callable[..., Visitor]) -> None:
    visitor = visit(start("a", classes=["real", "fake"]))
    page = visitor.join("Ann")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    assert "Mark" in page.inner_text("#alert") or "mark" in page.inner_text("#alert")
    visitor.drag(LINE[:2])
    assert page.inner_text("#alert") == ""


def test_a_database_that_is_gone_stores_nothing_and_the_page_says_so(
    start: Callable[..., Server], visit: Callable[..., Visitor]
) -> None:
    server = start("a", classes=["real", "fake"])
    visitor = visit(server)
    page = visitor.join("Ann")
    page.wait_for_function("() => salign.tasks.held.length > 1")
    database = server.folder / "annotations" / "annotations.db"
    database.rename(database.with_name("elsewhere.db"))
    visitor.next(lambda: answer(visitor, "1"))
    page.wait_for_selector("#alert:has-text('database is not where it was')")
    assert page.inner_text("#status").endswith("1 waiting")
    assert not database.exists()
    database.with_name("elsewhere.db").rename(database)
    visitor.sent()
    assert len(stored(server)) == 1
    visitor.faults[:] = [fault for fault in visitor.faults if "503" not in fault]
