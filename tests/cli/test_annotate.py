"""`salign annotate` as a command: links that are made, printed and stopped; what an export says at its end."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from annotate_page import write_images
from command import salign
from salign.annotate.collection import Collection
from salign.annotate.opening import open_collection
from salign.annotate.records import read_annotation
from salign.annotate.web.run import links
from salign.cli.annotate import _invite
from salign.web.listen import Address, listen


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(tmp_path / "photos", 3)


def answer_all(collection: Collection, name: str, left: int) -> None:
    """Somebody marks a box that begins so far to the right on every image."""
    person = collection.store.add_person(name)
    while tasks := collection.next_tasks(person, [])["tasks"]:
        box = {"kind": "box", "points": [[left, 3], [left + 10, 13]]}
        body = {"task": tasks[0]["id"], "answer": "cat", "shapes": [box], "elapsed_ms": 1.0, "base": 0}
        collection.save(person, str(uuid.uuid4()), read_annotation(body, 100))


def test_an_invite_is_printed_with_its_link_and_a_restart_changes_nothing(photos):
    collection = open_collection(photos, classes=["cat", "dog"])
    first = _invite(collection, "class 7", 5, None, 2.0)
    assert first.until == pytest.approx(time.time() + 2 * 86_400, abs=60)
    again = _invite(collection, "class 7", 5, None, 2.0)
    assert (again.id, again.people) == (first.id, 5)
    assert again.until == pytest.approx(first.until, abs=1), "its days count from when it was made"
    assert _invite(collection, "class 7", None, None, None) == again, "without limits it stays as it is"
    with listen("127.0.0.1", 0) as listening:
        address = Address(public="https://lab.example")
        (name, url), _ = links(collection, listening, address, [], [again])
    assert name == "class 7"
    assert url.startswith("https://lab.example/#invite=invite-1.")


def test_a_link_is_stopped_by_its_name_and_the_others_are_not(photos):
    collection = open_collection(photos, classes=["cat", "dog"])
    collection.links.make_invite("class 7")
    for name in ("Ann", "Bob"):
        collection.store.add_person(name)
    refused = salign("annotate", photos, "--stop-link", "Ann", "--stop-link", "Eve", code=2).err
    assert "no link is for Eve; there are links for Ann, Bob, class 7" in refused.replace("\n", " ")
    assert [person.stopped for person in collection.store.people()] == [None, None], "all names are looked at first"
    said = salign("annotate", photos, "--stop-link", "Ann", "--stop-link", "class 7").out
    assert "the link of Ann works no more" in said
    assert "nobody joins by the link class 7 any more" in said
    assert [person.stopped is None for person in collection.store.people()] == [False, True]
    assert collection.links.invites()[0].closed(time.time()) == "it was stopped"
    collection.store.close()


def test_limits_without_an_invite_are_refused_before_anything_begins(photos):
    assert "give --invite NAME as well" in salign("annotate", photos, "--people", 3, code=2).err
    assert not (photos / "annotations").exists()
    assert "nobody has annotated here yet" in salign("annotate", photos, "--stop-link", "Ann", code=2).err.replace(
        "\n", " "
    )


def test_an_export_says_whether_another_annotator_is_needed_and_keeps_the_notes(photos, tmp_path):
    collection = open_collection(photos, classes=["cat", "dog"], annotators_per_image=2)
    answer_all(collection, "Ann", 5)
    answer_all(collection, "=Bob", 10)
    task = collection.store.tasks(2)[0]
    collection.comments.add(task.id, 1, "good", back=False)
    collection.comments.add(task.id, 1, "=again", back=True)
    collection.store.close()
    out = tmp_path / "out"
    said = salign("annotate", photos, "--export", out).out.replace("\n", " ")
    summary = (out / "summary.txt").read_text().splitlines()
    assert summary[0] == "sent back and not done again: 1 answers; the versions that were sent back are exported"
    # two boxes of 10 x 10 pixels on 40 x 30, half of each shared: (50 / 1200 - (100 / 1200)^2) / (1/12 - 1/144) = .4545
    assert "maps of two people of the same image agree to 0.45 (correlation, 3 images)" in summary[1]
    assert "yes: 5 people per image would reach 0.8" in summary[1], "4.8, rounded up"
    assert summary[1].endswith("3 images are few: look again when there are 10 or more")
    assert all(sentence in said for sentence in summary)
    rows = [line.split(",")[:5] for line in (out / "comments.csv").read_text().splitlines()]
    assert rows == [
        ["unit", "annotator", "revision", "text", "sent_back"],
        [task.unit, "'=Bob", "1", "good", "False"],
        [task.unit, "'=Bob", "1", "'=again", "True"],
    ]
