"""A real Chromium, and a real `salign annotate` in a process of its own for each module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import salign.annotate
from browsing import Server, Visitor

STATIC = Path(salign.annotate.__file__).parent / "static"

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the module: `serve(images, **study)`."""
    running: list[Server] = []

    def start(fill: Callable[[Path], None], *options: str, **study: Any) -> Server:
        folder = tmp_path_factory.mktemp("study")
        fill(folder)
        running.append(Server(folder, *options, **study))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def script(browser: Any) -> Iterator[Callable[..., Any]]:
    """`script(module, function, argument)` calls a function of a file of the page: `(module, argument) => value`."""
    page = browser.new_page()
    page.route(
        "**/*", lambda route: route.fulfill(path=STATIC / urlsplit(route.request.url).path.removeprefix("/static/"))
    )
    page.route("http://page.test/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto("http://page.test/")

    def call(module: str, function: str, argument: Any = None) -> Any:
        source = f"async ([path, argument]) => ({function})(await import(path), argument)"
        return page.evaluate(source, [f"/static/{module}", argument])

    yield call
    page.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visitor]]:
    """Opens browsers for one test; at its end nothing may have gone wrong in any of them."""
    visitors: list[Visitor] = []

    def start(server: Server, **context: Any) -> Visitor:
        visitors.append(Visitor(browser, server, **context))
        return visitors[-1]

    yield start
    faults = [fault for visitor in visitors for fault in visitor.faults]
    for visitor in visitors:
        visitor.close()
    assert faults == []
