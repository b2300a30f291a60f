"""The page of an annotator, as the server sees it, for the tests of `salign.annotate`."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from processes import Program, write_to
from salign.annotate import access
from salign.annotate.collection import Collection
from salign.annotate.opening import open_collection
from salign.annotate.web.run import run
from salign.annotate.web.server import create_app
from salign.web.listen import Address, listen

BOX = {"kind": "box", "points": [[2, 3], [12, 9]]}
STROKE = {"kind": "stroke", "points": [[30, 20]], "radii": [4], "times": [12]}


def box(x0: float, y0: float, x1: float, y1: float, **more: Any) -> dict[str, Any]:
    return {"kind": "box", "points": [[x0, y0], [x1, y1]], **more}


def mask(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (30, 40)) -> np.ndarray:
    """(H, W) zeros, and ones inside of the boxes."""
    painted = np.zeros(size, dtype=np.float32)
    for x0, y0, x1, y1 in boxes:
        painted[y0:y1, x0:x1] = 1
    return painted


def write_images(folder: Path, count: int = 6, size: tuple[int, int] = (30, 40)) -> Path:
    """PNG pictures 0.png, 1.png, ... of (H, W) random pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


class Page:
    """What the page of one annotator (or owner) sends."""

    def __init__(self, client: TestClient, token: str | None = None) -> None:
        self.client, self.token = client, token

    @property
    def headers(self) -> dict[str, str]:
        """What stands in every request."""
        study = self.client.app.state.collection.store.study  # type: ignore[attr-defined]
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"X-Salign": "1", "X-Salign-Study": study, **token}

    def call(self, method: str, path: str, code: int = 200, **more: Any) -> Any:
        headers = self.headers | more.pop("headers", {})
        reply = self.client.request(method, path, headers=headers, **more)
        assert reply.status_code == code, f"{method} {path}: {reply.status_code} {reply.text[:500]}"
        return reply.json() if "json" in reply.headers.get("content-type", "") else reply

    def tasks(self, have: list[str] | None = None) -> list[dict[str, Any]]:
        return self.call("POST", "/api/next", json={"have": have or []})["tasks"]

    def save(self, task: str, code: int = 200, key: str | None = None, **body: Any) -> Any:
        body = {"task": task, "answer": "cat", "shapes": [BOX], "elapsed_ms": 5000.0, "base": 0} | body
        return self.call("PUT", f"/api/annotations/{key or uuid.uuid4()}", code, json=body)


def join(collection: Collection, name: str | None = None, **server: Any) -> Page:
    """The page of an annotator of that name; without a name, of nobody."""
    app = create_app(collection, **server)
    page = Page(TestClient(app, base_url="http://localhost", raise_server_exceptions=False))
    if name is not None:
        page.token = page.call("POST", "/api/join", json={"name": name})["token"]
    return page


def owner_of(collection: Collection, page: Page) -> Page:
    """The same server as its owner calls it."""
    return Page(page.client, access.token_of(collection.secret, access.OWNER))


class Running:
    """A real `salign annotate` in a process of its own."""

    def __init__(self, *arguments: object) -> None:
        """Start it with these arguments and wait until it says where it is."""
        self.process = Program("annotate", *arguments, "--no-open")
        self.annotation = self.process.said_until("Ctrl-C")
        links = [line.partition(": ") for line in self.annotation]
        self.links = {who: address for who, _, address in links if address.startswith("http")}
        self.port = urlsplit(next(iter(self.links.values()))).port

    def stderr(self) -> str:
        return self.process.err.read_text()

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C; the exit code, and what is printed after it started."""
        self.process.send_signal(signal.SIGINT)
        printed, _ = self.process.communicate(20)
        return self.process.wait(), "".join(printed.splitlines(keepends=True)[len(self.annotation) :])


def serve(folder: Path, url: str | None, port: int, files: int | None = None, log: Path | None = None) -> None:
    """Serve a study in this process until it is killed: what `Running` does, without the seconds to import.

    With `files` the process may have no more files open than that; with `log` what it prints is written there.
    """
    if log is not None:
        write_to(log, log)
    if files is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    collection = open_collection(folder, url=url)
    run(collection, listen("127.0.0.1", port), Address())


def all_tasks(page: Page) -> Iterator[dict[str, Any]]:
    """Each task of the page, until none is left; whoever takes one has to answer it."""
    while tasks := page.tasks():
        yield from tasks[:1]


def unit_of(collection: Collection, task: dict[str, Any]) -> Any:
    """The images that a task shows."""
    number = int(task["id"])
    found = collection.store.task(number, 1) or collection.store.task(number, 2)
    assert found is not None
    return found.unit
