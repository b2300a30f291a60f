"""A small study, the page of its annotators, and databases of both kinds."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annotate_page import STROKE, Page, all_tasks, box, join, unit_of, write_images
from salign.annotate.collection import Collection
from salign.annotate.opening import open_collection


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(tmp_path / "photos")


@pytest.fixture
def opened(photos: Path) -> Callable[..., Collection]:
    """Open the study of the photos with any settings; calling it again is a restart."""

    def make(**over: Any) -> Collection:
        return open_collection(photos, **{"classes": ["cat", "dog"], **over})

    return make


@pytest.fixture
def joined() -> Callable[..., Page]:
    """The page of an annotator of that name; without a name, of nobody."""
    return join


@pytest.fixture
def annotated(opened: Callable[..., Collection], joined: Callable[..., Page]) -> Collection:
    """By Ann and Bob: 0 is marked by both, 1 by Ann, 2 is blank, 3 and 5 are skipped, on 4 they disagree."""
    collection = opened(annotators_per_image=2)
    for name in ("Ann B.", "Bob"):
        page, ann = joined(collection, name), name != "Bob"
        for task in all_tasks(page):
            image = unit_of(collection, task)[0]
            if image == "0":
                page.save(
                    task["id"], shapes=[box(0, 0, 10, 10)] if ann else [box(5, 0, 15, 10), box(0, 0, 6, 30, erase=True)]
                )
            elif image == "1" and ann:
                page.save(task["id"], answer="dog", shapes=[box(1, 1, 50, 4), STROKE])
            elif image == "2" and ann:
                page.save(task["id"], shapes=[], blank=True)
            elif image == "3":
                page.save(task["id"], answer=None, shapes=[], skipped='=1+1 "quoted", <b>')
            elif image == "4":
                page.save(task["id"], answer="cat" if ann else "dog")
            else:
                page.save(task["id"], answer=None, shapes=[], skipped="not yet")
    return collection


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a real Postgres server without a database name, started for these tests and stopped after them."""
    folder = _postgres_programs()
    as_root = os.geteuid() == 0
    place = Path(tempfile.mkdtemp(prefix="salign-postgres-"))
    if as_root:  # initdb refuses to run as root
        shutil.chown(place, "postgres", "postgres")
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if as_root else []
    data = place / "data"
    subprocess.run(
        [*become, folder / "initdb", "-D", data, "-U", "salign", "-A", "trust", "--no-sync"],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["-p", str(port), "-k", str(place), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]
    with (place / "log").open("wb") as log:
        server = subprocess.Popen([*become, folder / "postgres", "-D", data, *options], stdout=log, stderr=log)
    try:
        ready = [folder / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        for _ in range(300):
            if subprocess.run(ready, capture_output=True).returncode == 0:
                break
            assert server.poll() is None, (place / "log").read_text()
            time.sleep(0.1)
        yield f"postgresql://salign@127.0.0.1:{port}/"
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
        server.wait(30)
        shutil.rmtree(place, ignore_errors=True)


def _postgres_programs() -> Path:
    def found() -> list[Path]:
        return sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))

    if not found() and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", "postgresql"], capture_output=True)
    if not found():
        pytest.skip("no Postgres here; apt-get install postgresql to run this test")
    return found()[-1].parent


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    base = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{base}postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{base}{name}"
