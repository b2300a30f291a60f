"""What the store promises, on SQLite and on a real Postgres."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from salign.annotate.rows import Plan
from salign.annotate.store import KeyReused, Store
from salign.errors import SalignError


@pytest.fixture
def store(url):
    made = Store(url)
    yield made
    made.close()


def plan_one(unit):
    return lambda mine, taken: [Plan(unit, [unit], None, False)]


def test_annotators_are_made_once_and_keep_their_first_consent(store):
    ann = store.add_person("Ann")
    assert store.add_person("Ann") == ann
    assert store.add_person("Bob").id != ann.id
    store.change_person(ann.id, shown="Anna", consented=5.0)
    store.change_person(ann.id, consented=9.0)
    found = store.person(ann.id)
    assert (found.name, found.shown, found.consented) == ("Ann", "Anna", 5.0)
    assert store.person(999) is None


def test_every_revision_is_kept_and_the_base_decides_which_counts(store):
    ann = store.add_person("Ann")
    (task,) = store.hand_out(ann.id, 60, plan_one("a"))
    assert (task.unit, task.state, task.revision, task.position) == ("a", "open", 0, 0)
    first = store.save("k1", task, 0, {"answer": "cat", "skipped": None})
    again = store.save("k1", task, 0, {"answer": "cat", "skipped": None})
    assert (first.number, first.side, first.again) == (1, False, False)
    assert (again.number, again.side, again.again) == (1, False, True)
    side = store.save("k2", task, 0, {"answer": "dog", "skipped": None})
    assert (side.side, side.latest) == (True, 1)
    assert store.task(task.id, ann.id).revision == 1
    later = store.save("k3", task, 1, {"answer": None, "skipped": "blurred"})
    assert (later.number, later.side) == (3, False)
    assert store.task(task.id, ann.id).state == "skipped"
    kept = store.revisions(task.id)
    assert [(one.number, one.base, one.side, one.body["answer"]) for one in kept] == [
        (1, 0, False, "cat"), (2, 0, True, "dog"), (3, 1, False, None),
    ]  # fmt: skip
    assert store.latest(ann.id)[task.id].number == 3
    assert store.snapshot().latest[task.id].body["skipped"] == "blurred"


def test_a_key_names_one_save(store):
    ann = store.add_person("Ann")
    (task,) = store.hand_out(ann.id, 60, plan_one("a"))
    (_, other) = store.hand_out(ann.id, 60, plan_one("b"))
    store.save("k", task, 0, {"answer": "cat"})
    with pytest.raises(KeyReused):
        store.save("k", task, 0, {"answer": "dog"})
    with pytest.raises(KeyReused):
        store.save("k", other, 0, {"answer": "cat"})
    assert len(store.revisions(task.id)) == 1
    assert store.revisions(other.id) == []


def test_what_is_saved_is_there_after_reopening(url):
    store = Store(url)
    (task,) = store.hand_out(store.add_person("Ann").id, 60, plan_one("a"))
    store.save("k", task, 0, {"answer": "ÄΩ🐈\u0000", "skipped": None})
    store.close()
    again = Store(url)
    assert again.snapshot().latest[task.id].body["answer"] == "ÄΩ🐈\u0000"
    again.close()


def test_a_task_belongs_to_its_annotator(store):
    ann, bob = store.add_person("Ann"), store.add_person("Bob")
    (task,) = store.hand_out(ann.id, 60, plan_one("a"))
    assert store.task(task.id, bob.id) is None
    assert store.tasks(bob.id) == []


def test_leases_expire_and_are_renewed(store):
    ann, bob = store.add_person("Ann"), store.add_person("Bob")
    store.hand_out(ann.id, 0.2, plan_one("a"))
    counts = []

    def look(mine, taken):
        counts.append(dict(taken))
        return []

    store.hand_out(bob.id, 60, look)
    time.sleep(0.3)
    store.hand_out(bob.id, 60, look)
    store.hand_out(ann.id, 60, lambda mine, taken: [])
    store.hand_out(bob.id, 60, look)
    assert counts == [{"a": 1}, {}, {"a": 1}]


def test_the_same_save_from_many_threads_is_stored_once(store):
    (task,) = store.hand_out(store.add_person("Ann").id, 60, plan_one("a"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.save("k", task, 0, {"answer": "cat"}), range(24)))
    assert [one.number for one in found] == [1] * 24
    assert sum(not one.again for one in found) == 1


def test_of_many_saves_on_one_base_one_counts_and_all_are_kept(store):
    (task,) = store.hand_out(store.add_person("Ann").id, 60, plan_one("a"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: store.save(f"k{n}", task, 0, {"answer": str(n)}), range(16)))
    assert sum(not one.side for one in found) == 1
    assert sorted(one.number for one in found) == list(range(1, 17))
    assert len(store.revisions(task.id)) == 16


def test_nobody_gets_a_seat_that_is_taken(store):
    """Twelve annotators at once, 20 units, 3 seats each: no unit is handed out four times, none twice to one person."""
    people = [store.add_person(f"p{number}") for number in range(12)]
    start = threading.Barrier(12)

    def work(person):
        start.wait()
        for _ in range(20):

            def plan(mine, taken):
                seen = {task.unit for task in mine}
                free = [str(unit) for unit in range(20) if str(unit) not in seen and taken.get(str(unit), 0) < 3]
                return [Plan(free[0], [free[0]], None, False)] if free else []

            store.hand_out(person.id, 60, plan)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, people))
    tasks = store.snapshot().tasks
    assert Counter(task.unit for task in tasks) == {str(unit): 3 for unit in range(20)}
    assert len({(task.unit, task.annotator) for task in tasks}) == 60


def test_facts_about_a_study_stand_from_the_first_task_on(store):
    assert store.remember("mode", "single") == "single"
    assert store.remember("mode", "pair") == "pair", "a mistake at the start is mended"
    store.hand_out(store.add_person("Ann").id, 60, plan_one("a"))
    assert store.remember("mode", "single") == "pair"
    assert store.remember("mode", "pair") == "pair"


def test_a_snapshot_holds_still_while_others_save(store):
    ann = store.add_person("Ann")
    store.hand_out(ann.id, 60, lambda mine, taken: [Plan(str(n), [str(n)], None, False) for n in range(30)])
    stop = threading.Event()

    def saving():
        for task in store.tasks(ann.id):
            store.save(f"k{task.id}", task, 0, {"answer": "cat", "skipped": None})
        stop.set()

    thread = threading.Thread(target=saving)
    thread.start()
    while not stop.is_set():
        seen = store.snapshot()
        done = {task.id for task in seen.tasks if task.state == "done"}
        assert done == set(seen.latest)
    thread.join()
    assert len(store.snapshot().latest) == 30


def test_sqlite_syncs_every_commit(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    with store._reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    store.close()


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path):
    with pytest.raises(SalignError, match="cannot open the database") as error:
        Store("postgresql://ann:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)
    with pytest.raises(SalignError, match="cannot open"):
        Store(f"sqlite:///{tmp_path / 'no' / 'such' / 'a.db'}")
