"""Who comes in a crowd is refused at the edge, and nobody else is."""

import inspect

import eventlet
import pytest
from eventlet.event import Event

from services.accounts.service import AccountsService
from services.gateway import crowds
from shared import errors

pytestmark = pytest.mark.pure


class Remote:
    """Answers when it may."""

    def __init__(self):
        self.may = Event()

    def create_session(self, *, email):
        self.may.wait()
        return email

    def verify_session(self, *, sha256):
        return sha256

    def register(self):
        raise errors.Invalid("invalid_name", "")


@pytest.fixture
def remote():
    return Remote()


@pytest.fixture
def gate(remote):
    return crowds.Gate(remote, doors=crowds.PASSWORD_DOORS, places=3)


def test_whoever_finds_no_place_is_refused_at_once_and_the_rest_are_answered(gate, remote):
    crowd = [eventlet.spawn(gate.create_session, email=f"{number}@example.com") for number in range(5)]
    eventlet.sleep(0)
    with pytest.raises(errors.Unavailable, match="try again") as refused:
        gate.create_session(email="late@example.com")
    assert refused.value.code == "busy"

    remote.may.send()
    answers = []
    for one in crowd:
        try:
            answers.append(one.wait())
        except errors.Unavailable:
            answers.append("busy")
    assert answers == ["0@example.com", "1@example.com", "2@example.com", "busy", "busy"]


def test_other_calls_go_on_meanwhile(gate, remote):
    for number in range(3):
        eventlet.spawn(gate.create_session, email=f"{number}@example.com")
    eventlet.sleep(0)
    assert gate.verify_session(sha256="00") == "00"
    remote.may.send()


def test_a_place_is_free_again_after_a_refusal(gate):
    for _ in range(10):
        with pytest.raises(errors.Invalid):
            gate.register()


def test_every_door_that_takes_a_password_is_one_of_them():
    """Each costs the service 64 MiB and a tenth of a second of a core."""
    takes = {
        name
        for name, door in inspect.getmembers(AccountsService, inspect.isfunction)
        if {"password", "current_password"} & set(inspect.signature(door).parameters) and not name.startswith("_")
    }
    assert takes == crowds.PASSWORD_DOORS
