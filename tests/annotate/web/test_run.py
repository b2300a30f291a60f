"""The real server: its command, clients that dawdle, and being killed twenty times while people save."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
import yaml
from PIL import Image

from annotate_page import BOX, Running, serve, write_images
from command import salign, small, written
from processes import FORKED
from salign.annotate.opening import open_collection
from salign.annotate.records import read_annotation
from salign.cli.annotate import _command
from salign.data.manifest import Manifest


def client(port: int, token: str | None = None) -> httpx.Client:
    """Asks as a page does, which learns first what study this is; waits for a server that is being started."""
    base, headers = f"http://127.0.0.1:{port}", {"X-Salign": "1"}
    for attempt in range(600):
        try:
            asked = urllib.request.Request(f"{base}/api/session", headers=headers)
            with urllib.request.urlopen(asked, timeout=20) as reply:  # a client of httpx takes long to make
                headers["X-Salign-Study"] = json.load(reply)["study"]
            break
        except OSError:
            assert attempt < 599
            time.sleep(0.05)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return httpx.Client(base_url=base, headers=headers, timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_command_serves_this_machine_stops_and_goes_on(tmp_path):
    folder = write_images(tmp_path / "photos", 3)
    server = Running(folder, "--class", "cat", "--class", "dog", "--question", "Cat?", "--port", 0)
    assert server.annotation[0] == "3 to annotate; answers: cat, dog"
    assert set(server.links) == {"owner", "annotators"}
    with client(server.port) as page:
        assert page.get("/").status_code == 200
        token = page.post("/api/join", json={"name": "Ann"}).json()["token"]
    with client(server.port, token) as page:
        (task, _) = page.post("/api/next", json={}).json()["tasks"]
        body = {"task": task["id"], "answer": "cat", "shapes": [BOX], "elapsed_ms": 900, "base": 0}
        assert page.put(f"/api/annotations/{uuid.uuid4()}", json=body).json()["stored"] is True
        assert page.get("/api/owner/summary").json()["coverage"]["answered"] == 1
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", server.port), 1)  # a server on all addresses would answer
    code, last = server.stop()
    assert code == 0
    assert last.startswith(f"stopped. Next: salign annotate {folder} --merge puts the marks into the images' manifest")
    again = Running(folder, "--port", server.port)
    with client(again.port, token) as page:
        assert page.get("/api/study").json()["question"] == "Cat?"
        assert [row["answer"] for row in page.get("/api/tasks").json()["tasks"]] == ["cat"]
    taken = salign("annotate", folder, "--port", server.port, "--no-open", code=2)
    assert "give another --port" in taken.err
    again.stop()
    out = tmp_path / "export"
    printed = salign("annotate", folder, "--export", out)
    assert printed.last.startswith(f"wrote 1 answers to {out}; 1 of its 1 images were marked. Next: `salign data check")
    salign("data", "check", out / "manifest.csv", "--root", tmp_path)


def test_what_opens_a_study_again_names_where_it_lies_and_no_password():
    options = {"--manifest": Path("a b/m.csv"), "--out": Path("review"), "--db": None}
    assert _command(Path("photos"), options) == "salign annotate photos --manifest 'a b/m.csv' --out review"


@pytest.mark.slow
def test_with_a_host_everybody_needs_a_link(tmp_path):
    folder = write_images(tmp_path / "photos", 3)
    server = Running(
        folder, "--class", "cat", "--host", "0.0.0.0", "--port", 0, "--annotator", "Ann", "--annotator", "Bob"
    )
    assert set(server.links) == {"Ann", "Bob", "owner"}
    tokens = {who: address.partition("#token=")[2] for who, address in server.links.items()}
    assert len(set(tokens.values())) == 3
    with client(server.port) as page:
        assert page.get("/").status_code == 200
        assert page.get("/api/session").json()["open"] is False
        assert page.post("/api/join", json={"name": "Eve"}).status_code == 401
        assert page.get("/api/owner/summary").status_code == 401
    with client(server.port, tokens["Ann"]) as page:
        assert page.get("/api/study").json()["annotator"]["name"] == "Ann"
        assert page.get("/api/owner/summary").status_code == 403
        assert page.get("/api/study", headers={"host": "evil.example"}).status_code == 403
    with client(server.port, tokens["owner"]) as page:
        assert [row["name"] for row in page.get("/api/owner/summary").json()["annotators"]] == ["Ann", "Bob"]
    server.stop()
    log = server.stderr()
    assert "refused: POST '/api/join' from 127.0.0.1: 401" in log
    assert not any(token.partition(".")[2] in log for token in tokens.values())


@pytest.mark.slow
def test_slow_clients_are_cut_off_while_others_are_served(tmp_path):
    folder = write_images(tmp_path / "photos", 3)
    (folder / "annotate.yaml").write_text(yaml.safe_dump({"classes": ["cat"], "limits": {"seconds": 1.0}}))
    server = Running(folder, "--port", 0)
    with client(server.port) as page:
        study = page.headers["X-Salign-Study"]
    head = f"POST /api/join HTTP/1.1\r\nHost: localhost\r\nX-Salign: 1\r\nX-Salign-Study: {study}\r\n".encode()
    beginnings = [b"", b"GET /api/session HTT", head, head + b"Content-Length: 50\r\n\r\n{"]
    slow = []
    for beginning in beginnings * 25:
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        connection.sendall(beginning)
        slow.append(connection)
    with client(server.port) as page:
        assert page.get("/api/session").status_code == 200  # or its client's time is up
    ends = [connection.recv(1000) for connection in slow]
    assert {end[:12] for end in ends} == {b"", b"HTTP/1.1 408"}
    for connection in slow:
        connection.close()
    server.stop()
    log = server.stderr()
    assert "headers took longer than 1 s" in log
    assert "408 the request took too long to arrive" in log


@pytest.mark.slow
def test_more_idle_connections_than_open_files_hold_up_nobody(tmp_path):
    """A page that was there before is served all the while, one that comes now at once; the log says it once."""
    folder, port = write_images(tmp_path / "photos", 3), free_port()
    open_collection(folder, classes=["a"]).store.close()
    server = FORKED.Process(target=serve, args=(folder, None, port, 400, tmp_path / "log"), daemon=True)
    server.start()
    idle: list[socket.socket] = []
    with client(port) as page:
        for number in range(600):
            idle.append(socket.create_connection(("127.0.0.1", port), 20))
            if number % 100 == 99:
                assert page.get("/api/session").status_code == 200
                with client(port) as other:
                    assert other.get("/").status_code == 200
    server.terminate()
    server.join()
    for connection in idle:
        connection.close()
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    assert said.count("refused: more than") == 1


class Annotator(threading.Thread):
    """Saves as the page does: the same key again until the server says that it is stored."""

    def __init__(self, name: str, port: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.who, self.port, self.stop_now = name, port, stop
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []

    def run(self) -> None:
        lot = random.Random(self.who)
        with client(self.port) as page:
            token = self._until(lambda: page.post("/api/join", json={"name": self.who}))["token"]
        with client(self.port, token) as page:
            while not self.stop_now.is_set():
                reply = self._until(lambda: page.post("/api/next", json={}))
                if reply["finished"]:
                    return
                for task in reply["tasks"]:
                    key, answer = str(uuid.uuid4()), lot.choice("ab")
                    body = {"task": task["id"], "answer": answer, "shapes": [BOX], "elapsed_ms": 1, "base": 0}
                    told = self._until(lambda: page.put(f"/api/annotations/{key}", json=body))  # noqa: B023
                    if told != {"revision": 1, "stored": True, "feedback": None}:
                        self.faults.append(str(told))
                    self.acknowledged[key] = body

    def _until(self, call: Any) -> dict[str, Any]:
        while True:
            try:
                reply = call()
                if reply.status_code == 200:
                    return dict(reply.json())
                self.faults.append(reply.text)
            except httpx.TransportError:
                pass
            time.sleep(0.02)


@pytest.mark.slow
def test_killed_twenty_times_nothing_acknowledged_is_lost_and_nothing_is_doubled(url, tmp_path):
    folder = write_images(tmp_path / "photos", 300, (4, 4))
    limits = {"rate": 10_000, "burst": 10_000}
    open_collection(folder, url=url, classes=["a", "b"], annotators_per_image=6, limits=limits).store.close()
    port, stop = free_port(), threading.Event()

    def start() -> Any:
        process = FORKED.Process(target=serve, args=(folder, url, port), daemon=True)
        process.start()
        return process

    server, lot = start(), random.Random(0)
    people = [Annotator(f"p{number}", port, stop) for number in range(6)]
    for person in people:
        person.start()

    def count() -> int:
        return sum(len(person.acknowledged) for person in people)

    for kill in range(20):
        before, waited = count(), time.monotonic()
        while count() == before:
            assert time.monotonic() - waited < 30, f"no save for 30 s before kill {kill}"
            assert any(person.is_alive() for person in people), "everything is annotated: the test needs more images"
            time.sleep(0.005)
        time.sleep(lot.uniform(0, 0.3))
        os.kill(server.pid, signal.SIGKILL)
        server.join()
        server = start()
    time.sleep(0.5)
    stop.set()
    for person in people:
        person.join(30)
        assert not person.is_alive()
        assert person.faults == []
    os.kill(server.pid, signal.SIGKILL)
    server.join()
    acknowledged = {key: body for person in people for key, body in person.acknowledged.items()}
    assert len(acknowledged) > 100
    store = open_collection(folder, url=url).store
    with store._engine.connect() as connection:
        found = connection.execute(sa.text("SELECT key, body, side, number FROM revisions")).all()
    snapshot = store.snapshot()
    store.close()
    kept = {row.key: json.loads(row.body) for row in found}
    assert len(kept) == len(found)
    assert set(kept) == set(acknowledged), "what was acknowledged is there, and nothing else"
    assert all(kept[key]["answer"] == body["answer"] for key, body in acknowledged.items())
    assert all(row.number == 1 and not row.side for row in found)
    assert len(snapshot.latest) == len(acknowledged)
    assert len({(task.unit, task.annotator) for task in snapshot.tasks}) == len(snapshot.tasks)


def labelled_images(folder: Path, count: int) -> Path:
    """Bright squares at the top ("high") or the bottom ("low") of noise."""
    folder.mkdir()
    lot = np.random.default_rng(0)
    for number in range(count):
        values = lot.integers(0, 90, (48, 48), dtype=np.uint8)
        top = 4 if number % 2 else 30
        values[top : top + 12, 10:30] = 230
        Image.fromarray(values).save(folder / f"{'high' if number % 2 else 'low'}{number}.png")
    return folder


@pytest.mark.slow
def test_what_is_exported_trains(tmp_path):
    """Two people answer and mark; the manifest of the export goes into `salign train` as it is."""
    folder = labelled_images(tmp_path / "photos", 40)
    collection = open_collection(folder, classes=["high", "low"], annotators_per_image=2)
    for name in ("Ann", "Bob"):
        person = collection.store.add_person(name)
        while tasks := collection.next_tasks(person, [])["tasks"]:
            unit = collection.task(person, tasks[0]["id"]).unit
            high = unit.startswith("high")
            box = {"kind": "box", "points": [[10, 4 if high else 30], [30, 16 if high else 42]]}
            body = {
                "task": tasks[0]["id"],
                "answer": "high" if high else "low",
                "shapes": [box],
                "elapsed_ms": 1,
                "base": 0,
            }
            collection.save(person, str(uuid.uuid4()), read_annotation(body, 100))
    collection.store.close()
    out = tmp_path / "export"
    salign("annotate", folder, "--export", out)
    manifest = Manifest.read(out / "manifest.csv", tmp_path)
    assert manifest.coverage()["share"].min() == 1
    assert manifest.classes == ("high", "low")
    for column in ("saliency", "saliency_Ann"):
        data = {"root": str(tmp_path), "test": ["test"], "classes": ["high", "low"], "groups": [], "map_column": column}
        recipe = small(out / "manifest.csv", data=data, train={"epochs": 1})
        done = salign("train", written(tmp_path / f"{column}.yaml", recipe), "--out", tmp_path / "runs", "--quiet")
        assert "wrote" in done.last
