"""The page of an annotator, as the server sees it, for the tests of `salign.annotate`."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from salign.annotate import access
from salign.annotate.collection import Collection

BOX = {"kind": "box", "points": [[2, 3], [12, 9]]}


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

    def call(self, method: str, path: str, code: int = 200, **more: Any) -> Any:
        headers = {"X-Salign": "1", **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        headers |= more.pop("headers", {})
        reply = self.client.request(method, path, headers=headers, **more)
        assert reply.status_code == code, f"{method} {path}: {reply.status_code} {reply.text[:500]}"
        return reply.json() if "json" in reply.headers.get("content-type", "") else reply

    def tasks(self, have: list[str] | None = None) -> list[dict[str, Any]]:
        return self.call("POST", "/api/next", json={"have": have or []})["tasks"]

    def save(self, task: str, code: int = 200, key: str | None = None, **body: Any) -> Any:
        body = {"task": task, "answer": "cat", "shapes": [BOX], "elapsed_ms": 5000.0, "base": 0} | body
        return self.call("PUT", f"/api/annotations/{key or uuid.uuid4()}", code, json=body)


def owner_of(collection: Collection, page: Page) -> Page:
    """The same server as its owner calls it."""
    return Page(page.client, access.token_of(collection.secret, access.OWNER))
