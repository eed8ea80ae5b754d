"""The process, over real sockets: whom it lets in, whom it lets go, and how it starts and stops."""

import json
import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from sandbox import ports
from services.gateway import api_secret, server
from tests.gateway.sockets import (
    CONNECTIONS,
    SOCKET_SECONDS,
    Site,
    answer,
    authorised,
    post,
    rest,
    running,
    site,
    until,
)

__all__ = ["site"]

pytestmark = pytest.mark.pure

CROWD = 40


class TestProcess:
    def test_outlives_clients_that_go_away(self, site):
        for start in (b"", b"GET", authorised()[:40], authorised()[:-3], authorised()):
            with site.connect() as connection:
                connection.sendall(start)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        with site.connect() as connection:
            connection.sendall(authorised())
            assert answer(connection).status == 201

    def test_outlives_a_client_that_breaks_off_and_is_back_from_the_same_port(self, tmp_path):
        """While the request from before is still under way: to its end the old connection looks like the new one."""
        with running(tmp_path) as site:
            port = ports.free()
            first = ask_and_wait(site, tmp_path / "old", source_port=port)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            first.close()
            with closing(site.connect(source_port=port)) as second:
                second.sendall(authorised())
                assert answer(second).status == 201
                (tmp_path / "old" / "leave").touch()
                time.sleep(0.2)
                second.sendall(authorised())
                assert answer(second).status == 201
            with closing(site.connect()) as third:
                third.sendall(authorised())
                assert answer(third).status == 201
            assert site.stop() == 0

    def test_lets_no_more_clients_in_than_it_has_room_for(self, tmp_path):
        with running(tmp_path) as site:
            busy = [ask_and_wait(site, tmp_path / str(number)) for number in range(CONNECTIONS)]

            with site.connect() as late:
                late.sendall(authorised())
                late.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    late.recv(1)
                late.settimeout(20)
                (tmp_path / "0" / "leave").touch()
                assert answer(busy[0]).status == 200
                assert answer(late).status == 201

    def test_lets_those_go_who_only_rest_where_others_want_to_come_in(self, site):
        resting = [site.connect() for _ in range(CONNECTIONS)]
        for one in resting:
            one.sendall(authorised())
            assert answer(one).status == 201

        with site.connect() as late:
            late.sendall(authorised())
            late.settimeout(3)
            assert answer(late).status == 201
        assert rest(resting[0]) == b""
        for one in resting:
            one.close()

    @pytest.mark.parametrize("start", [b"", b"GET /v1/things HTTP/1.1\r\nX: a"], ids=["silent", "slow"])
    def test_is_not_kept_from_others_by_those_who_never_ask(self, site, start):
        """Three times as many as there is room for; they are given up after their second, one room after another."""
        crowd = [site.connect() for _ in range(CONNECTIONS * 3)]
        for one in crowd:
            one.sendall(start)
        began_at = time.monotonic()

        with site.connect() as healthy:
            healthy.sendall(authorised())
            assert answer(healthy).status == 201

        assert time.monotonic() - began_at < (SOCKET_SECONDS + 1) * 4
        for one in crowd:
            one.close()

    def test_lets_a_crowd_in_a_few_at_a_time(self, tmp_path):
        """All of it connects and asks while the process stands still, and so does one who was there before."""
        with running(tmp_path, CHATNESS_CONNECTIONS=str(CROWD + 2)) as site, closing(site.connect()) as guest:
            guest.sendall(b"GET /counted HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert answer(guest).status == 200
            site.process.send_signal(signal.SIGSTOP)
            crowd = [site.connect() for _ in range(CROWD)]
            for one in crowd:
                one.sendall(b"GET /counted HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            guest.sendall(b"GET /turns HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            site.process.send_signal(signal.SIGCONT)

            seen = answer(guest).body
            assert seen["counted"] == CROWD + 1
            assert seen["most"] <= server.LET_IN_AT_ONCE
            for one in crowd:
                one.close()

    @pytest.mark.parametrize("sip", [0, 500], ids=["never reads", "sips"])
    def test_drops_a_client_who_does_not_take_the_answer_and_keeps_nothing_for_it(self, site, sip):
        with site.connect() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 200)  # more than the kernel takes
            began_at = time.monotonic()
            while site.open_sockets():
                assert time.monotonic() - began_at < SOCKET_SECONDS * 5
                time.sleep(0.1)
                reader.recv(sip or 1, 0 if sip else socket.MSG_PEEK)

        assert "Traceback" not in site.log.read_text()

    def test_logs_a_bug_with_the_id_that_the_client_got(self, site):
        with site.connect() as connection:
            connection.sendall(b"GET /v1/refusals/bug HTTP/1.1\r\nHost: a\r\nRequest-Id: bug-7\r\n\r\n")
            response = answer(connection)

        assert (response.status, response.headers["Request-Id"]) == (500, "bug-7")
        lines = [json.loads(line) for line in site.log.read_text().splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line.get("correlation_id") == "bug-7"]
        assert "ZeroDivisionError" in line["exception"]

    def test_logs_no_tokens(self, site):
        token = api_secret.generate("live")
        with site.connect() as connection:
            connection.sendall(post(f"Authorization: Bearer {token}"))
            assert answer(connection).status == 401

        assert token not in site.log.read_text()


def ask_and_wait(site: Site, place: Path, *, source_port: int = 0) -> socket.socket:
    """A connection whose answer comes when there is a file `leave`."""
    place.mkdir()
    connection = site.connect(source_port=source_port)
    connection.sendall(f"GET /until{place} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    until((place / "entered").exists)
    return connection


class TestAnAnswerThatGoesOn:
    def test_has_no_proper_end_when_it_breaks_off(self, site):
        with site.connect() as connection:
            connection.sendall(b"GET /breaks-off/refused HTTP/1.1\r\nHost: a\r\n\r\n")
            came = rest(connection)

        assert b"Transfer-Encoding: chunked" in came
        assert not came.endswith(b"0\r\n\r\n")

    def test_is_no_news_when_its_client_has_heard_enough(self, site):
        said = site.log.read_text()
        with site.connect() as connection:
            connection.sendall(b"GET /breaks-off/never HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.recv(1000)

        until(lambda: site.open_sockets() == 0)
        assert site.log.read_text() == said


class TestStop:
    def test_finishes_the_requests_under_way_and_lets_nobody_in(self, tmp_path):
        with running(tmp_path) as site, closing(site.connect()) as idle, closing(site.connect()) as busy:
            idle.sendall(authorised())
            assert answer(idle).status == 201
            busy.sendall(f"GET /until{tmp_path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            until((tmp_path / "entered").exists)

            site.process.send_signal(signal.SIGTERM)

            assert rest(idle) == b""
            until(lambda: not site.listens())
            (tmp_path / "leave").touch()
            response = answer(busy)
            assert (response.status, response.body) == (200, {"left": True})
            assert response.headers["Connection"] == "close"
            assert site.process.wait(timeout=20) == 0

    def test_is_clean_while_nobody_asks(self, tmp_path):
        with running(tmp_path) as site:
            assert site.stop() == 0

    def test_answers_who_has_connected_and_not_asked_yet(self, tmp_path):
        with running(tmp_path) as site, closing(site.connect()) as early:
            site.process.send_signal(signal.SIGTERM)
            until(lambda: not site.listens())

            early.sendall(authorised())

            assert answer(early).status == 201
            assert site.process.wait(timeout=20) == 0

    def test_lets_none_of_those_whom_it_accepts_at_the_last_keep_the_others_waiting(self, tmp_path):
        """A crowd connects while the process stands still; the last of it ask, the last one first."""
        with running(tmp_path, CHATNESS_CONNECTIONS=str(CROWD)) as site:
            site.process.send_signal(signal.SIGSTOP)
            crowd = [site.connect() for _ in range(CROWD)]
            site.process.send_signal(signal.SIGTERM)
            site.process.send_signal(signal.SIGCONT)
            until(lambda: not site.listens())

            for one in reversed(crowd[-4:]):
                one.sendall(authorised())
                assert answer(one).status == 201
            for one in crowd:
                one.close()
            assert site.process.wait(timeout=20) == 0

    def test_answers_who_was_accepted_and_waits_for_room(self, tmp_path):
        with running(tmp_path) as site:
            busy = [ask_and_wait(site, tmp_path / str(number)) for number in range(CONNECTIONS)]
            with closing(site.connect()) as late:
                late.sendall(authorised())
                site.process.send_signal(signal.SIGTERM)
                until(lambda: not site.listens())
                for number in range(CONNECTIONS):
                    (tmp_path / str(number) / "leave").touch()

                assert answer(late).status == 201
            assert {answer(one).status for one in busy} == {200}
            assert site.process.wait(timeout=20) == 0
