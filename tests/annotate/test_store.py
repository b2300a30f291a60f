"""What the store promises, on SQLite and on a real Postgres."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from salign.annotate.records import Mistaken
from salign.annotate.rows import Comment, Plan
from salign.annotate.store import Changed, Comments, KeyReused, LinkClosed, Links, Store
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
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    store.close()


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path):
    with pytest.raises(SalignError, match="cannot open the database") as error:
        Store("postgresql://ann:secret@127.0.0.1:1/none")
    assert "secret" not in str(error.value)
    with pytest.raises(SalignError, match="cannot open"):
        Store(f"sqlite:///{tmp_path / 'no' / 'such' / 'a.db'}")


FIRST_VERSION = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE annotators (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, shown TEXT NOT NULL,
  created DOUBLE PRECISION NOT NULL, consented DOUBLE PRECISION);
CREATE TABLE tasks (id BIGINT PRIMARY KEY, unit TEXT NOT NULL, annotator BIGINT NOT NULL REFERENCES annotators (id),
  position INTEGER NOT NULL, images TEXT NOT NULL, arm TEXT, gold BOOLEAN NOT NULL, leased DOUBLE PRECISION NOT NULL,
  state TEXT NOT NULL, revision INTEGER NOT NULL);
CREATE TABLE revisions (id BIGINT PRIMARY KEY, task BIGINT NOT NULL REFERENCES tasks (id), number INTEGER NOT NULL,
  key TEXT NOT NULL UNIQUE, base INTEGER NOT NULL, side BOOLEAN NOT NULL, body TEXT NOT NULL,
  created DOUBLE PRECISION NOT NULL);
INSERT INTO about VALUES ('version', '1'), ('study', 'abc'), ('mode', 'single');
INSERT INTO annotators VALUES (1, 'Ann', 'Anna', 5, 6);
INSERT INTO tasks VALUES (7, 'a', 1, 0, '["a"]', NULL, false, 9, 'done', 1);
INSERT INTO revisions VALUES (3, 7, 1, 'k', 0, false, '{"answer": "cat"}', 8);
"""


def made_by_the_first_version(url):
    """A database as salign 0.1 made it, with one answer."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        for statement in FIRST_VERSION.split(";\n")[:-1]:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_database_of_the_first_version_is_brought_to_this_one_with_all_its_rows(url):
    made_by_the_first_version(url)
    for _ in range(2):  # the second time nothing is left to do
        store = Store(url)
        found = store.snapshot()
        assert store.study == "abc"
        assert [(one.id, one.name, one.shown, one.consented, one.invite, one.stopped) for one in found.people] == [
            (1, "Ann", "Anna", 6.0, None, None)
        ]
        assert [(task.id, task.unit, task.state, found.latest[task.id].body) for task in found.tasks] == [
            (7, "a", "done", {"answer": "cat"})
        ]
        assert (found.comments, Links(store).invites()) == ([], [])
        with store.reading() as connection:
            assert connection.exec_driver_sql("SELECT value FROM about WHERE key = 'version'").scalar() == "2"
        store.close()
    store = Store(url)
    Comments(store).add(7, 1, "look", back=True)
    assert store.tasks(1)[0].state == "returned"
    store.close()


def test_a_database_of_a_later_version_is_refused_and_left_as_it_was(url):
    made_by_the_first_version(url)
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE about SET value = '3' WHERE key = 'version'")
    with pytest.raises(SalignError, match="its tables are of version 3, and this salign knows them up to 2"):
        Store(url)
    assert set(sa.inspect(engine).get_table_names()) == {"about", "annotators", "tasks", "revisions"}
    engine.dispose()


class TestLinks:
    def test_an_invite_is_made_once_and_its_limits_can_be_changed(self, store):
        links = Links(store)
        first = links.make_invite("class 7", people=2, images=10, until=99.0)
        assert (first.name, first.people, first.images, first.until, first.joined) == ("class 7", 2, 10, 99.0, 0)
        again = links.make_invite("class 7", people=3)
        assert (again.id, again.people, again.images, again.until) == (first.id, 3, None, None)
        other = links.make_invite("class 8")
        assert [one.id for one in links.invites()] == [first.id, other.id]
        assert links.invite(other.id) == other
        assert links.invite(999) is None

    def test_as_many_join_as_it_is_for_and_the_others_links_go_on(self, store):
        links = Links(store)
        two, any_number = links.make_invite("two", people=2), links.make_invite("any")
        ann, bob = (links.join(two.id, name) for name in ("Ann", "Bob"))
        assert (ann.invite, bob.invite, ann.name) == (two.id, two.id, "Ann")
        with pytest.raises(LinkClosed, match="2 people have joined, and it is for no more"):
            links.join(two.id, "Eve")
        assert links.join(any_number.id, "Eve").invite == any_number.id
        assert [one.joined for one in links.invites()] == [2, 1]

    def test_nobody_takes_the_name_of_another(self, store):
        links = Links(store)
        invite = links.make_invite("any")
        store.add_person("Jos\u00e9")
        with pytest.raises(Mistaken, match="somebody of this name takes part already"):
            links.join(invite.id, "Jose\u0301")
        assert links.invite(invite.id).joined == 0

    def test_a_stopped_or_ended_invite_lets_nobody_in_until_it_is_open_again(self, store):
        links = Links(store)
        invite, other = links.make_invite("one"), links.make_invite("other")
        links.stop_invite(invite.id, True)
        with pytest.raises(LinkClosed, match="it was stopped"):
            links.join(invite.id, "Ann")
        links.join(other.id, "Bob")
        links.stop_invite(invite.id, False)
        assert links.join(invite.id, "Ann").name == "Ann"
        ended = links.make_invite("ended", until=time.time() - 1)
        with pytest.raises(LinkClosed, match="its time is over"):
            links.join(ended.id, "Eve")
        with pytest.raises(LinkClosed, match="not valid"):
            links.join(999, "Eve")

    def test_of_many_at_once_no_more_join_than_may(self, store):
        links = Links(store)
        invite = links.make_invite("three", people=3)

        def join(number):
            try:
                return links.join(invite.id, f"p{number}").name
            except LinkClosed:
                return None

        with ThreadPoolExecutor(8) as pool:
            joined = [name for name in pool.map(join, range(16)) if name]
        assert len(joined) == 3
        assert sorted(person.name for person in store.snapshot().people) == sorted(joined)


def test_a_link_stopped_by_another_process_works_no_longer_than_a_moment(store, url, monkeypatch):
    ann, bob = store.add_person("Ann"), store.add_person("Bob")
    for person in (ann, bob):
        assert store.person(person.id).stopped is None
        assert store.known_person(person.id) is not None
    elsewhere = Store(url)
    elsewhere.stop_person(ann.id, True)
    elsewhere.close()
    now = time.monotonic()
    monkeypatch.setattr("salign.annotate.store.store.time.monotonic", lambda: now + 5.1)
    assert store.known_person(ann.id) is None
    assert store.person(ann.id).stopped == pytest.approx(time.time(), abs=60)
    assert store.person(bob.id).stopped is None
    store.stop_person(ann.id, False)
    assert store.known_person(ann.id) is None, "this process knows it at once"
    assert store.person(ann.id).stopped is None


def test_what_is_sent_back_keeps_its_seat_and_everything_that_was_saved(store):
    ann, bob, comments = store.add_person("Ann"), store.add_person("Bob"), Comments(store)
    (task,) = store.hand_out(ann.id, 0, plan_one("a"))
    with pytest.raises(Changed, match="look at it again"):
        comments.add(task.id, 0, "nothing was saved yet", back=True)
    store.save("k1", task, 0, {"answer": "cat", "skipped": None})
    comments.add(task.id, 1, "good", back=False)
    assert store.tasks(ann.id)[0].state == "done"
    assert comments.why_back(task.id) == ""
    comments.add(task.id, 1, "the tail, too", back=True)
    assert store.tasks(ann.id)[0].state == "returned"
    assert comments.why_back(task.id) == "the tail, too"
    seen = []
    store.hand_out(bob.id, 0, lambda mine, taken: seen.append(taken) or [])
    assert seen == [{"a": 1}], "nobody else gets the seat"
    assert store.snapshot().latest[task.id].body["answer"] == "cat", "it counts until it is saved again"
    assert store.save("k2", task, 1, {"answer": "dog", "skipped": None}).number == 2
    with pytest.raises(Changed):
        comments.add(task.id, 1, "of the first", back=True)
    assert store.tasks(ann.id)[0].state == "done"
    assert [one.body["answer"] for one in store.revisions(task.id)] == ["cat", "dog"]
    said = [(one.task, one.revision, one.text, one.back) for one in store.snapshot().comments]
    assert said == [(task.id, 1, "good", False), (task.id, 1, "the tail, too", True)]
    assert isinstance(store.snapshot().comments[0], Comment)
