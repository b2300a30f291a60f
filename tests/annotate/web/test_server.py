"""The page's API as a browser calls it: joining, tasks, saves, images; each mode."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotate_page import BOX, mask, owner_of, write_images
from salign.annotate.opening import open_collection
from salign.errors import SalignError
from salign.maps.rasterize import rasterize
from salign.maps.shapes import shape_from_json


def test_an_annotator_joins_answers_and_finishes(opened, joined):
    page = joined(opened(title="Cats", confidence=True), "Ann")
    about = page.call("GET", "/api/study")
    assert (about["title"], about["mode"], about["classes"]) == ("Cats", "single", ["cat", "dog"])
    assert about["annotator"]["name"] == "Ann"
    assert (about["confidence"], about["reveal"], about["tools"][0]) == (True, None, "brush")
    seen, finished = [], False
    while not finished:
        reply = page.call("POST", "/api/next", json={"have": []})
        finished = reply["finished"]
        for task in reply["tasks"]:
            seen.append(task["images"][0]["id"])
            assert (task["images"][0]["width"], task["images"][0]["height"]) == (40, 30)
            page.save(task["id"], confidence=4)
    assert len(set(seen)) == len(seen) == 6
    assert reply["progress"] == {"done": 6, "total": 6}
    done = page.call("GET", "/api/tasks")["tasks"]
    assert [row["answer"] for row in done] == ["cat"] * 6


def test_the_page_never_sees_a_file_name(opened, joined, photos):
    (photos / "0.png").rename(photos / "fake-cat.png")
    page = joined(opened(), "Ann")
    for _ in range(6):
        for task in page.tasks():
            assert "fake" not in json.dumps(task)
            page.save(task["id"])


def test_open_tasks_stay_the_same_until_saved(opened, joined):
    page = joined(opened(), "Ann")
    first = page.tasks()
    assert [task["id"] for task in page.tasks()] == [task["id"] for task in first]
    held = [task["id"] for task in first]
    more = page.tasks(held)
    assert not {task["id"] for task in more} & set(held)
    assert len(page.tasks([*held, *(task["id"] for task in more)])) == 0, "no more than four at once"
    page.save(held[0])
    assert held[0] not in {task["id"] for task in page.tasks()}


def test_going_back_shows_what_was_saved_and_changes_it(opened, joined):
    page = joined(opened(), "Ann")
    handed = page.tasks()[0]
    task, image = handed["id"], handed["images"][0]["id"]
    assert page.save(task) == {"revision": 1, "stored": True, "feedback": None}
    again = page.call("GET", f"/api/task/{task}")
    assert (again["revision"], again["saved"]["answer"], again["saved"]["shapes"]) == (1, "cat", [BOX])
    assert page.save(task, answer="dog", base=1)["revision"] == 2
    assert page.save(task, answer=None, shapes=[], skipped="bad image", base=2)["revision"] == 3
    assert page.call("GET", "/api/tasks")["tasks"] == [
        {
            "id": task,
            "images": [image],
            "revision": 3,
            "answer": None,
            "side": None,
            "review": None,
            "skipped": "bad image",
        }
    ]


def test_a_save_sent_twice_is_stored_once_and_one_on_an_old_base_is_kept_aside(opened, joined):
    collection = opened()
    page = joined(collection, "Ann")
    task, key = page.tasks()[0]["id"], str(uuid.uuid4())
    first = page.save(task, key=key)
    assert page.save(task, key=key) == first
    assert page.save(task, key=key.upper()) == first
    clash = page.save(task, 409, answer="dog")
    assert clash["revision"] == 1
    assert "kept" in clash["error"]
    kept = collection.store.revisions(int(task))
    assert [(one.number, one.side, one.body["answer"]) for one in kept] == [(1, False, "cat"), (2, True, "dog")]


def test_annotators_share_the_seats(opened, joined):
    collection = opened(annotators_per_image=2)
    pages = [joined(collection, name) for name in ("Ann", "Bob", "Eve")]
    seen: dict[int, set[str]] = {0: set(), 1: set(), 2: set()}
    for _ in range(9):
        for number, page in enumerate(pages):
            for task in page.tasks()[:1]:
                assert task["images"][0]["id"] not in seen[number]
                seen[number].add(task["images"][0]["id"])
                page.save(task["id"])
    tasks = collection.store.snapshot().tasks
    assert len(tasks) == 12
    assert all(sum(task.unit == f"{n}.png" for task in tasks) == 2 for n in range(6))


def test_a_skipped_image_goes_to_somebody_else(opened, joined):
    collection = opened()
    ann, bob = joined(collection, "Ann"), joined(collection, "Bob")
    for _ in range(6):
        for task in ann.tasks():
            ann.save(task["id"], answer=None, shapes=[], skipped="cannot tell")
    assert len(bob.tasks()) == 2


def test_the_same_name_goes_on_where_it_stopped_and_a_restart_changes_nothing(opened, joined):
    page = joined(opened(), "Ann")
    task = page.tasks()[0]
    page.save(task["id"])
    rest = [one["id"] for one in page.tasks()]
    again = joined(opened(), " Ann ")
    assert again.token == page.token
    assert [one["id"] for one in again.tasks()] == rest
    assert again.call("GET", "/api/study")["classes"] == ["cat", "dog"]


def test_settings_are_kept_with_the_study(photos, opened, joined):
    opened(title="Kept", seed=7)
    found = open_collection(photos)
    assert (found.study.title, found.study.seed, found.classes) == ("Kept", 7, ("cat", "dog"))
    joined(found, "Ann").tasks()
    with pytest.raises(SalignError, match="mode single, not pair"):
        open_collection(photos, mode="pair")


def test_consent_is_noted_once(opened, joined):
    collection = opened(consent="I agree.")
    page = joined(collection, "Ann")
    person = collection.store.add_person("Ann")
    assert person.consented is None
    page.call("POST", "/api/join", json={"name": "Anna", "consent": True})
    first = collection.store.person(person.id)
    assert first.shown == "Anna"
    assert first.consented is not None
    page.call("POST", "/api/join", json={"name": "Anna", "consent": True})
    assert collection.store.person(person.id).consented == first.consented


class TestImages:
    @pytest.fixture
    def page(self, tmp_path, joined):
        write_images(tmp_path / "large", 1, (600, 900))
        return joined(open_collection(tmp_path / "large", classes=["a", "b"]), "Ann")

    def image(self, page, query="", **more):
        name = page.tasks()[0]["images"][0]["id"]
        return page.call("GET", f"/api/image/{name}{query}", **more)

    @pytest.mark.parametrize(("asked", "sent"), [(1, 256), (256, 256), (257, 512), (800, 900), (901, 900), (9999, 900)])
    def test_widths_go_up_a_ladder_and_never_beyond_the_image(self, page, asked, sent):
        reply = self.image(page, f"?w={asked}")
        with Image.open(io.BytesIO(reply.content)) as picture:
            assert picture.width == sent
            assert abs(picture.height - sent * 600 / 900) <= 1

    def test_what_the_browser_has_is_not_sent_again(self, page):
        reply = self.image(page, "?w=300")
        assert reply.headers["cache-control"] == "private, max-age=31536000, immutable"
        again = self.image(page, "?w=300", code=304, headers={"If-None-Match": reply.headers["etag"]})
        assert again.content == b""
        other = self.image(page, "?w=256", headers={"If-None-Match": reply.headers["etag"]})
        assert other.headers["etag"] != reply.headers["etag"]

    @pytest.mark.parametrize("query", ["?w=x", "?w=-1", "?w=nan", "?w=1e9", "?low=2e9", "?high=", "?w=inf"])
    def test_nonsense_is_refused(self, page, query):
        self.image(page, query, code=400)


def test_deep_images_have_a_window(tmp_path, joined):
    values = np.zeros((40, 50), dtype=np.uint16)
    values[:, 10:30], values[:, 30:] = 3000, 6000
    (tmp_path / "deep").mkdir()
    Image.fromarray(values).save(tmp_path / "deep" / "a.png")
    page = joined(open_collection(tmp_path / "deep", classes=["a"], window_level=True), "Ann")
    image = page.tasks()[0]["images"][0]
    assert image["window"] == pytest.approx([0, 6000 / 65535], abs=1e-6)
    reply = page.call("GET", f"/api/image/{image['id']}?w=999&low=0&high={6000 / 65535}")
    shown = np.asarray(Image.open(io.BytesIO(reply.content)))
    assert shown.shape == (40, 50)
    assert [int(shown[0, x]) for x in (0, 20, 40)] == pytest.approx([0, 127, 255], abs=2)


def test_a_pair_is_two_images_of_different_labels_on_sides_that_vary(tmp_path, joined):
    folder = write_images(tmp_path / "pairs", 16)
    rows = [f"{n},{n}.png,{'real' if n < 8 else 'fake'},train," for n in range(16)]
    (folder / "manifest.csv").write_text("id,path,label,split,saliency\n" + "\n".join(rows))
    collection = open_collection(folder, mode="pair", classes=["real", "fake"], gold={"3": "real"})
    page, left = joined(collection, "Ann"), []
    for _ in range(8):
        for task in page.tasks():
            assert len(task["images"]) == 2
            stored = collection.store.task(int(task["id"]), 1)
            labels = [collection.catalog.pictures[name].label for name in stored.images]
            assert sorted(labels) == ["fake", "real"]
            left.append(labels[0])
            page.save(task["id"], 400, answer=None, side=None)
            page.save(task["id"], 400, answer=None, side=1)  # the shapes do not say of which image they are
            page.save(task["id"], answer=None, side=labels.index("fake"), shapes=[{**BOX, "image": 1}])
    assert len(left) == 8
    assert set(left) == {"fake", "real"}
    (row,) = owner_of(collection, page).call("GET", "/api/owner/summary")["annotators"]
    assert (row["gold_right"], row["gold_seen"]) == (1, 1)


def test_review_shows_the_maps_of_the_manifest(tmp_path, joined):
    folder = write_images(tmp_path / "review", 2)
    Image.fromarray(np.tri(30, 40, dtype=np.uint8) * 255).save(folder / "map.png")
    (folder / "manifest.csv").write_text(
        "id,path,label,split,saliency,saliency_ann,saliency_bob\n"
        "a,0.png,cat,train,map.png,map.png,map.png\nb,1.png,dog,train,,,\n"
    )
    page = joined(open_collection(folder, mode="review"), "Rev")
    (task,) = page.tasks()
    assert [draft["from"] for draft in task["drafts"]] == ["ann", "bob"]
    for draft in task["drafts"]:
        drawn = rasterize([shape_from_json(shape) for shape in draft["shapes"]], (30, 40))
        assert np.array_equal(drawn, np.tri(30, 40, dtype=bool)), "what is edited is what was marked"
    reply = page.call("GET", f"{task['drafts'][1]['map']}?w=500")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(reply.content))), np.tri(30, 40, dtype=np.uint8) * 255)
    page.save(task["id"], 400, answer=None, shapes=[])
    page.save(task["id"], 400, answer=None, shapes=[], review="accept", draft=2)
    page.save(task["id"], answer=None, shapes=[], review="accept", draft=1)


def test_a_map_that_changes_while_the_server_runs_is_shown_edited_and_drawn_as_it_is_now(tmp_path, joined):
    folder = write_images(tmp_path / "review", 1)

    def draw(x0):
        Image.fromarray((255 * mask((x0, 5, x0 + 10, 15))).astype(np.uint8)).save(folder / "map.png")

    draw(2)
    (folder / "manifest.csv").write_text("id,path,label,split,saliency\na,0.png,cat,train,map.png\n")
    page = joined(collection := open_collection(folder, mode="review"), "Rev")
    owner, (before,) = owner_of(collection, page), page.tasks()
    page.save(before["id"], answer=None, shapes=[], review="accept", draft=0)
    seen = [
        (page, f"{before['drafts'][0]['map']}?w=256"),
        (owner, f"/api/owner/answers/{before['id']}/1/0?w=256"),
    ]
    replies = [who.call("GET", path) for who, path in seen]
    draw(25)
    after = collection.task_view(collection.store.tasks(1)[0])
    for task, x0 in ((before, 2), (after, 25)):
        drawn = rasterize([shape_from_json(shape) for shape in task["drafts"][0]["shapes"]], (30, 40))
        assert np.array_equal(drawn, mask((x0, 5, x0 + 10, 15)))
    for (who, path), reply in zip(seen, replies, strict=True):
        assert reply.headers["cache-control"] == "private, no-cache"
        again = who.call("GET", path, headers={"If-None-Match": reply.headers["etag"]})
        assert again.content != reply.content
        who.call("GET", path, code=304, headers={"If-None-Match": again.headers["etag"]})


def test_an_image_that_changes_while_the_server_runs_gets_the_window_of_what_it_is_now(tmp_path, joined):
    (tmp_path / "deep").mkdir()
    page, windows = None, []
    for high in (3000, 6000):
        values = np.zeros((40, 50), dtype=np.uint16)
        values[:, 10:] = high
        Image.fromarray(values).save(tmp_path / "deep" / "a.png")
        page = page or joined(open_collection(tmp_path / "deep", classes=["a"], window_level=True), "Ann")
        windows.append(page.tasks()[0]["images"][0]["window"][1])
    assert windows == pytest.approx([3000 / 65535, 6000 / 65535], rel=0.01)


@pytest.fixture
def helped(tmp_path) -> Path:
    folder = write_images(tmp_path / "helped", 8)
    Image.fromarray(np.full((30, 40), 200, dtype=np.uint8)).save(folder / "map.png")
    rows = [f"{n},{n}.png,cat,train,,{'cat' if n % 2 else 'dog'},map.png" for n in range(8)]
    (folder / "manifest.csv").write_text("id,path,label,split,saliency,decision,model_map\n" + "\n".join(rows))
    return folder


def test_help_is_drawn_by_lot_and_nothing_else_of_it_is_shown(helped, joined):
    collection = open_collection(helped, mode="assisted", classes=["cat", "dog"], annotators_per_image=9)
    arms = []
    for name in "ABCDEFGH":
        for task in joined(collection, name).tasks():
            shown = task["arm"]
            arms.append(shown)
            assert (task["decision"] is not None) == (shown in ("decision", "both"))
            assert bool(task["drafts"]) == (shown != "none")
            assert all((draft["map"] is not None) == (shown in ("map", "both")) for draft in task["drafts"])
            assert all((draft["answer"] is not None) == (shown in ("decision", "both")) for draft in task["drafts"])
    assert {arm: arms.count(arm) for arm in arms} == {"none": 4, "decision": 4, "map": 4, "both": 4}


def test_help_can_be_drawn_for_each_image(helped, joined):
    collection = open_collection(helped, mode="assisted", classes=["cat", "dog"], assisted={"by": "image"})
    page, arms = joined(collection, "Ann"), []
    for _ in range(8):
        for task in page.tasks()[:1]:
            arms.append(task["arm"])
            page.save(task["id"])
    assert sorted(arms[:4]) == sorted(arms[4:]) == ["both", "decision", "map", "none"]


def test_help_that_is_missing_is_said_at_the_start(photos):
    with pytest.raises(SalignError, match="column 'decision' of every image; 6 have none"):
        open_collection(photos, mode="assisted", classes=["cat", "dog"])


@pytest.mark.parametrize("feedback", [True, False])
def test_gold_images_come_to_everybody_with_or_without_feedback(photos, joined, feedback):
    gold = {"0.png": "dog", "1.png": "cat"}
    settings = {"gold": gold, "gold_share": 0.5, "gold_feedback": feedback, "annotators_per_image": 2}
    collection = open_collection(photos, classes=["cat", "dog"], **settings)
    said = []
    for name in ("Ann", "Bob"):
        page = joined(collection, name)
        for _ in range(6):
            said += [page.save(task["id"])["feedback"] for task in page.tasks()[:1]]
    told = [feedback for feedback in said if feedback is not None]
    assert len(told) == (4 if feedback else 0)
    if feedback:
        assert sorted(one["correct"] for one in told) == [False, False, True, True]
        assert {one["answer"] for one in told} == {"cat", "dog"}
    rows = owner_of(collection, page).call("GET", "/api/owner/summary")["annotators"]
    assert [(row["gold_right"], row["gold_seen"]) for row in rows] == [(1, 2), (1, 2)]


def test_a_study_of_gold_images_alone_shows_them_to_everybody(photos, joined):
    collection = open_collection(photos, classes=["cat", "dog"], gold={f"{n}.png": "dog" for n in range(6)})
    counts = []
    for name in ("Ann", "Bob"):
        page, done = joined(collection, name), 0
        while tasks := page.tasks():
            page.save(tasks[0]["id"])
            done += 1
            counts.append(page.call("POST", "/api/next", json={"have": []})["progress"])
        assert done == 6
    assert counts == 2 * [{"done": done, "total": 6} for done in range(1, 7)]
    rows = owner_of(collection, page).call("GET", "/api/owner/summary")["annotators"]
    assert [(row["gold_seen"], row["left"]) for row in rows] == [(6, 0), (6, 0)]


def test_an_answer_mended_after_feedback_still_counts_as_wrong(photos, joined):
    collection = open_collection(photos, classes=["cat", "dog"], gold={f"{n}.png": "dog" for n in range(6)})
    page = joined(collection, "Ann")
    task = page.tasks()[0]["id"]
    page.save(task, answer="cat")
    page.save(task, answer="dog", base=1)
    (row,) = owner_of(collection, page).call("GET", "/api/owner/summary")["annotators"]
    assert (row["gold_right"], row["gold_seen"]) == (0, 1)


@pytest.mark.parametrize(("answers", "score"), [
    ([None, "cat"], (0, 1)),
    ([None, None, "dog", "cat"], (1, 1)),
    (["cat", "dog", None], (0, 1)),
    ([None], (0, 0)),
])  # fmt: skip
def test_a_skipped_gold_image_counts_by_its_first_answer(photos, joined, answers, score):
    collection = open_collection(photos, classes=["cat", "dog"], gold={f"{n}.png": "dog" for n in range(6)})
    page = joined(collection, "Ann")
    task = page.tasks()[0]["id"]
    for base, answer in enumerate(answers):
        page.save(task, answer=answer, base=base, skipped="too dark" if answer is None else None)
    (row,) = owner_of(collection, page).call("GET", "/api/owner/summary")["annotators"]
    assert (row["gold_right"], row["gold_seen"]) == score


def test_of_a_blurred_image_the_page_sends_windows_and_nothing_else(opened, joined):
    page = joined(opened(mode="reveal", reveal={"radius": 0.1}), "Ann")
    about = page.call("GET", "/api/study")
    assert (about["tools"], about["reveal"]) == (["reveal"], {"radius": 0.1, "blur": 0.04})
    task, window = page.tasks()[0]["id"], {"kind": "stroke", "points": [[5, 6]], "radii": [4], "times": [900]}
    two = {**window, "points": [[5, 6], [7, 8]], "radii": [4, 4], "times": [900, 950]}
    for wrong in ([BOX], [window, {**window, "erase": True}], [two], [{**window, "times": None}]):
        assert "is a window" in page.save(task, 400, shapes=wrong)["error"]
    assert "blank" in page.save(task, 400, shapes=[], blank=True)["error"]
    assert "shapes" in page.save(task, 400, shapes=[])["error"], "nobody answers without a look"
    page.save(task, shapes=[window])
