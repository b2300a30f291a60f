"""What a clumsy owner does, and what two studies, broken files and lost databases come to, without a browser."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from annotate_page import BOX, owner_of, write_images
from command import salign
from salign.annotate.opening import open_collection
from salign.annotate.store import Store
from salign.annotate.web.server import create_app
from salign.errors import SalignError


class TestTwoStudies:
    def test_each_has_a_name_of_its_own_that_stays(self, opened, photos, tmp_path):
        first = opened().store.study
        assert len(first) == 32
        assert opened().store.study == first
        assert open_collection(photos, out=tmp_path / "other", classes=["cat"]).store.study != first

    def test_an_old_database_gets_a_name_once(self, opened):
        collection = opened()
        collection.store.close()
        with sqlite3.connect(collection.folder / "annotations.db") as store:
            store.execute("delete from about where key = 'study'")
        named = opened().store.study
        assert (len(named), opened().store.study) == (32, named)

    @pytest.mark.parametrize("said", [None, "0" * 32, ""])
    def test_what_is_of_another_study_is_refused_and_not_stored(self, opened, joined, said):
        collection = opened()
        page = joined(collection, "Ann")
        task = page.tasks()[0]["id"]
        body = {"task": task, "answer": "cat", "shapes": [BOX], "elapsed_ms": 1.0, "base": 0}
        headers = {name: value for name, value in page.headers.items() if name != "X-Salign-Study"}
        headers |= {} if said is None else {"X-Salign-Study": said}
        for method, path, sent in (
            ("PUT", f"/api/annotations/{uuid.uuid4()}", body), ("POST", "/api/join", {"name": "Eve"}),
            ("POST", "/api/next", {}), ("GET", "/api/study", None), ("GET", "/api/owner/summary", None),
        ):  # fmt: skip
            reply = page.client.request(method, path, headers=headers, json=sent)
            assert reply.status_code == 421, path
            assert "another study" in reply.json()["error"]
        assert not collection.store.anything()
        assert len(collection.store.snapshot().people) == 1

    def test_with_a_copied_secret_pictures_have_other_names(self, opened, joined, photos, tmp_path):
        """Else the browser would show the other study's picture out of its cache."""
        first = opened()
        (tmp_path / "copy").mkdir()
        shutil.copy(first.folder / "secret", tmp_path / "copy" / "secret")
        second = open_collection(photos, out=tmp_path / "copy", classes=["cat", "dog"])
        assert second.secret == first.secret
        assert not set(first._shown) & set(second._shown)

    def test_after_a_backup_is_back_a_save_goes_to_no_other_image(self, opened, joined, tmp_path):
        collection = opened()
        page = joined(collection, "Ann")
        collection.store.close()
        backup = tmp_path / "backup.db"
        shutil.copy(collection.folder / "annotations.db", backup)
        later = opened()
        task = joined(later, "Ann").tasks()[0]["id"]
        later.store.close()
        shutil.copy(backup, collection.folder / "annotations.db")
        restored = opened()
        page = joined(restored, "Ann")
        assert task not in {one["id"] for one in page.tasks()}
        page.save(task, 404)

    def test_without_consent_nothing_is_handed_out(self, opened, joined):
        page = joined(opened(consent="I agree."), "Ann")
        page.call("POST", "/api/next", 403, json={})
        assert page.call("GET", "/api/study")["consented"] is False
        page.call("POST", "/api/join", json={"name": "Ann", "consent": True})
        assert page.call("GET", "/api/study")["consented"] is True
        assert len(page.tasks()) == 2

    def test_replies_are_kept_by_no_cache(self, opened, joined):
        page = joined(opened(), "Ann")
        assert page.client.get("/api/study", headers=page.headers).headers["cache-control"] == "no-store"
        assert page.client.get("/static/app.js").headers["cache-control"] == "no-cache"


class TestBrokenImages:
    @pytest.mark.parametrize("harm", ["empty", "gone", "link", "text"])
    def test_an_annotator_goes_on_and_the_owner_is_told_once(self, opened, joined, photos, tmp_path, caplog, harm):
        collection = opened()
        page = joined(collection, "Ann")
        for number in range(5):
            file = photos / f"{number}.png"
            file.unlink()
            if harm == "link":
                (tmp_path / "x.png").write_bytes((photos / "5.png").read_bytes())
                file.symlink_to(tmp_path / "x.png")
            elif harm != "gone":
                file.write_bytes(b"" if harm == "empty" else b"no picture")
        caplog.clear()
        for _ in range(2):
            reply = page.call("POST", "/api/next", json={})
        (task,) = reply["tasks"]
        assert reply["progress"] == {"done": 0, "total": 1}
        page.save(task["id"])
        assert page.call("POST", "/api/next", json={})["finished"] is True
        assert sum("not shown" in one.getMessage() for one in caplog.records) == 5
        found = owner_of(collection, page).call("GET", "/api/owner/summary")
        assert [one["path"] for one in found["broken"]] == [f"{n}.png" for n in range(5)]
        assert str(photos) not in str(found)
        assert found["coverage"]["images"] == 1

    def test_what_is_mended_comes_back(self, opened, joined, photos):
        collection = opened()
        kept = (photos / "0.png").read_bytes()
        (photos / "0.png").write_bytes(b"")
        assert collection.broken.look().keys() == {"0.png"}
        assert collection.broken.units() == {"0.png"}
        (photos / "0.png").write_bytes(kept)
        assert collection.broken.units() == set()

    def test_a_machine_in_trouble_makes_no_image_broken(self, opened, photos):
        broken = opened().broken

        def fails(_):
            raise OSError(24, "Too many open files")

        with pytest.raises(OSError, match="Too many"):
            broken.show("0.png", fails)
        assert broken.units() == set()

    def test_where_nothing_can_be_shown_that_is_said_at_the_start(self, opened, photos):
        collection = opened()
        for file in photos.glob("*.png"):
            file.write_bytes(b"")
        with pytest.raises(SalignError, match="nothing can be shown"):
            collection.broken.look()


class TestOptions:
    @pytest.mark.parametrize("options", [
        ("--mode", "pairs"), ("--mode", "assisted"), ("--mode", "review"), ("--class", "a", "--class", "a"),
        ("--annotators-per-image", "0"), ("--public", "nonsense"), ("--port", "70000"), ("--port", "-1"),
        ("--host", "no.such.host.invalid"), ("--annotator", ""), ("--annotator", "a\nb"), ("--db", "nonsense"),
        ("--db", "mysql://ann:secret@localhost/x"), ("--config", "none.yaml"),
    ])  # fmt: skip
    def test_a_mistaken_one_leaves_no_study_behind(self, photos, options):
        said = salign("annotate", photos, "--class", "cat", "--no-open", "--port", "0", *options, code=2)
        assert "Traceback" not in said.err
        assert "secret" not in said.err
        assert not (photos / "annotations" / "study.yaml").exists()
        assert open_collection(photos, classes=["cat"]).study.mode == "single", "the next start is as if nothing was"

    def test_a_mistaken_one_changes_no_study(self, opened, photos):
        before = (opened().folder / "study.yaml").read_text()
        with pytest.raises(SalignError):
            open_collection(photos, mode="assisted", classes=["x", "y"])
        assert (photos / "annotations" / "study.yaml").read_text() == before
        assert yaml.safe_load(before)["mode"] == "single"

    def test_pictures_in_the_folder_of_the_study_are_none_of_it(self, photos):
        write_images(photos / "out", 2)
        collection = open_collection(photos, out=photos / "out", classes=["cat"])
        assert set(collection.units) == {f"{n}.png" for n in range(6)}


@pytest.mark.parametrize("name", ["what?", "50%25", "50%", "a#b", "a b", "?x=1&y", "größe☃", "sqlite:"])
def test_a_folder_of_any_name_holds_its_own_database(tmp_path, name):
    folder = write_images(tmp_path / name / "photos", 2)
    collection = open_collection(folder, classes=["cat"])
    collection.store.add_person("Ann")
    collection.store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    with sqlite3.connect(folder / "annotations" / "annotations.db") as store:
        assert store.execute("select name from annotators").fetchall() == [("Ann",)]


def test_answers_that_an_earlier_salign_kept_elsewhere_are_named(tmp_path):
    folder = write_images(tmp_path / "what?" / "photos", 2)
    Store(tmp_path / "what").close()
    with pytest.raises(SalignError, match="an earlier salign kept answers here"):
        open_collection(folder, classes=["cat"])


class TestLostDatabase:
    @pytest.mark.parametrize("harm", ["deleted", "moved", "replaced", "log deleted", "folder deleted"])
    def test_nothing_is_acknowledged_and_everybody_is_told(self, opened, joined, caplog, harm):
        collection = opened()
        page = joined(collection, "Ann")
        task = page.tasks()[0]["id"]
        path = collection.folder / "annotations.db"
        if harm == "moved":
            path.rename(path.with_name("x.db"))
        elif harm == "replaced":
            Store(path.with_name("new.db")).close()
            path.with_name("new.db").replace(path)
        elif harm == "folder deleted":
            shutil.rmtree(collection.folder)
        else:
            (path if harm == "deleted" else path.with_name("annotations.db-wal")).unlink()
        caplog.clear()
        for _ in range(2):
            told = page.save(task, 503)["error"]
        assert "kept in this browser" in told
        assert str(collection.folder) not in told
        owner_of(collection, page).call("GET", "/api/owner/summary", 503)
        if harm in ("deleted", "moved", "folder deleted"):
            assert not path.exists(), "no empty one is made in its place"
        if harm == "moved":
            path.with_name("x.db").rename(path)
            assert page.save(task)["stored"] is True
            collection.store.close()
            assert len(opened().store.revisions(int(task))) == 1


class TestFloods:
    @pytest.mark.parametrize("spell", [
        "Bearer {}", "Bearer   {}", "bearer {}", " BEARER {} ", "Bearer \t{}", "Bearer {}  ",
    ])  # fmt: skip
    def test_one_token_has_one_rate_however_it_is_written(self, opened, joined, spell):
        page = joined(opened(limits={"rate": 0.01, "burst": 3}), "Ann")
        for _ in range(3):
            page.call("GET", "/api/study")
        page.call("GET", "/api/study", 429, headers={"Authorization": spell.format(page.token)})

    def test_a_header_that_counts_comes_once(self, opened, joined):
        page = joined(opened(), "Ann")
        twice = [*page.headers.items(), ("Authorization", "Bearer 1.x")]
        assert page.client.get("/api/study", headers=twice).status_code == 400

    def test_summaries_and_exports_take_no_thread_from_the_saves(self, opened, joined, monkeypatch):
        """Sixty are asked for while one is made: a save does not wait for any of them."""
        collection = opened()
        page = joined(collection, "Ann")
        task = page.tasks()[0]["id"]
        go, made = threading.Event(), []
        slow = lambda self: (made.append(1), go.wait(20), {})[2]  # noqa: E731
        monkeypatch.setattr("salign.annotate.web.owner.Summary.get", slow)
        app = create_app(collection)

        async def all_at_once():
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=page.headers) as one:
                asked = [asyncio.create_task(one.get("/api/owner/summary")) for _ in range(50)]
                while not made:
                    await asyncio.sleep(0.01)
                body = {"task": task, "answer": "cat", "shapes": [BOX], "elapsed_ms": 1.0, "base": 0}
                saved = await asyncio.wait_for(one.put(f"/api/annotations/{uuid.uuid4()}", json=body), 15)
                waiting = sum(not one.done() for one in asked)
                go.set()
                await asyncio.gather(*asked)
                return saved.json(), waiting

        with ThreadPoolExecutor(1) as thread:  # a browser of another test may run the loop of this one
            saved, waiting = thread.submit(asyncio.run, all_at_once()).result()
        assert saved["stored"] is True
        assert waiting == 50


def test_a_name_is_the_same_however_its_letters_are_composed(opened, joined):
    collection = opened()
    assert joined(collection, "Jose\u0301").token == joined(collection, "Jos\u00e9").token
    assert len(collection.store.snapshot().people) == 1
