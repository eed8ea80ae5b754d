"""A person's picture, through the doors: set, replaced, removed, seen by its address, and gone with the person."""

import base64
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from services.accounts import pictures
from shared import context, errors, personal, revisions, tables
from tests.databases import everything_in

RUNTIME = context.Actor(kind="service", id="runtime")


def webp(content):
    """What the gateway gives, as far as accounts looks at it; and its base64."""
    made = b"RIFF\0\0\0\0WEBP" + content
    return base64.b64encode(made).decode()


def give(accounts, actor, content=b"one", **changes):
    """Set a picture; gives its key."""
    source = changes.pop("source", hashlib.sha256(content).hexdigest())
    return accounts.tell("set_picture", actor=actor, webp=webp(content), source=source, **changes)["picture"]


def look(accounts, key, known=(), actor=context.ANYONE):
    return accounts.ask("get_picture", actor=actor, key=key, known=list(known))


def is_gone(accounts, key):
    with pytest.raises(errors.NotFound) as refused:
        look(accounts, key)
    return refused.value.code == "unknown_picture"


def names_told(accounts):
    with accounts.database.begin() as session:
        rows = session.connection().exec_driver_sql("SELECT name FROM events ORDER BY recorded_at, version")
        return [row.name for row in rows]


def pictures_kept(accounts):
    with accounts.database.begin() as session:
        pictures_only = tables.Personal.id.like("picture-%")
        return session.scalar(select(func.count()).select_from(tables.Personal).where(pictures_only))


@pytest.fixture
def ada(accounts):
    return accounts.sign_up()


class TestSetPicture:
    def test_shows_it_to_whoever_has_the_address(self, accounts, ada):
        key = give(accounts, ada)

        assert len(key) == 43
        assert look(accounts, key)["webp"] == webp(b"one")
        assert accounts.ask("get_account", actor=ada)["picture"] == key

    def test_tells_the_others_where_it_is(self, accounts, ada):
        before = accounts.ask("get_profile", actor=RUNTIME, account_id=ada.id)
        key = give(accounts, ada)

        profile = accounts.ask("get_profile", actor=RUNTIME, account_id=ada.id)
        assert (before["picture_url"], before["profile_version"]) == (None, 1)
        assert profile["picture_url"] == f"https://chat.example/v1/pictures/{key}"
        assert profile["profile_version"] == 2
        assert names_told(accounts)[-1] == "accounts.ProfileChanged"
        [member] = accounts.ask("list_members", actor=ada)
        assert member["picture"] == key

    def test_replaces_the_one_before_whose_address_is_dead(self, accounts, ada):
        first, second = give(accounts, ada), give(accounts, ada, b"two")

        assert first != second
        assert is_gone(accounts, first)
        assert look(accounts, second)["webp"] == webp(b"two")
        assert pictures_kept(accounts) == 1

    def test_changes_nothing_where_it_is_the_same(self, accounts, ada):
        first = give(accounts, ada)
        told = names_told(accounts)

        assert give(accounts, ada) == first
        assert names_told(accounts) == told

    def test_is_done_once_for_one_command(self, accounts, ada):
        first = give(accounts, ada, command_id="cmd_a")
        second = give(accounts, ada, b"two", command_id="cmd_b")

        assert give(accounts, ada, command_id="cmd_a") == second
        assert look(accounts, second)["webp"] == webp(b"two")
        assert is_gone(accounts, first)
        with pytest.raises(errors.Invalid, match="idempotency_key_reused"):
            give(accounts, ada, b"three", command_id="cmd_a")

    def test_keeps_the_name_and_the_name_keeps_it(self, accounts, ada):
        accounts.tell("change_name", actor=ada, name="Ada Lovelace")
        key = give(accounts, ada)
        accounts.tell("change_name", actor=ada, name="Ada King")

        shown = accounts.ask("get_account", actor=ada)
        assert (shown["name"], shown["picture"]) == ("Ada King", key)

    def test_loses_none_of_many_at_once(self, accounts, ada):
        ready = threading.Barrier(4)

        def change(number):
            ready.wait(5)
            return give(accounts, ada, f"{number}".encode())

        with ThreadPoolExecutor(4) as pool:
            keys = list(pool.map(change, range(4)))

        assert pictures_kept(accounts) == 1
        left = accounts.ask("get_account", actor=ada)["picture"]
        assert [key for key in keys if key != left and not is_gone(accounts, key)] == []
        assert look(accounts, left)["webp"]

    def test_is_refused_to_who_has_not_seen_what_is_there(self, accounts, ada):
        seen = revisions.of(accounts.ask("get_account", actor=ada))
        key = give(accounts, ada)

        with context.use(if_match=(seen,)):
            with pytest.raises(errors.Conflict, match="precondition_failed"):
                give(accounts, ada, b"two")
            with pytest.raises(errors.Conflict, match="precondition_failed"):
                accounts.tell("remove_picture", actor=ada)
        assert look(accounts, key)["webp"] == webp(b"one")

    @pytest.mark.parametrize(
        "sent",
        [
            *("", "no base64!", "é", webp(b"one")[:-1]),
            base64.b64encode(b"<svg>").decode(),
            webp(bytes(pictures.MOST_BYTES)),
        ],
    )
    def test_is_what_the_gateway_makes_and_nothing_else(self, accounts, ada, sent):
        with pytest.raises(errors.Invalid, match="not_a_picture"):
            accounts.tell("set_picture", actor=ada, webp=sent, source="x")

    @pytest.mark.parametrize("actor", [context.ANYONE, RUNTIME, context.Actor(kind="secret", id="sec_1")])
    def test_needs_a_person(self, accounts, actor):
        with pytest.raises(errors.Forbidden):
            give(accounts, actor)


class TestRemovePicture:
    def test_leaves_the_address_dead_and_tells_the_others(self, accounts, ada):
        key = give(accounts, ada)

        accounts.tell("remove_picture", actor=ada, command_id="cmd_gone")
        accounts.tell("remove_picture", actor=ada, command_id="cmd_gone")

        assert is_gone(accounts, key)
        assert pictures_kept(accounts) == 0
        assert accounts.ask("get_account", actor=ada)["picture"] is None
        assert accounts.ask("get_profile", actor=RUNTIME, account_id=ada.id)["profile_version"] == 3
        assert names_told(accounts)[-2:] == ["accounts.ProfileChanged"] * 2

    def test_is_refused_where_there_is_none(self, accounts, ada):
        with pytest.raises(errors.NotFound, match="no_picture"):
            accounts.tell("remove_picture", actor=ada)

    def test_lets_the_same_picture_come_again_under_another_address(self, accounts, ada):
        first = give(accounts, ada)
        accounts.tell("remove_picture", actor=ada)

        assert give(accounts, ada) != first
        assert is_gone(accounts, first)


class TestGetPicture:
    def test_sends_no_bytes_to_who_has_them(self, accounts, ada):
        key = give(accounts, ada)
        revision = look(accounts, key)["revision"]

        assert look(accounts, key, ["another", revision]) == {"revision": revision, "webp": None}
        assert look(accounts, key, ["another"])["webp"]

    @pytest.mark.parametrize("key", ["", "nobodys", "x" * 64])
    def test_knows_no_other_address(self, accounts, ada, key):
        give(accounts, ada)

        assert is_gone(accounts, key)
        assert is_gone(accounts, ada.id)

    def test_shows_nobody_s_profile(self, accounts, ada):
        """Whose ids stand in the same table."""
        with accounts.database.begin() as session:
            assert personal.get(session, ada.id)

        assert is_gone(accounts, f"../{ada.id}")


class TestPersonalData:
    def test_stands_in_no_event_and_no_memory_of_a_command(self, accounts, ada):
        key = give(accounts, ada, b"a canary's feathers")
        kept = webp(b"a canary's feathers")
        give(accounts, accounts.sign_up("bob@example.com"), b"two")

        with accounts.database.begin() as session:
            for table in ("events", "outbox", "log", "commands", "jobs"):
                rows = str(list(session.connection().exec_driver_sql(f"SELECT t::text FROM {table} t")))
                found = [one for one in (key, kept[16:32]) if one in rows or one.encode().hex() in rows]
                assert found == [], table
        assert kept in everything_in(accounts.database)

    def test_goes_with_the_person(self, accounts, ada):
        key = give(accounts, ada)

        with accounts.database.begin() as session:
            personal.erase(session, ada.id)

        assert is_gone(accounts, key)
        assert pictures_kept(accounts) == 0
        with pytest.raises(errors.NotFound, match="erased"):
            give(accounts, ada, b"two")
        assert pictures_kept(accounts) == 0
