import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from shared import errors, personal, store, tables
from tests.shared import kernel


class TestPut:
    def test_numbers_the_versions_of_each_id_from_1(self, home):
        with home.begin() as session:
            versions = [
                personal.put(session, "bot_1", subject="org_1", name="Ada"),
                personal.put(session, "bot_1", subject="org_1", name="Bob"),
                personal.put(session, "bot_2", subject="org_1", name="Cyd"),
            ]

        assert versions == [1, 2, 1]

    def test_tells_one_of_two_at_once_to_try_again(self, home):
        with home.begin() as session:
            personal.put(session, "bot_1", subject="org_1", name="Ada")
        both_began = threading.Barrier(2)

        def put(name: str) -> object:
            try:
                with home.begin() as session:
                    personal.get(session, "bot_1")
                    both_began.wait(10)
                    return personal.put(session, "bot_1", subject="org_1", name=name)
            except store.VersionConflict:
                return "conflict"

        with ThreadPoolExecutor(2) as writers:
            outcomes = list(writers.map(put, ("Bob", "Cyd")))

        # Either they met, or the one came wholly after the other.
        assert sorted(map(str, outcomes)) in (["2", "conflict"], ["2", "3"])

    def test_is_refused_for_what_was_erased(self, home):
        with home.begin() as session:
            personal.erase(session, "org_1")

        with pytest.raises(errors.NotFound) as refusal, home.begin() as session:
            personal.put(session, "bot_1", subject="org_1", name="Ada")

        assert refusal.value.code == "erased"

    def test_leaves_nothing_behind_an_erasure_that_came_meanwhile(self, home):
        written = threading.Event()

        def put() -> None:
            with home.begin() as session:
                personal.put(session, "bot_1", subject="org_1", name="Ada")
                written.set()
                kernel.eventually(lambda: waits_for_a_lock(home), "the erasure waits")

        def erase() -> None:
            assert written.wait(10)
            with home.begin() as session:
                personal.erase(session, "org_1")

        with ThreadPoolExecutor(2) as threads:
            for done in [threads.submit(put), threads.submit(erase)]:
                done.result()

        assert kernel.count(home, tables.Personal) == 0


def waits_for_a_lock(home):
    with home.engine.connect() as connection:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        return connection.exec_driver_sql(waiting).scalar_one() > 0


class TestGet:
    def test_gives_the_newest_version(self, home):
        with home.begin() as session:
            personal.put(session, "bot_1", subject="org_1", name="Ada")
            personal.put(session, "bot_1", subject="org_1", name="Bob")

            assert personal.get(session, "bot_1") == {"name": "Bob"}

    def test_is_an_empty_document_for_what_is_not_there(self, home):
        with home.begin() as session:
            assert personal.get(session, "bot_1") == {}

    def test_gives_many_at_once_and_leaves_out_what_is_not_there(self, home):
        with home.begin() as session:
            personal.put(session, "bot_1", subject="org_1", name="Ada")
            personal.put(session, "bot_1", subject="org_1", name="Bob")
            personal.put(session, "bot_2", subject="org_1", name="Cyd")

            found = personal.get_many(session, ["bot_1", "bot_2", "bot_3"])
            nothing = personal.get_many(session, [])

        assert found == {"bot_1": {"name": "Bob"}, "bot_2": {"name": "Cyd"}}
        assert nothing == {}


class TestErase:
    def test_deletes_all_versions_of_the_subject_and_nothing_else(self, home):
        with home.begin() as session:
            personal.put(session, "bot_1", subject="org_1", name="Ada")
            personal.put(session, "bot_1", subject="org_1", name="Bob")
            personal.put(session, "bot_2", subject="org_2", name="Cyd")

            personal.erase(session, "org_1")

            assert personal.get_many(session, ["bot_1", "bot_2"]) == {"bot_2": {"name": "Cyd"}}
            assert personal.is_erased(session, "org_1")
            assert not personal.is_erased(session, "org_2")

    def test_is_harmless_twice(self, home):
        for _ in range(2):
            with home.begin() as session:
                personal.erase(session, "org_1")

        assert kernel.count(home, tables.Erased) == 1


class TestRemove:
    def test_takes_every_version_of_one_document_and_no_other(self, home):
        with home.begin() as session:
            for id in ("picture-1", "picture-1", "picture-2"):
                personal.put(session, id, subject="acc_1", text="a")

        with home.begin() as session:
            personal.remove(session, "picture-1")
            personal.remove(session, "nobodys")

        with home.begin() as session:
            assert set(personal.get_many(session, ["picture-1", "picture-2"])) == {"picture-2"}
            assert not personal.is_erased(session, "acc_1")
            assert len(session.scalars(select(tables.Personal)).all()) == 1
