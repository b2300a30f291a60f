"""What a review of drafts is worth: verdicts, agreement by hand, maps that nobody drew, and when to stop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from annotate_page import owner_of, write_images
from command import salign
from salign.annotate import reviewed as module
from salign.annotate.answers import answers_of
from salign.annotate.drafts import Draft
from salign.annotate.opening import open_collection
from salign.annotate.quality import small_map
from salign.annotate.reviewed import summarise_review
from salign.data.manifest import Manifest
from salign.maps.shapes import Box

DRAFT = (4, 4, 20, 20)
"""Box of every draft: 256 pixels."""


def painted(x0, y0, x1, y1):
    values = np.zeros((30, 40))
    values[y0:y1, x0:x1] = 1
    return values


@pytest.fixture
def folder(tmp_path):
    """13 images: 0 with a person's draft, 1 to 12 with a machine's; and a manifest of them all with three more."""
    place = write_images(tmp_path / "set", 16)
    Image.fromarray(np.uint8(255 * painted(*DRAFT))).save(place / "m.png")
    header = "id,path,label,split,saliency,provenance,confidence\n"
    drafts = [f"{k},{k}.png,cat,train,m.png,{'model:net@1' if k else 'human:ann'},0.{k:02d}\n" for k in range(13)]
    (place / "drafts.csv").write_text(header + "".join(drafts))
    rest = [
        "13,13.png,dog,train,m.png,model:net@1,0.9\n",
        "14,14.png,dog,val,m.png,human:ann,\n",
        "15,15.png,dog,val,,,\n",
    ]
    unsure = [f"{k},{k}.png,cat,train,{'' if k else 'm.png'},{'' if k else 'human:ann'},0.{k:02d}\n" for k in range(13)]
    (place / "machine.csv").write_text(header + "".join([*rest[:1], *unsure, *rest[1:]]))
    return place


@pytest.fixture
def collection(folder):
    return open_collection(folder, manifest=folder / "drafts.csv", mode="review", classes=["cat"])


def judge(collection, page, verdicts):
    """Give verdicts by image: accept, reject, or the box of an edit."""
    while tasks := page.tasks():
        image = collection.store.task(int(tasks[0]["id"]), 1).unit
        if image not in verdicts:
            return
        verdict = verdicts[image]
        shapes = [] if isinstance(verdict, str) else [{"kind": "box", "points": [verdict[:2], verdict[2:]]}]
        shapes = tasks[0]["drafts"][0]["shapes"] if verdict == "accept" else shapes
        word = verdict if isinstance(verdict, str) else "edit"
        page.save(tasks[0]["id"], answer=None, shapes=shapes, review=word, draft=0, blank=verdict == "blank")


EDITS = {"2": (4, 4, 20, 12), "5": (12, 4, 28, 20), "6": (4, 4, 20, 20)}
VERDICTS = {"0": "accept", "1": "accept", "3": "accept", "4": "reject", **EDITS}
IOU = {"2": 128 / 256, "5": 128 / 384, "6": 1.0}


def found(collection):
    return summarise_review(collection, answers_of(collection, collection.store.snapshot())[0])


def test_agreement_is_that_of_the_draft_with_what_came_of_it(collection, joined):
    nothing = found(collection)
    assert (nothing.judged, nothing.saved, nothing.machine) == (0, 12, 12)
    assert math.isnan(nothing.iou)
    assert nothing.sentences(0.5) == []
    judge(collection, joined(collection, "Rev"), VERDICTS)
    one = found(collection)
    assert (one.accepted, one.edited, one.rejected) == (3, 3, 1)
    draft = painted(*DRAFT).ravel()
    cc = {image: np.corrcoef(draft, painted(*box).ravel())[0, 1] for image, box in EDITS.items()}
    assert one.iou == pytest.approx((3 + sum(IOU.values())) / 7)
    assert one.cc == pytest.approx((3 + sum(cc.values())) / 7)
    assert (one.machine, one.taken, one.unasked, one.saved) == (12, 2, 6, 8), "image 0 is a person's"
    assert one.sentences(None) == [
        "drafts: 3 accepted, 3 edited, 1 rejected; mean agreement with what came of them: IoU 0.69, correlation 0.72 "
        "(accepted 1, rejected 0)",
        "maps nobody had to draw: 8 of 12 (2 accepted, 6 not asked about)",
    ]


def test_it_is_enough_from_ten_verdicts_and_the_target_on(collection, joined):
    page = joined(collection, "Rev")
    judge(collection, page, VERDICTS)
    assert found(collection).enough(0.1) is None
    assert found(collection).sentences(0.1)[-1] == "good enough (mean IoU of 0.1 or more): not known before 10 verdicts"
    judge(collection, page, {"7": "accept", "8": "accept", "9": "accept"})
    one = found(collection)
    iou = (6 + sum(IOU.values())) / 10
    assert one.judged == 10
    assert (one.enough(None), one.enough(iou - 0.01), one.enough(iou + 0.01)) == (None, True, False)
    assert one.sentences(0.5)[-1].endswith("yes: the rest can stay the machine's")
    assert one.sentences(0.95)[-1].endswith("no: go on")


def test_of_many_edits_some_are_compared(collection, joined, monkeypatch):
    judge(collection, joined(collection, "Rev"), VERDICTS)
    monkeypatch.setattr(module, "COMPARED", 1)
    few = found(collection)
    assert any(few.iou == pytest.approx((3 + 3 * one) / 7) for one in IOU.values())
    assert few == found(collection), "the same at every look"


def test_edits_that_cannot_be_compared_lower_no_agreement(collection, joined, monkeypatch):
    monkeypatch.setattr(module, "_compared", lambda collection, answer: None)
    page = joined(collection, "Rev")
    judge(collection, page, {"0": "accept", "1": "accept", "2": EDITS["2"], "3": "reject"})
    assert (found(collection).iou, found(collection).cc) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_the_owner_sees_it(folder, joined):
    collection = open_collection(folder, manifest=folder / "drafts.csv", mode="review", classes=["cat"], enough=0.5)
    page = joined(collection, "Rev")
    judge(collection, page, VERDICTS)
    review = owner_of(collection, page).call("GET", "/api/owner/summary")["review"]
    assert review == {
        "accepted": 3, "edited": 3, "rejected": 1, "judged": 7, "machine": 12, "taken": 2, "unasked": 6, "saved": 8,
        "iou": pytest.approx((3 + sum(IOU.values())) / 7), "cc": pytest.approx(found(collection).cc),
        "target": 0.5, "enough": None, "fewest": 10,
    }  # fmt: skip
    plain = open_collection(folder, manifest=folder / "drafts.csv", out=folder / "plain", classes=["cat"])
    assert owner_of(plain, joined(plain, "Ann")).call("GET", "/api/owner/summary")["review"] is None


@pytest.mark.parametrize("size", [(300, 200), (100, 1000)])
def test_a_draft_of_shapes_is_drawn_at_the_size_of_what_it_is_compared_with(collection, size):
    """A quarter of the image, wherever its longest side of at most 128 pixels puts it."""
    height, width = size
    box = Box(width / 2, 0, width, height / 2)
    small = (128, round(128 * width / height)) if height > width else (round(128 * height / width), 128)
    found = small_map(collection.draft_marks("0", Draft("human:ann", shapes=(box,))), size)
    expected = np.zeros(small)
    expected[: small[0] // 2, -(small[1] // 2) :] = 1
    assert found.shape == small
    assert np.abs(found - expected).sum() <= max(small)  # a row or a column of pixels


def test_an_export_goes_back_among_the_other_rows(folder, collection, joined):
    judge(collection, joined(collection, "Rev"), VERDICTS)
    collection.store.close()
    said = salign(
        "annotate", folder, "--manifest", folder / "drafts.csv", "--enough", "0.9",
        "--export", folder / "reviewed", "--into", folder / "machine.csv",
    ).out  # fmt: skip
    assert "16 images, 7 maps of people and 7 of machines" in said
    assert "maps nobody had to draw: 8 of 12" in said
    assert "good enough (mean IoU of 0.9 or more): not known" in said
    whole = Manifest.read(folder / "reviewed" / "manifest.csv", folder)
    table = whole.table.set_index("id").fillna("")
    assert table.index.tolist() == ["13", *map(str, range(13)), "14", "15"], "the order of the older one"
    by = {"0": "human:Rev", "4": "", "14": "human:ann", "15": ""} | dict.fromkeys(
        ("1", "2", "3", "5", "6"), "human:Rev"
    )
    assert table["provenance"].to_dict() == {**dict.fromkeys(map(str, range(7, 14)), "model:net@1"), **by}
    assert (table["saliency"] == "").to_dict() == {name: name in ("4", "15") for name in table.index}
    assert table["split"].to_dict() == {name: "val" if name in ("14", "15") else "train" for name in table.index}
    assert table.loc["13", "confidence"] == "0.9"
    assert table.loc["2", "saliency_Rev"].startswith("reviewed/maps/Rev/")
    refused = salign(
        "annotate", folder, "--manifest", folder / "machine.csv", "--out", folder / "annotations",
        "--export", folder / "again", "--into", folder / "drafts.csv", code=2,
    )  # fmt: skip
    assert "3 images are not in drafts.csv, first '13'" in refused.err + refused.out
    assert "give --export FOLDER as well" in salign("annotate", folder, "--into", folder / "machine.csv", code=2).err
