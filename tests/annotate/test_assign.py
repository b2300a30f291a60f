"""Who sees what: coverage, once each, and an order that only the seed and the annotator decide."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, strategies as st

from salign.annotate import assign


@given(
    units=st.integers(1, 12),
    people=st.integers(1, 6),
    per_unit=st.integers(1, 6),
    seed=st.integers(0, 5),
    turns=st.lists(st.integers(0, 5), max_size=90),
)
def test_everybody_who_comes_fills_units_evenly_and_never_twice(units, people, per_unit, seed, turns):
    names = [str(number) for number in range(units)]
    taken, seen = Counter(), {person: [] for person in range(people)}
    orders = {person: assign.order(names, annotator=person, seed=seed) for person in seen}
    for turn in turns + list(range(people)) * units:
        person = turn % people
        (*got,) = assign.choose(orders[person], taken, seen[person], per_unit=per_unit, count=1)
        free = [name for name in names if name not in seen[person] and taken[name] < per_unit]
        assert bool(got) == bool(free)
        for unit in got:
            assert taken[unit] == min(taken[name] for name in free), "the least annotated first"
            taken[unit] += 1
            seen[person].append(unit)
    assert all(len(set(own)) == len(own) for own in seen.values())
    assert all(taken[name] == min(per_unit, people) for name in names), "k each, or as many as there are people"


@given(st.lists(st.text(max_size=3), unique=True, max_size=30), st.integers(0, 9), st.integers(0, 9), st.randoms())
def test_the_order_depends_on_seed_and_annotator_only(units, annotator, seed, lot):
    shuffled = list(units)
    lot.shuffle(shuffled)
    first = assign.order(units, annotator=annotator, seed=seed)
    assert sorted(first) == sorted(units)
    assert assign.order(shuffled, annotator=annotator, seed=seed) == first


def test_orders_differ_between_annotators_and_seeds_and_every_place_is_equally_likely():
    units = list("abcde")
    orders = [tuple(assign.order(units, annotator=person, seed=seed)) for person in range(40) for seed in range(25)]
    for place in range(5):
        counts = Counter(found[place] for found in orders)
        assert all(150 < counts[unit] < 250 for unit in units), counts  # 200 expected, sd 12.6
    assert len(set(orders)) > 115  # of 120


def test_choose_takes_the_first_of_the_order_among_equals():
    ordered = ["c", "a", "d", "b"]
    assert assign.choose(ordered, {"c": 1}, {"d"}, per_unit=2, count=3) == ["a", "b", "c"]
    assert assign.choose(ordered, {"c": 2, "a": 2}, (), per_unit=2, count=9) == ["d", "b"]


@given(st.integers(0, 50), st.integers(0, 50), st.sampled_from([0.05, 0.1, 0.2, 0.25, 0.5]))
def test_one_gold_image_in_every_block(annotator, seed, share):
    block = round(1 / share)
    due = [assign.gold_is_due(place, annotator=annotator, seed=seed, share=share) for place in range(block * 20)]
    assert [sum(due[start : start + block]) for start in range(0, len(due), block)] == [1] * 20


def test_where_the_gold_image_stands_is_drawn():
    places = Counter(
        place
        for annotator in range(500)
        for place in range(10)
        if assign.gold_is_due(place, annotator=annotator, seed=0, share=0.1)
    )
    assert all(25 < places[place] < 80 for place in range(10)), places  # 50 expected, sd 6.7


@given(st.integers(2, 5), st.integers(0, 20), st.text(max_size=4))
def test_arms_occur_equally_often_in_every_run(arms, seed, owner):
    names = [str(arm) for arm in range(arms)]
    drawn = [assign.arm_of(names, number, owner=owner, seed=seed) for number in range(arms * 6)]
    for start in range(0, len(drawn), arms):
        assert sorted(drawn[start : start + arms]) == names


def test_sides_are_drawn_for_each_annotator():
    left = [assign.sides(("a", "b"), annotator=annotator, seed=1)[0] for annotator in range(400)]
    assert 160 < left.count("a") < 240
    assert sorted(assign.sides(("a", "b"), annotator=3, seed=1)) == ["a", "b"]
