import socket

import pytest

from sandbox import ports

pytestmark = pytest.mark.pure


def test_a_wanted_port_is_given_while_it_is_free():
    wanted = ports.free()

    assert ports.free(wanted=wanted) == wanted


def test_a_port_on_which_somebody_listens_is_not_given():
    with socket.create_server(("127.0.0.1", ports.free())) as listener:
        taken = listener.getsockname()[1]

        assert not ports.is_free(taken)
        assert ports.free(wanted=taken) != taken


def test_only_a_port_on_which_somebody_listens_answers():
    with socket.create_server(("127.0.0.1", ports.free())) as listener:
        port = listener.getsockname()[1]

        assert ports.answers(port)

    assert not ports.answers(port)
