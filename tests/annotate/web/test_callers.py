"""What a hostile page, client or file tries: each is refused, and a line in the log names what was refused."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import stat
import uuid
from pathlib import Path

import pytest

from annotate_page import BOX, Page, join, owner_of, write_images
from salign.annotate import access
from salign.annotate.catalog import Catalog
from salign.annotate.opening import open_collection
from salign.annotate.web.server import STATIC
from salign.data.manifest import ManifestError
from salign.errors import SalignError

SCRIPT = '<script>alert("x")</script>'


@pytest.fixture
def refused(caplog):
    """Insist that something was refused and logged since the last look, in words that match."""
    caplog.set_level(logging.WARNING, "salign.annotate")

    def look(words: str) -> None:
        lines = [record.getMessage() for record in caplog.records]
        assert any(re.search(words, line) for line in lines), lines
        assert all("refused" in line for line in lines), lines
        caplog.clear()

    return look


@pytest.fixture
def own_page(opened, joined):
    """The page of a study that a test may change."""
    return joined(opened(), "Ann")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a study that all attacks here share, and leave as it was."""
    photos = write_images(tmp_path_factory.mktemp("attacked") / "photos")
    collection = open_collection(photos, classes=["cat", "dog"], limits={"rate": 10_000, "burst": 10_000})
    return join(collection, "Ann")


OUTSIDE = ["../study.yaml", "..%2f..%2fstudy.yaml", "%2e%2e/%2e%2e/secret", "/etc/passwd", "%2fetc%2fpasswd",
           "..\\..\\secret", "C:%5Cwindows%5Cwin.ini", "0.png", "%00", "a" * 5000, "%ff%fe"]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("place", ["/api/image/", "/api/map/", "/static/", "/static/canvas/../../", "/api/task/"])
def test_no_path_leads_out_of_the_images(page, refused, place, name):
    reply = page.call("GET", place + name, 404)
    assert "error" in reply
    assert "root:" not in json.dumps(reply)
    refused(" 404 ")


def test_source_code_is_not_served(page, refused):
    assert (STATIC.parent / "access.py").is_file()
    for path in ("/static/../access.py", "/static/%2e%2e/access.py", "/access.py", "/static/", "/static"):
        reply = page.client.get(path, follow_redirects=False)
        assert reply.status_code in (404, 405), path
    refused(" 404 ")


@pytest.fixture
def private(photos):
    """An image in a folder beside that of the study, whose name begins alike."""
    folder = photos.with_name(f"{photos.name}-private")
    folder.mkdir()
    return Path(shutil.copy(photos / "0.png", folder / "private.png"))


def test_a_link_out_of_the_folder_is_not_an_image(photos, private, tmp_path, caplog):
    (photos / "link.png").symlink_to(private)
    (photos / "folder").symlink_to(tmp_path)
    assert "link.png" not in Catalog.of_folder(photos).pictures
    assert len(Catalog.of_folder(photos).pictures) == 6
    assert "1 links that leave the folder ('link.png'); 1 links to folders ('folder')" in caplog.text


@pytest.mark.parametrize("path", ["/etc/hostname", "../photos-private/private.png", "link.png", "C:/x.png"])
def test_a_manifest_cannot_name_files_outside(photos, private, path):
    (photos / "link.png").symlink_to(private)
    (photos / "manifest.csv").write_text(f"path\n{path}\n")
    with pytest.raises(ManifestError, match=r"leaves the root|absolute"):
        open_collection(photos, classes=["a"])


def test_an_image_that_becomes_a_link_is_no_longer_served(photos, private, own_page, refused):
    names = [task["images"][0]["id"] for task in own_page.tasks()]
    for number in range(6):
        (photos / f"{number}.png").unlink()
        (photos / f"{number}.png").symlink_to(private)
    for name in names:
        own_page.call("GET", f"/api/image/{name}", 410)
        refused("leaves")


def test_scripts_in_names_are_text(tmp_path, joined, photos, caplog):
    bad = "<img src=x onerror=alert(1)>.png".replace("/", "")
    (photos / "0.png").rename(photos / bad)
    collection = open_collection(photos, classes=[SCRIPT, "b"], title=SCRIPT, question=SCRIPT)
    page = joined(collection, SCRIPT)
    for path in ("/api/study", "/api/tasks"):
        reply = page.client.get(path, headers=page.headers)
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert page.call("GET", "/api/study")["classes"] == [SCRIPT, "b"]
    for task in page.tasks():
        page.save(task["id"], answer=None, skipped=f"{SCRIPT}\n' OR 1=1; --\u202e")
    summary = owner_of(collection, page).call("GET", "/api/owner/summary")
    assert summary["annotators"][0]["name"] == SCRIPT, "stored as it was given; the page shows it as text"
    assert bad in {row["id"] for row in summary["images"]}
    for path in ("/", "/owner"):
        shown = page.client.get(path)
        assert SCRIPT not in shown.text


POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' blob: data:",
    "connect-src": "'self'", "manifest-src": "'self'", "worker-src": "'self'", "base-uri": "'none'",
    "form-action": "'none'", "frame-ancestors": "'none'",
}  # fmt: skip
"""All that the page needs, and nothing else."""
GUARDS = {
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/owner", 200), ("/static/app.js", 200), ("/api/nothing", 404), ("/nowhere", 404)]
)
def test_every_reply_carries_the_whole_policy(page, path, status):
    headers = page.headers
    for given, expected in ((headers, status), ({"Host": "evil.example", **headers}, 403)):
        reply = page.client.get(path, headers=given)
        assert reply.status_code == expected
        policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
        assert policy == POLICY
        assert {name: reply.headers.get(name) for name in GUARDS} == GUARDS
        assert not any(name.startswith("access-control") for name in reply.headers)


@pytest.mark.parametrize("name", ["", "  ", "a" * 81, "a\nb", "a\x00", "a\u202eb", None, 5, ["x"], {"x": 1}])
def test_names_are_short_and_printable(page, refused, name):
    page.call("POST", "/api/join", 400, json={"name": name})
    refused("400 name")


class TestTokens:
    @pytest.fixture
    def closed(self, opened, joined):
        collection = opened()
        person = collection.store.add_person("Ann")
        page = joined(collection, open_mode=False)
        page.token = access.token_of(collection.secret, person.id)
        return collection, page

    def test_the_link_is_enough_and_a_name_is_not(self, closed, refused):
        collection, page = closed
        assert page.call("GET", "/api/session") == {"open": False, "study": collection.store.study}
        assert page.call("GET", "/api/study")["annotator"]["name"] == "Ann"
        assert page.call("POST", "/api/join", json={"name": "Annie"})["annotator"] == {"id": 1, "name": "Annie"}
        Page(page.client).call("POST", "/api/join", 401, json={"name": "Mallory"})
        refused("401 open the link")
        assert len(collection.store.snapshot().people) == 1

    @pytest.mark.parametrize("path", ["/api/study", "/api/tasks", "/api/task/1", "/api/image/x", "/api/map/x"])
    def test_nothing_is_told_without_a_token(self, closed, refused, path):
        Page(closed[1].client).call("GET", path, 401)
        refused("401")

    @pytest.mark.parametrize("change", [
        lambda token: token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:],
        lambda token: "2." + token.partition(".")[2],
        lambda token: "owner." + token.partition(".")[2],
        lambda token: token + "A",
        lambda token: token.partition(".")[0] + ".",
        lambda token: "1",
        lambda token: "." + token.partition(".")[2],
        lambda token: "01" + token[1:],
        lambda token: "-1" + token[1:],
        lambda token: "9" * 40 + token[1:],
        lambda token: hashlib.sha256(b"1").hexdigest(),
        lambda token: "",
    ])  # fmt: skip
    def test_forged_tokens_are_refused(self, closed, refused, change):
        collection, page = closed
        forged = change(page.token)
        for path in ("/api/study", "/api/owner/summary"):
            Page(page.client, forged or " ").call("GET", path, 401)
        refused("401")
        assert access.bearer(collection.secret, forged) is None

    def test_letters_that_are_no_ascii_are_no_token(self, closed):
        assert access.bearer(closed[0].secret, "１.\ud800") is None
        assert access.bearer(closed[0].secret, "²." + closed[1].token.partition(".")[2]) is None

    def test_the_token_of_another_study_is_refused(self, closed, tmp_path, refused):
        other = access.read_secret(tmp_path / "other")
        Page(closed[1].client, access.token_of(other, 1)).call("GET", "/api/study", 401)
        refused("401")

    def test_an_annotator_is_not_the_owner(self, closed, refused):
        collection, page = closed
        page.call("GET", "/api/owner/summary", 403)
        refused("403 only the owner")
        page.call("POST", "/api/owner/export", 403, json={})
        Page(page.client).call("GET", "/api/owner/summary", 401)
        owner_of(collection, page).call("GET", "/api/owner/summary")
        owner_of(collection, page).call("POST", "/api/next", 401, json={})

    def test_tokens_are_in_no_log(self, closed, caplog):
        caplog.set_level(logging.DEBUG)
        closed[1].call("GET", "/api/owner/summary", 403)
        assert closed[1].token.partition(".")[2] not in caplog.text

    def test_the_secret_is_for_its_owner_only(self, closed):
        path = closed[0].folder / "secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        with pytest.raises(SalignError, match="chmod 600"):
            access.read_secret(path)


class TestSaves:
    def test_a_replayed_save_with_other_content_is_refused(self, own_page, refused):
        page = own_page
        task, key = page.tasks()[0]["id"], str(uuid.uuid4())
        page.save(task, key=key)
        page.save(task, 400, key=key, answer="dog")
        refused("key .* was used for another save")

    def test_the_save_of_another_annotator_cannot_be_replayed(self, opened, joined, refused):
        collection = opened(annotators_per_image=2)
        ann, eve = joined(collection, "Ann"), joined(collection, "Eve")
        task, key = ann.tasks()[0]["id"], str(uuid.uuid4())
        ann.save(task, key=key)
        eve.save(task, 404, key=key)
        refused("404")
        eve.save(task, 404)
        eve.call("GET", f"/api/task/{task}", 404)
        eve.save(eve.tasks()[0]["id"], 400, key=key)
        refused("another save")
        assert [one.body["answer"] for one in collection.store.revisions(int(task))] == ["cat"]

    @pytest.mark.parametrize("change", [
        {"answer": "cow"}, {"answer": SCRIPT}, {"answer": 5}, {"answer": None}, {"answer": ["cat"]},
        {"task": 1}, {"task": "1" * 21}, {"surprise": 1}, {"base": -1}, {"base": "0"}, {"base": 2**40}, {"base": True},
        {"elapsed_ms": -1}, {"elapsed_ms": "12"}, {"elapsed_ms": 1e300}, {"elapsed_ms": None},
        {"confidence": 0}, {"confidence": 6}, {"confidence": 2.5}, {"blank": 1}, {"blank": True}, {"side": 0},
        {"side": 2}, {"skipped": "x" * 2001}, {"started": "x" * 41}, {"version": "x" * 41}, {"review": "accept"},
        {"review": "maybe"}, {"shapes": []}, {"shapes": {}}, {"shapes": [5]}, {"shapes": [{}]},
        {"shapes": [{"kind": "circle"}]},
        {"shapes": [{**BOX, "evil": 1}]}, {"shapes": [{**BOX, "image": 1}]}, {"shapes": [{**BOX, "erase": True}]},
        {"shapes": [{**BOX, "points": [[0, 0], [1e999, 1]]}]}, {"shapes": [{**BOX, "points": [[0, 0]]}]},
        {"shapes": [{"kind": "fixation", "points": [[1, 1]], "duration": 5}]},
        {"shapes": [BOX] * 5001}, {"shapes": [{"kind": "polygon", "points": [[0, 0]] * 100_001}]},
    ])  # fmt: skip
    def test_bodies_that_are_not_right_are_refused_in_a_sentence(self, page, refused, change):
        task = page.tasks()[0]["id"]
        content = json.dumps({"task": task, "answer": "cat", "shapes": [BOX], "elapsed_ms": 1.0, "base": 0} | change)
        reply = page.call("PUT", f"/api/annotations/{uuid.uuid4()}", 400, content=content)
        assert 5 < len(reply["error"]) <= 500
        refused("400")
        assert page.call("GET", "/api/tasks")["tasks"] == []

    @pytest.mark.parametrize("content", [
        b"", b"null", b"[]", b"5", b'"x"', b"{", b"\xff\xfe", b'{"task": "\\ud800"}', b"[" * 100_000, b"9" * 10_000,
        b'{"task":"1","elapsed_ms":NaN,"base":0}', b'{"task":"1","elapsed_ms":Infinity,"base":0}',
    ])  # fmt: skip
    def test_what_is_no_annotation_is_refused(self, page, refused, content):
        page.call("PUT", f"/api/annotations/{uuid.uuid4()}", 400, content=content)
        refused("400")

    @pytest.mark.parametrize("key", ["x", "1", "null", "g" * 36])
    def test_a_key_is_a_uuid(self, page, refused, key):
        page.save(page.tasks()[0]["id"], 400, key=key)
        refused("UUID")

    @pytest.mark.parametrize("body", [[], {"have": "1"}, {"have": [1]}, {"have": ["1"] * 101}, 5])
    def test_what_is_held_is_a_list_of_ids(self, page, refused, body):
        page.call("POST", "/api/next", 400, json=body)
        refused("400 have")

    def test_an_oversized_body_is_refused_before_it_is_read(self, opened, joined, refused):
        page = joined(opened(limits={"body": 10_000}), "Ann")
        task = page.tasks()[0]["id"]
        many = [BOX] * 400
        page.save(task, 413, shapes=many)
        refused("413 the request is larger than 10000 bytes")
        content = json.dumps({"task": task, "shapes": many}).encode()
        page.call("PUT", f"/api/annotations/{uuid.uuid4()}", 413, content=iter([content[:9000], content[9000:]]))
        refused("413")
        page.call("PUT", f"/api/annotations/{uuid.uuid4()}", 413, content=b"", headers={"Content-Length": "-5"})
        refused("413")


class TestOtherPages:
    @pytest.mark.parametrize("host", [
        "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.5", "", "a b", "evil.example:8765",
        "[::2]", "localhost@evil", "localhost:x",
    ])  # fmt: skip
    def test_a_foreign_host_is_refused(self, page, refused, host):
        for path in ("/", "/api/session", "/static/app.js"):
            page.call("GET", path, 403, headers={"host": host})
        refused("403 this server does not answer to the name")

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:80", "LOCALHOST:1"])
    def test_names_of_this_machine_are_answered(self, page, host):
        page.call("GET", "/api/session", headers={"host": host})

    def test_with_a_host_of_its_own_a_server_answers_to_addresses_and_known_names(self, opened, joined, refused):
        page = joined(opened(hosts=["lab.example"]), open_mode=False, names=["box7"])
        for host in ("lab.example", "box7:80", "192.168.1.4:8765", "[fe80::1]"):
            page.call("GET", "/api/session", headers={"host": host})
        page.call("GET", "/api/session", headers={"host": "lab.example", "origin": "https://lab.example"})
        page.call("GET", "/api/session", 403, headers={"host": "evil.example"})
        refused("403")

    @pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
    def test_a_proxy_does_not_open_the_server_to_others(self, opened, joined, page, refused, name):
        """A proxy that asks as 127.0.0.1 would make the whole world local."""
        page.call("GET", "/api/session", 403, headers={name: "203.0.113.9"})
        refused("403 .* --public")
        closed = joined(opened(), open_mode=False)
        closed.call("GET", "/api/session", headers={name: "203.0.113.9"})

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://", ""])
    def test_a_foreign_origin_is_refused(self, page, refused, origin):
        page.call("POST", "/api/join", 403, json={"name": "Eve"}, headers={"origin": origin})
        refused("403 a page of another site")

    def test_the_own_origin_is_not(self, page):
        page.call("POST", "/api/join", json={"name": "Ann"}, headers={"origin": "http://localhost"})

    def test_a_form_of_another_page_lacks_the_header(self, page, refused):
        reply = page.client.post("/api/join", data={"name": "Eve"})
        assert reply.status_code == 403
        refused("X-Salign")

    def test_no_other_page_is_let_in_by_cors(self, page):
        asked = {"origin": "https://evil.example", "access-control-request-method": "PUT"}
        reply = page.client.options("/api/next", headers=asked)
        assert reply.status_code == 403
        assert not any(name.startswith("access-control") for name in reply.headers)


def test_without_a_token_little_can_be_sent_and_other_tokens_do_not_help(opened, joined, refused):
    page = joined(opened(limits={"rate": 1, "burst": 5}))
    page.call("POST", "/api/join", 413, json={"name": "a" * 10_001})
    refused("413")
    for number in range(4):
        Page(page.client, f"1.forged{number}").call("GET", "/api/study", 401)
    Page(page.client, "1.forged5").call("GET", "/api/study", 429)
    refused("429")


def test_too_many_requests_wait(opened, joined, refused):
    collection = opened(limits={"rate": 1, "burst": 5})
    page = joined(collection, "Ann")
    for _ in range(5):
        page.call("GET", "/api/study")
    reply = page.client.get("/api/study", headers=page.headers)
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) >= 1
    refused("429 too many requests")
    owner_of(collection, page).call("GET", "/api/owner/summary"), "another caller is not held up"


def test_failures_tell_nothing(page, monkeypatch, caplog):
    monkeypatch.setattr("salign.annotate.collection.Collection.next_tasks", lambda *_: 1 / 0)
    reply = page.call("POST", "/api/next", 500, json={})
    assert reply == {"error": "the server failed; what was not acknowledged is not stored"}
    assert "ZeroDivisionError" in caplog.text
