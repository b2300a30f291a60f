"""The list of answers: what stands in a row, and which rows a look finds in which order."""

from __future__ import annotations

import pytest

from annotate_page import BOX, join, write_images
from salign.annotate.collection import Collection
from salign.annotate.gallery import Look, select_answers, share_of_differing_pairs
from salign.annotate.opening import open_collection
from salign.annotate.rows import Comment
from salign.annotate.summary import summarise


@pytest.mark.parametrize(
    ("values", "share"), [("", None), ("a", None), ("aa", 0), ("ab", 1), ("aab", 2 / 3), ("abc", 1), ("aabb", 2 / 3)]
)
def test_share_of_differing_pairs_by_hand(values, share):
    assert share_of_differing_pairs(list(values)) == (share if share is None else pytest.approx(share))


def row(task: int, **more: object) -> dict[str, object]:
    usual = {
        "task": str(task), "unit": f"Dog/{task}.png", "images": [f"Dog/{task}.png"], "annotator": 1, "name": "Ann",
        "answer": "dog", "label": "dog", "right": True, "skipped": None, "blank": False, "seconds": float(task),
        "revision": 1, "saved": f"2026-11-0{task}", "differ": 0.0, "apart": None,
        "comments": [], "returned": False,
    }  # fmt: skip
    return usual | more


ROWS = [
    row(1, name="bob", annotator=2, differ=1.0, apart=0.2),
    row(2, answer="cat", right=False, differ=0.5, apart=0.9),
    row(3, answer=None, right=None, skipped="blurred", differ=None),
    row(4, blank=True, unit="pair-9f", images=["x/Å.png", "y.png"], seconds=0.5),
    row(5, revision=2),
]
COMMENTS = {
    2: [Comment(2, 1, "why?", True, 0.0)],
    5: [Comment(5, 1, "the tail", True, 0.0), Comment(5, 2, "fine", False, 60.0)],
}


@pytest.mark.parametrize(
    ("look", "tasks"),
    [
        ({}, "54321"),
        ({"order": "image"}, "12354"),
        ({"order": "annotator"}, "23541"),
        ({"order": "answer"}, "21543"),
        ({"order": "differ"}, "12543"),
        ({"order": "apart"}, "21354"),
        ({"order": "fastest"}, "41235"),
        ({"annotator": 2}, "1"),
        ({"image": "DOG/"}, "5321"),
        ({"image": "x/å"}, "4"),
        ({"image": "pngdog"}, ""),
        ({"answer": "cat"}, "2"),
        ({"show": "wrong"}, "2"),
        ({"show": "differ"}, "21"),
        ({"show": "skipped"}, "3"),
        ({"show": "blank"}, "4"),
        ({"show": "commented"}, "52"),
        ({"show": "returned"}, "2"),
        ({"show": "wrong", "answer": "dog"}, ""),
    ],
)
def test_a_look_finds_what_it_asks_for_in_its_order(look, tasks):
    found = select_answers(ROWS, Look(**look), COMMENTS)
    assert "".join(one["task"] for one in found["answers"]) == tasks
    assert found["total"] == len(tasks)
    assert found["values"] == ["cat", "dog"], "to choose from, whatever was chosen"


def test_a_look_is_a_page_of_all_that_was_found():
    found = select_answers(ROWS, Look(start=1, count=2), COMMENTS)
    assert ([one["task"] for one in found["answers"]], found["total"]) == (["4", "3"], 5)
    assert select_answers(ROWS, Look(start=5), {})["answers"] == []


def test_a_task_is_out_until_it_is_saved_again():
    rows = {one["task"]: one for one in select_answers(ROWS, Look(), COMMENTS)["answers"]}
    assert [rows[name]["returned"] for name in "125"] == [False, True, False]
    assert rows["5"]["comments"] == [
        {"task": 5, "revision": 1, "text": "the tail", "back": True, "created": "1970-01-01T00:00:00.000+00:00"},
        {"task": 5, "revision": 2, "text": "fine", "back": False, "created": "1970-01-01T00:01:00.000+00:00"},
    ]


def answered(collection: Collection, name: str, **said: object) -> None:
    page = join(collection, name)
    while tasks := page.tasks():
        page.save(tasks[0]["id"], **said)


def rows_of(collection: Collection) -> dict[tuple[str, str], dict[str, object]]:
    return {(one["unit"], one["name"]): one for one in summarise(collection).answers}


def test_rows_say_who_answered_what_and_whether_it_is_the_known_label(tmp_path):
    folder = write_images(tmp_path / "set", 3)
    lines = ["id,path,label,split,saliency", "0,0.png,cat,train,", "1,1.png,dog,train,", "2,2.png,bird,train,"]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    collection = open_collection(folder, classes=["cat", "dog"], annotators_per_image=2)
    answered(collection, "Ann", answer="cat", confidence=4)
    answered(collection, "Bob", answer="dog", shapes=[{**BOX, "points": [[20, 3], [30, 9]]}])
    rows = rows_of(collection)
    assert [(key, one["answer"], one["label"], one["right"]) for key, one in sorted(rows.items())] == [
        (("0", "Ann"), "cat", "cat", True), (("0", "Bob"), "dog", "cat", False),
        (("1", "Ann"), "cat", "dog", False), (("1", "Bob"), "dog", "dog", True),
        (("2", "Ann"), "cat", None, None), (("2", "Bob"), "dog", None, None),
    ]  # fmt: skip
    assert {(one["differ"], one["revision"], one["blank"]) for one in rows.values()} == {(1, 1, False)}
    assert rows["0", "Ann"]["seconds"] == 5
    assert rows["0", "Ann"]["confidence"] == 4
    assert 1 < rows["0", "Ann"]["apart"] < 1.2, "two boxes that share nothing correlate below 0"


def test_gold_is_known_better_than_a_label(tmp_path):
    folder = write_images(tmp_path / "set" / "cat", 2).parent
    collection = open_collection(folder, classes=["cat", "dog"], gold={"cat/0.png": "dog", "cat/1.png": "dog"})
    answered(collection, "Ann", answer="cat")
    assert {(one["label"], one["right"], one["differ"]) for one in rows_of(collection).values()} == {
        ("dog", False, None)
    }


def test_in_a_pair_the_known_answer_is_the_image_of_the_class_asked_for(tmp_path):
    folder = write_images(tmp_path / "pairs", 4)
    lines = [f"{n},{n}.png,{'real' if n < 2 else 'fake'},train," for n in range(4)]
    (folder / "manifest.csv").write_text("id,path,label,split,saliency\n" + "\n".join(lines))
    collection = open_collection(folder, mode="pair", classes=["real", "fake"])
    answered(collection, "Ann", answer=None, side=0, shapes=[{**BOX, "image": 0}])
    for one in summarise(collection).answers:
        assert one["label"] in ("2", "3")
        assert one["label"] in one["images"]
        assert one["right"] == (one["images"][0] == one["label"])
        assert one["answer"] == one["images"][0]
