"""Agreement on answers and maps, and who is named to be looked at."""

from __future__ import annotations

import math
import random
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from annotate_page import BOX, owner_of, write_images
from references.krippendorff import alpha as slow_alpha
from salign.annotate.opening import open_collection
from salign.annotate.quality import MapAgreement, krippendorff, map_agreement, overlap, suspicions
from salign.annotate.records import read_annotation
from salign.annotate.summary import Overview, Summary, summarise

ANSWERS = st.lists(st.lists(st.sampled_from("abc"), max_size=5), max_size=12)


@given(ANSWERS)
def test_alpha_equals_its_definition(units):
    assert krippendorff(units) == pytest.approx(slow_alpha(units), abs=1e-12, nan_ok=True)


@given(ANSWERS, st.randoms())
def test_alpha_knows_no_order_of_units_annotators_and_names(units, lot):
    turned = [[{"a": "x", "b": "y", "c": "z"}[value] for value in values] for values in units]
    lot.shuffle(turned)
    for values in turned:
        lot.shuffle(values)
    assert krippendorff(turned) == pytest.approx(krippendorff(units), abs=1e-12, nan_ok=True)


def test_alpha_of_krippendorffs_own_examples():
    """Krippendorff 2011, sections B (two observers, nominal: .692) and C (four observers, data missing: .743)."""
    first, second = "aabbdcccedda", "babbbccceddd"
    assert krippendorff(zip(first, second, strict=True)) == pytest.approx(0.692, abs=5e-4)
    rows = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    columns = zip(*(row.split() for row in rows), strict=True)
    units = [[value for value in column if value != "."] for column in columns]
    assert krippendorff(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_one_zero_or_nothing():
    assert krippendorff([["a", "a"], ["b", "b", "b"], ["a"]]) == 1
    assert math.isnan(krippendorff([["a", "a"], ["a", "a"]])), "with one answer there is nothing to agree on"
    assert math.isnan(krippendorff([["a"], []]))
    lot = random.Random(0)
    assert abs(krippendorff([[lot.choice("ab") for _ in range(3)] for _ in range(4000)])) < 0.03


def disc(x, y, radius=8, side=64):
    rows, columns = np.mgrid[:side, :side]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def test_overlap_is_intersection_over_union():
    assert overlap(disc(20, 20), disc(20, 20)) == 1
    assert overlap(disc(10, 10), disc(50, 50)) == 0
    a, b = disc(20, 20), disc(24, 20)
    assert overlap(a, b) == pytest.approx((a & b).sum() / (a | b).sum())
    assert math.isnan(overlap(np.zeros((4, 4)), np.zeros((4, 4))))


def test_map_agreement_over_pairs_images_and_annotators():
    same, moved, away = disc(20, 20), disc(24, 20), disc(50, 50)
    blank = np.zeros_like(same)
    maps = [{1: same, 2: moved, 3: away}, {1: same, 2: same}, {1: same, 3: blank}, {2: away}]
    found = map_agreement(dict(zip("abcd", maps, strict=True)))

    def cc(a, b):
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    first = (cc(same, moved) + cc(same, away) + cc(moved, away)) / 3
    assert found.images == 2
    assert found.by_image == {"a": pytest.approx(first), "b": pytest.approx(1)}
    assert found.cc == pytest.approx((first + 1) / 2)
    assert found.iou == pytest.approx((overlap(same, moved) / 3 + 1) / 2)
    assert found.by_person[1] == pytest.approx((cc(same, moved) + cc(same, away) + 1) / 3)
    assert found.by_person[3] == pytest.approx((cc(same, away) + cc(moved, away)) / 2)
    rest = (moved.astype(float) + away) / 2
    loo = [cc(same, rest), cc(moved, (same.astype(float) + away) / 2), cc(away, (same.astype(float) + moved) / 2)]
    assert found.ceiling == pytest.approx((np.mean(loo) + 1) / 2)


def test_a_soft_map_that_is_zero_nowhere_is_compared_and_one_that_is_the_same_everywhere_is_not():
    soft = disc(20, 20) + 0.1
    assert map_agreement({"a": {1: soft, 2: disc(20, 20)}}).cc == pytest.approx(1)
    assert map_agreement({"a": {1: np.full((64, 64), 0.3), 2: disc(20, 20)}}).images == 0


def test_without_two_maps_nothing_is_said():
    found = map_agreement({})
    assert isinstance(found, MapAgreement)
    assert math.isnan(found.cc)
    assert found.by_person == {}


def said(person, unit, value="a", *, side=None, seconds=5.0, blank=False, skipped=False):
    told = SimpleNamespace(side=side, blank=blank)
    who, what = SimpleNamespace(id=person), SimpleNamespace(id=unit)
    return SimpleNamespace(person=who, unit=what, value=value, annotation=told, seconds=seconds, skipped=skipped)


def of(person, count=20, units=20, **all_alike):
    """Answers to 20 units: the first `count` as told, the rest as a careful person would give them."""
    usual = [{"value": "ab"[unit % 2], "seconds": 5.0} for unit in range(units)]
    return [said(person, unit, **(usual[unit] | (all_alike if unit < count else {}))) for unit in range(units)]


@pytest.mark.parametrize(
    ("own", "reasons"),
    [
        (of(1), []),
        (of(1, value="a"), ["answered 'a' 20 of 20 times"]),
        (of(1, count=18, value="b"), ["answered 'b' 19 of 20 times"]),  # the 20th is `b` anyhow
        (of(1, count=16, value="b"), []),
        (of(1, count=18, side=1, value="x"), ["chose right 18 of 18 times"]),
        ([*of(1, 19, 19, side=0), said(1, 19, side=1)], ["chose left 19 of 20 times"]),
        ([*of(1, 18, 18, side=0), said(1, 18, side=1), said(1, 19, side=1)], []),
        (of(1, seconds=1.49), ["1.5 s for an image; the others take 5.0 s"]),
        (of(1, seconds=1.5), []),
        (of(1, count=11, blank=True), ["nothing to mark in 11 of 20; the others marked most of these"]),
        (of(1, count=10, blank=True), []),
        (of(1, 9, 9, value="a", seconds=0.1), []),  # too few to judge
        ([*of(1, 9, 9, value="a"), said(1, 9, skipped=True)], []),
        (of(1, 10, 10, value="a"), ["answered 'a' 10 of 10 times"]),
    ],
)
def test_who_is_named_and_from_where_on(own, reasons):
    careful = of(2) + of(3)
    assert suspicions([*own, *careful], {}, {}, {}) == ({1: reasons} if reasons else {})


def test_what_all_do_is_no_reason():
    one_sided = of(2, value="a") + of(3, value="a")
    assert suspicions([*of(1, value="a"), *one_sided], {}, {}, {}) == {}
    assert suspicions([*of(1, blank=True), *of(2, blank=True), *of(3)], {}, {}, {}) == {}, "half of the others"
    assert suspicions(of(1, value="a", seconds=0.1), {}, {}, {}) == {}, "nobody to compare with"


def test_gold_and_agreement_from_where_on():
    answers = of(1) + of(2) + of(3)
    low = suspicions(answers, {1: (2, 4), 2: (0, 3), 3: (7, 10)}, {}, {})
    assert low == {1: ["2 of 4 gold images right"]}
    assert suspicions(of(1, 5, 5), {1: (0, 4)}, {}, {}) == {1: ["0 of 4 gold images right"]}, "also of few answers"
    apart = suspicions(answers, {}, {1: 0.47, 2: 0.8, 3: 0.8}, {1: 0.8, 2: 0.47, 3: 0.8})
    assert apart == {
        1: ["answers agree with the others' to 0.47; theirs to 0.80"],
        2: ["maps agree with the others' to 0.47; theirs to 0.80"],
    }
    assert suspicions(answers, {}, {1: 0.48, 2: 0.8, 3: 0.8}, {1: 0.1}) == {}, "from .6 of theirs on it is near enough"
    assert suspicions(answers, {}, {1: -0.15, 2: -0.2, 3: -0.2}, {}) == {}, "it agrees better than they do"


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Twenty images of two classes, four of them gold, by two careful people and one of each kind of careless."""
    folder = write_images(tmp_path_factory.mktemp("collected") / "set", 20, (40, 40))
    truth = {f"{n}.png": "cat" if n % 2 else "dog" for n in range(20)}
    gold = {name: truth[name] for name in list(truth)[:4]}
    collection = open_collection(
        folder, classes=["cat", "dog"], annotators_per_image=7, gold=gold, gold_share=0.25, confidence=True
    )
    lot = random.Random(1)

    def careful(image, n):
        near = [[5 + n % 5, 5], [20 + n % 5, 20]]
        return {"answer": truth[image], "elapsed_ms": lot.uniform(4000, 6000), "shapes": [{**BOX, "points": near}]}

    def wrong(image, n):
        return careful(image, n) | {"answer": "cat" if truth[image] == "dog" else "dog"}

    def elsewhere(image, n):
        return careful(image, n) | {"shapes": [{**BOX, "points": [[30, 30], [39, 39]]}]}

    kinds = {
        "good one": careful,
        "good two": careful,
        "hasty": lambda image, n: careful(image, n) | {"elapsed_ms": 300.0},
        "always cat": lambda image, n: careful(image, n) | {"answer": "cat"},
        "wrong": wrong,
        "elsewhere": elsewhere,
        "lazy": lambda image, n: careful(image, n) | {"shapes": [], "blank": True},
    }
    for name, kind in kinds.items():
        person, number = collection.store.add_person(name), 0
        while tasks := collection.next_tasks(person, [])["tasks"]:
            image = collection.task(person, tasks[0]["id"]).unit
            body = {"task": tasks[0]["id"], "base": 0, "confidence": 3} | kind(image, number)
            collection.save(person, str(uuid.uuid4()), read_annotation(body, 100))
            number += 1
        assert number == 20
    return summarise(collection).summary


def test_the_careless_are_named_with_the_reason_and_the_careful_are_not(collected):
    named: dict[str, list[str]] = {}
    for row in collected["suspicious"]:
        named.setdefault(row["name"], []).append(row["reason"])
    assert set(named) == {"hasty", "always cat", "wrong", "elsewhere", "lazy"}
    assert "0.3 s for an image; the others take" in named["hasty"][0]
    assert "answered 'cat' 20 of 20 times" in named["always cat"]
    assert "2 of 4 gold images right" in named["always cat"]
    assert "0 of 4 gold images right" in named["wrong"]
    assert any(reason.startswith("answers agree with the others' to 0.") for reason in named["wrong"])
    assert any(reason.startswith("maps agree") for reason in named["elsewhere"])
    assert named["lazy"] == ["nothing to mark in 20 of 20; the others marked most of these"]


def test_the_summary_counts_what_was_saved(collected):
    summary = collected
    assert set(summary) == {
        "title", "mode", "annotators_per_image", "coverage", "agreement", "seconds", "annotators", "suspicious", "arms",
        "review", "broken", "images", "another", "when",
    }  # fmt: skip
    assert (summary["mode"], summary["annotators_per_image"], summary["arms"]) == ("single", 7, None)
    assert summary["title"] == "Annotation"
    assert set(summary["annotators"][0]) == {
        "id", "name", "shown", "answered", "skipped", "blank", "open", "returned", "left", "median_seconds",
        "gold_right", "gold_seen", "agreement", "map_agreement", "confidence", "last", "consented", "arm", "suspicious",
    }  # fmt: skip
    assert set(summary["images"][0]) == {"id", "count", "skipped", "answers", "gold"}
    assert summary["coverage"] | {"by_count": 0} == {
        "images": 16, "wanted": 112, "answered": 112, "complete": 16, "untouched": 0, "skipped": 0, "gold": 4,
        "by_count": 0,
    }  # fmt: skip
    assert summary["coverage"]["by_count"] == [{"annotators": 7, "images": 16}]
    rows = {row["name"]: row for row in summary["annotators"]}
    assert (rows["good one"]["answered"], rows["good one"]["gold_right"], rows["good one"]["gold_seen"]) == (20, 4, 4)
    assert rows["lazy"]["blank"] == 20
    assert rows["hasty"]["median_seconds"] == pytest.approx(0.3)
    assert 4 < rows["good two"]["median_seconds"] < 6
    assert rows["good one"]["agreement"] == 1
    assert rows["wrong"]["agreement"] == 0
    assert rows["lazy"]["map_agreement"] is None
    assert rows["good one"]["confidence"] == 3
    assert summary["agreement"]["answers"] == 20
    assert summary["agreement"]["images"] == 20
    assert 0 < summary["agreement"]["alpha"] < 1
    assert (
        0 < summary["agreement"]["map_iou"] < summary["agreement"]["map_cc"] < summary["agreement"]["map_ceiling"] < 1
    )
    assert len(summary["images"]) == 20
    assert sum(sum(row["answers"].values()) for row in summary["images"]) == 140


def test_before_the_first_answer_there_are_no_figures(opened, joined):
    summary = owner_of(collection := opened(), joined(collection, "Ann")).call("GET", "/api/owner/summary")
    assert summary["agreement"] == {
        "alpha": None, "answers": 0, "map_cc": None, "map_iou": None, "map_ceiling": None, "images": 0, "of": 200,
    }  # fmt: skip
    assert summary["seconds"] is None
    assert summary["coverage"]["untouched"] == 6
    assert summary["annotators"][0]["median_seconds"] is None


def test_a_summary_is_made_once_for_many_looks(opened, joined, monkeypatch):
    collection, made = opened(), []
    monkeypatch.setattr("salign.annotate.summary.summarise", lambda _: made.append(1) or Overview({"n": len(made)}, []))
    summary = Summary(collection, seconds=60)
    assert [summary.get().summary["n"] for _ in range(5)] == [1] * 5
    hurried = Summary(collection, seconds=0, share=math.inf)
    assert [hurried.get().summary["n"] for _ in range(2)] == [2, 3]


def test_alpha_of_pairs_is_about_which_of_the_two(tmp_path, joined):
    """All right: 1; three quarters right: 2 (.75^2 + .25^2) - 1 = .25, though no two pairs share an answer."""
    folder = write_images(tmp_path / "set", 60, (4, 4))
    rows = [f"{n},{n}.png,{'real' if n % 2 else 'fake'},train," for n in range(60)]
    (folder / "manifest.csv").write_text("id,path,label,split,saliency\n" + "\n".join(rows))
    for name, right in (("right", 1.0), ("random", 0.5)):
        collection = open_collection(
            folder, out=tmp_path / name, mode="pair", classes=["real", "fake"], annotators_per_image=2
        )
        lot = random.Random(0)
        for who in ("Ann", "Bob"):
            person = collection.store.add_person(who)
            while tasks := collection.next_tasks(person, [])["tasks"]:
                images = collection.task(person, tasks[0]["id"]).images
                fake = [collection.catalog.pictures[image].label for image in images].index("fake")
                side = fake if lot.random() < right else lot.randrange(2)
                body = {"task": tasks[0]["id"], "base": 0, "elapsed_ms": 1, "side": side, "blank": True}
                collection.save(person, str(uuid.uuid4()), read_annotation(body, 100))
        found = summarise(collection).summary["agreement"]
        assert found["answers"] == 30
        assert found["alpha"] == (1 if right == 1 else pytest.approx(0.25, abs=0.35))


def test_the_arms_of_help_are_compared(tmp_path, joined):
    folder = write_images(tmp_path / "set", 4)
    rows = [f"{n},{n}.png,cat,train,,dog" for n in range(4)]
    (folder / "manifest.csv").write_text("id,path,label,split,saliency,decision\n" + "\n".join(rows))
    settings = {"arms": ["none", "decision"], "by": "image"}
    gold = dict.fromkeys(map(str, range(4)), "cat")
    collection = open_collection(folder, mode="assisted", classes=["cat", "dog"], assisted=settings, gold=gold)
    page = joined(collection, "Ann")
    while tasks := page.tasks():
        page.save(tasks[0]["id"], answer=tasks[0]["decision"] or "cat")
    summary = owner_of(collection, page).call("GET", "/api/owner/summary")
    assert [(row["arm"], row["answered"], row["gold_right"], row["gold_seen"]) for row in summary["arms"]] == [
        ("none", 2, 2, 2), ("decision", 2, 0, 2),
    ]  # fmt: skip
