"""What the owner may do and nobody else: look at answers, send them back, make links and stop them."""

from __future__ import annotations

import io
import time
import uuid

import numpy as np
import pytest
from PIL import Image

from annotate_page import BOX, Page, join, owner_of, write_images
from salign.annotate import access
from salign.annotate.opening import open_collection
from salign.annotate.summary import summarise
from salign.maps.overlay import OPACITY
from salign.maps.render import heat


def without_a_token(page: Page) -> Page:
    return Page(page.client)


def by_link(page: Page, link: str) -> Page:
    """The same server as somebody calls it who was given this link."""
    return Page(page.client, link.partition("=")[2])


@pytest.fixture
def closed(opened):
    """A study that asks for links, with one annotator, and its owner."""
    collection = opened(annotators_per_image=2)
    page = join(collection, open_mode=False, base="https://lab.example")
    owner = owner_of(collection, page)
    owner.call("POST", "/api/owner/invites", json={"name": "class 7", "people": 2, "images": 3, "days": 2})
    return collection, owner


def joined_by(owner: Page, name: str, number: int = 0, code: int = 200):
    """Somebody follows an invite and gives a name."""
    link = owner.call("GET", "/api/owner/links")["invites"][number]["link"]
    visitor = by_link(owner, link)
    reply = visitor.call("POST", "/api/join", code, json={"name": name})
    return Page(owner.client, reply["token"]) if code == 200 else reply["error"]


def owner_routes(app) -> list[tuple[str, set[str]]]:
    """Path and methods of the routes below /api/owner, wherever the application keeps those of a router."""
    routes = [
        inner for route in app.routes for inner in getattr(getattr(route, "original_router", None), "routes", [route])
    ]
    paths = [(str(getattr(route, "path", "")), getattr(route, "methods", None) or set()) for route in routes]
    return [(path, methods) for path, methods in paths if path.startswith("/api/owner")]


class TestGuards:
    def calls(self, collection, task: str) -> list[tuple[str, str]]:
        """Every route of the owner that there is, with numbers of things that are there."""
        known = {"number": "1", "revision": "1", "index": "0"}
        found = []
        for path, methods in owner_routes(join(collection).client.app):
            numbers = known | ({"number": task} if path.startswith("/api/owner/answers") else {})
            found += [(method, path.format(**numbers)) for method in methods]
        assert len(found) >= 9, found
        return found

    def test_nobody_but_the_owner_reaches_any_of_its_routes(self, closed):
        collection, owner = closed
        ann = joined_by(owner, "Ann")
        task = ann.tasks()[0]["id"]
        ann.save(task)
        invite = by_link(owner, owner.call("GET", "/api/owner/links")["invites"][0]["link"])
        others = [(ann, 403), (invite, 403), (without_a_token(owner), 401), (Page(owner.client, "x"), 401)]
        before = (collection.links.invites(), collection.comments.by_task(), collection.store.people())
        for method, path in self.calls(collection, task):
            body = {} if method == "GET" else {"json": {"stopped": True, "name": "x", "revision": 1, "text": "x"}}
            for page, status in others:
                page.call(method, path, status, **body)
            headers = owner.headers
            del headers["X-Salign"]
            reply = owner.client.request(method, path, headers=headers)
            assert reply.status_code == 403, "a form of another page lacks the header"
            owner.call(method, path, 403, headers={"origin": "https://evil.example"}, **body)
        assert (collection.links.invites(), collection.comments.by_task(), collection.store.people()) == before

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("invites", {}), ("invites", []), ("invites", {"name": ""}), ("invites", {"name": "a" * 81}),
            ("invites", {"name": "x", "people": 0}), ("invites", {"name": "x", "people": 100_001}),
            ("invites", {"name": "x", "images": -1}), ("invites", {"name": "x", "days": 0}),
            ("invites", {"name": "x", "days": "1e999"}), ("invites", {"name": "x", "days": 4000}),
            ("invites", {"name": "x", "more": 1}), ("invites/1", {}), ("invites/1", {"stopped": 1}),
            ("people/1", {"stopped": "yes"}), ("answers/T/comments", {"revision": 1, "text": ""}),
            ("answers/T/comments", {"revision": 1, "text": " \n"}), ("answers/T/comments", {"text": "x"}),
            ("answers/T/comments", {"revision": 1, "text": "x" * 2001}),
            ("answers/T/comments", {"revision": 1, "text": "one\rtwo"}),
            ("answers/T/comments", {"revision": "1", "text": "x"}),
            ("answers/T/comments", {"revision": 1, "text": "x", "back": 1}), ("answers/T/comments", 5),
        ],
    )  # fmt: skip
    def test_bodies_that_are_not_right_are_refused_in_a_sentence(self, closed, path, body):
        collection, owner = closed
        ann = joined_by(owner, "Ann")
        task = ann.tasks()[0]["id"]
        ann.save(task)
        reply = owner.call("POST", f"/api/owner/{path.replace('T', task)}", 400, json=body)
        assert 5 < len(reply["error"]) <= 500
        assert len(collection.links.invites()) == 1
        assert collection.comments.by_task() == {}

    @pytest.mark.parametrize("query", ["annotator=x", "annotator=0", "order=best", "show=x", "start=-1", "count=101",
                                       "count=0", "surprise=1", f"image={'a' * 201}"])  # fmt: skip
    def test_a_look_that_is_none_is_refused(self, closed, query):
        closed[1].call("GET", f"/api/owner/answers?{query}", 400)

    @pytest.mark.parametrize("name", ["0", "999", "x", "-1", "1" * 30, "%00", "１"])
    def test_what_is_not_there_is_not_there(self, closed, name):
        owner = closed[1]
        owner.call("GET", f"/api/owner/answers/{name}", 404)
        owner.call("GET", f"/api/owner/answers/{name}/1/0", 404)
        owner.call("POST", f"/api/owner/answers/{name}/comments", 404, json={"revision": 1, "text": "x"})
        owner.call("POST", f"/api/owner/invites/{name}", 404, json={"stopped": True})
        owner.call("POST", f"/api/owner/people/{name}", 404, json={"stopped": True})

    def test_whoever_has_an_invite_sends_little_and_sees_nothing(self, closed):
        _, owner = closed
        invite = by_link(owner, owner.call("GET", "/api/owner/links")["invites"][0]["link"])
        invite.call("POST", "/api/join", 413, json={"name": "a" * 10_001})
        for path in ("/api/study", "/api/tasks", "/api/image/x"):
            invite.call("GET", path, 401)

    def test_whoever_spends_the_requests_of_an_invite_holds_up_nobody_who_joined(self, opened):
        collection = opened(limits={"rate": 0.01, "burst": 4})
        page = join(collection, open_mode=False)
        invite = collection.links.make_invite("any")
        stranger = Page(page.client, access.token_of(collection.secret, f"{access.INVITE}{invite.id}"))
        ann = Page(page.client, stranger.call("POST", "/api/join", json={"name": "Ann"})["token"])
        for _ in range(3):
            stranger.call("POST", "/api/join", 400, json={"name": "Ann"})
        stranger.call("POST", "/api/join", 429, json={"name": "Eve"})
        Page(page.client).call("GET", "/api/session", 429)
        ann.call("GET", "/api/study")


class TestLinks:
    def test_by_an_invite_people_join_under_a_name_and_get_a_token_of_their_own(self, closed):
        collection, owner = closed
        (invite,) = owner.call("GET", "/api/owner/links")["invites"]
        assert invite["link"].startswith("https://lab.example/#invite=invite-1.")
        assert (invite["people"], invite["images"], invite["joined"], invite["closed"]) == (2, 3, 0, None)
        assert invite["left"] == pytest.approx(2 * 86_400, abs=60)
        ann, bob = joined_by(owner, "Ann"), joined_by(owner, "Bob")
        assert ann.call("GET", "/api/study")["annotator"]["name"] == "Ann"
        assert (
            joined_by(owner, "Eve", code=403)
            == "nobody can join by this link: 2 people have joined, and it is for no more"
        )
        found = owner.call("GET", "/api/owner/links")
        assert [(one["name"], one["invite"]) for one in found["people"]] == [("Ann", 1), ("Bob", 1)]
        assert by_link(owner, found["people"][1]["link"]).token == bob.token
        assert len(collection.store.people()) == 2

    def test_a_stranger_does_not_go_on_under_the_name_of_another(self, closed):
        _, owner = closed
        ann = joined_by(owner, "Ann")
        ann.save(ann.tasks()[0]["id"])
        assert "takes part already" in joined_by(owner, "Ann", code=400)
        assert len(ann.call("GET", "/api/tasks")["tasks"]) == 1

    def test_one_link_is_stopped_and_the_others_go_on(self, closed):
        _, owner = closed
        ann, bob = joined_by(owner, "Ann"), joined_by(owner, "Bob")
        for page in (ann, bob):
            page.call("GET", "/api/study")
        held = ann.tasks()[0]["id"]
        found = owner.call("POST", "/api/owner/people/1", json={"stopped": True})
        assert [one["stopped"] is not None for one in found["people"]] == [True, False]
        assert ann.save(held, 401)["error"] == "this link was stopped; ask whoever runs the study"
        ann.call("POST", "/api/join", 403, json={"name": "Annie"})
        bob.save(bob.tasks()[0]["id"])
        owner.call("POST", "/api/owner/people/1", json={"stopped": False})
        ann.save(held)

    def test_a_stopped_annotator_cannot_change_their_name(self, closed):
        collection, owner = closed
        ann = joined_by(owner, "Ann")
        owner.call("POST", "/api/owner/people/1", json={"stopped": True})
        ann.call("POST", "/api/join", 403, json={"name": "Bob"})
        assert collection.store.person(1).shown == "Ann"

    def test_a_stopped_invite_lets_nobody_in_and_those_who_joined_go_on(self, closed):
        _, owner = closed
        ann = joined_by(owner, "Ann")
        owner.call("POST", "/api/owner/invites", json={"name": "others"})
        owner.call("POST", "/api/owner/invites/1", json={"stopped": True})
        assert joined_by(owner, "Bob", code=403) == "nobody can join by this link: it was stopped"
        joined_by(owner, "Bob", number=1).tasks()
        ann.save(ann.tasks()[0]["id"])

    def test_no_more_images_come_than_the_invite_is_for(self, closed):
        collection, owner = closed
        ann, seen = joined_by(owner, "Ann"), 0
        assert ann.call("POST", "/api/next", json={"have": []})["progress"] == {"done": 0, "total": 3}
        (row,) = summarise(collection).summary["annotators"]
        assert (row["open"], row["left"]) == (2, 1)
        while tasks := ann.tasks():
            ann.save(tasks[0]["id"])
            seen += 1
        reply = ann.call("POST", "/api/next", json={"have": []})
        assert (seen, reply["finished"], reply["progress"]) == (3, True, {"done": 3, "total": 3})
        (row,) = owner.call("GET", "/api/owner/summary")["annotators"]
        assert (row["answered"], row["left"]) == (3, 0)

    def test_when_its_time_is_over_what_was_begun_is_saved_and_nothing_new_comes(self, closed):
        collection, owner = closed
        ann = joined_by(owner, "Ann")
        held = [task["id"] for task in ann.tasks()]
        collection.links.make_invite("class 7", until=time.time() - 1)
        assert joined_by(owner, "Bob", code=403) == "nobody can join by this link: its time is over"
        for task in held:
            ann.save(task)
        assert ann.call("POST", "/api/next", json={"have": []})["finished"]
        (invite,) = owner.call("GET", "/api/owner/links")["invites"]
        assert (invite["left"], invite["closed"]) == (0, "its time is over")

    def test_where_a_name_is_enough_a_stopped_name_is_not(self, opened):
        collection = opened()
        ann = join(collection, "Ann")
        owner_of(collection, ann).call("POST", "/api/owner/people/1", json={"stopped": True})
        without_a_token(ann).call("POST", "/api/join", 403, json={"name": "Ann"})
        without_a_token(ann).call("POST", "/api/join", json={"name": "Bob"})


def answered(page: Page, **said: object) -> str:
    """Answer one image; gives the task."""
    task = page.tasks()[0]["id"]
    page.save(task, **said)
    return task


class TestSentBack:
    @pytest.fixture
    def study(self, opened):
        collection = opened(annotators_per_image=2)
        ann = join(collection, "Ann")
        return collection, ann, owner_of(collection, ann)

    def test_it_comes_again_with_the_comment_and_the_old_work(self, study):
        collection, ann, owner = study
        task = answered(ann, answer="dog")
        held = [one["id"] for one in ann.tasks()]
        said = {"revision": 1, "text": " the tail, too ", "back": True}
        (row,) = owner.call("POST", f"/api/owner/answers/{task}/comments", json=said)["answers"]
        assert row["returned"]
        assert [(one["text"], one["back"]) for one in row["comments"]] == [("the tail, too", True)]
        first = ann.tasks()[0]
        assert (first["id"], first["comment"], first["revision"]) == (task, "the tail, too", 1)
        assert (first["saved"]["answer"], first["saved"]["shapes"]) == ("dog", [BOX])
        assert ann.tasks(held)[0]["id"] == task, "also while others are held"
        assert task not in {one["id"] for one in ann.tasks([task, *held])}, "not twice"
        assert ann.call("GET", "/api/tasks")["tasks"] == []
        assert ann.call("POST", "/api/next", json={"have": []})["progress"] == {"done": 0, "total": 6}
        assert owner.call("GET", "/api/owner/summary")["annotators"][0]["returned"] == 1
        assert ann.save(task, answer="cat", base=1)["revision"] == 2
        assert ann.call("GET", f"/api/task/{task}")["comment"] is None
        assert ann.call("POST", "/api/next", json={"have": []})["progress"] == {"done": 1, "total": 6}
        (row,) = owner.call("GET", f"/api/owner/answers/{task}")["answers"]
        assert (row["returned"], row["answer"], len(row["comments"])) == (False, "cat", 1)
        assert [(one["revision"], one["answer"], one["side"]) for one in row["versions"]] == [
            (1, "dog", False), (2, "cat", False),
        ]  # fmt: skip
        assert [one.body["answer"] for one in collection.store.revisions(int(task))] == ["dog", "cat"]

    def test_a_comment_alone_sends_nothing_back(self, study):
        _, ann, owner = study
        task = answered(ann)
        owner.call("POST", f"/api/owner/answers/{task}/comments", json={"revision": 1, "text": "good"})
        assert task not in {one["id"] for one in ann.tasks()}
        assert ann.call("GET", f"/api/task/{task}")["comment"] is None

    def test_what_changed_meanwhile_is_not_sent_back(self, study):
        collection, ann, owner = study
        task = answered(ann)
        ann.save(task, answer="dog", base=1)
        said = {"revision": 1, "text": "no", "back": True}
        assert "look at it again" in owner.call("POST", f"/api/owner/answers/{task}/comments", 409, json=said)["error"]
        assert collection.comments.by_task() == {}

    def test_nobody_takes_its_seat_and_the_lease_does_not_end(self, opened):
        collection = opened(lease_minutes=0.0001)
        ann, bob = join(collection, "Ann"), join(collection, "Bob")
        tasks = []
        while found := ann.tasks():
            ann.save(found[0]["id"])
            tasks.append(found[0]["id"])
        said = {"revision": 1, "text": "again", "back": True}
        owner_of(collection, ann).call("POST", f"/api/owner/answers/{tasks[0]}/comments", json=said)
        time.sleep(0.02)
        assert bob.tasks() == []
        assert [one["id"] for one in ann.tasks()] == [tasks[0]]


class TestPictures:
    def test_a_picture_has_the_marks_of_one_save_where_they_are(self, tmp_path):
        folder = write_images(tmp_path / "grey", 1)
        Image.fromarray(np.full((30, 40, 3), 100, np.uint8)).save(folder / "0.png")
        collection = open_collection(folder, classes=["cat", "dog"])
        ann = join(collection, "Ann")
        task = answered(ann, shapes=[{"kind": "box", "points": [[4, 6], [20, 18]]}])
        ann.save(task, shapes=[], blank=True, base=1)
        owner = owner_of(collection, ann)

        def pixels(revision: int) -> np.ndarray:
            reply = owner.call("GET", f"/api/owner/answers/{task}/{revision}/0?w=256")
            return np.asarray(Image.open(io.BytesIO(reply.content)).convert("RGB")).astype(float)

        first, second = pixels(1), pixels(2)
        assert first.shape == (30, 40, 3)
        assert second == pytest.approx(np.full((30, 40, 3), 100)), "there was nothing to mark"
        marked = (1 - OPACITY) * 100 + OPACITY * np.array([0xF0, 0xF9, 0x21])
        assert first[8:16, 6:18].mean((0, 1)) == pytest.approx(marked, abs=4)
        assert first[22:, 24:].mean((0, 1)) == pytest.approx([100] * 3, abs=2)
        owner.call("GET", f"/api/owner/answers/{task}/3/0", 404)
        owner.call("GET", f"/api/owner/answers/{task}/1/1", 404)
        owner.call("GET", f"/api/owner/answers/{task}/1/0?w=x", 400)

    def test_an_accepted_draft_is_shown_as_the_map_it_is(self, tmp_path):
        folder = write_images(tmp_path / "review", 1)
        Image.fromarray(np.full((30, 40, 3), 100, np.uint8)).save(folder / "0.png")
        values = np.zeros((30, 40), np.uint8)
        values[:, 20:] = 102
        Image.fromarray(values).save(folder / "map.png")
        (folder / "manifest.csv").write_text("id,path,label,split,saliency\na,0.png,cat,train,map.png\n")
        collection = open_collection(folder, mode="review")
        ann = join(collection, "Ann")
        task = answered(ann, answer=None, shapes=[], review="accept", draft=0)
        reply = owner_of(collection, ann).call("GET", f"/api/owner/answers/{task}/1/0?w=256")
        found = np.asarray(Image.open(io.BytesIO(reply.content)).convert("RGB")).astype(float)
        import torch

        colour = heat(torch.tensor([[0.4]]))[0, 0].numpy()
        expected = (1 - 0.4 * OPACITY) * 100 + 0.4 * OPACITY * colour
        assert found[5:25, 25:38].mean((0, 1)) == pytest.approx(expected, abs=4)
        assert found[5:25, :15].mean((0, 1)) == pytest.approx([100] * 3, abs=2)

    def test_the_list_and_everybodys_marks_on_one_image(self, opened):
        collection = opened(annotators_per_image=2)
        ann, bob = join(collection, "Ann"), join(collection, "Bob")
        for page, answer in ((ann, "cat"), (bob, "dog")):
            while tasks := page.tasks():
                page.save(tasks[0]["id"], answer=answer)
        owner = owner_of(collection, ann)
        found = owner.call("GET", "/api/owner/answers?order=image&show=differ&count=3")
        assert (found["total"], [one["unit"] for one in found["answers"]]) == (12, ["0.png", "0.png", "1.png"])
        seen = owner.call("GET", f"/api/owner/answers/{found['answers'][0]['task']}")
        assert seen["unit"] == "0.png"
        assert [(one["name"], one["answer"]) for one in seen["answers"]] == [("Ann", "cat"), ("Bob", "dog")]
        only = owner.call("GET", "/api/owner/answers?annotator=2&image=3.png")
        assert [(one["name"], one["unit"]) for one in only["answers"]] == [("Bob", "3.png")]
        assert str(uuid.UUID(int=0)) not in str(only)
