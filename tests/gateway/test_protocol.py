"""HTTP as strangers speak it, over real sockets: what is refused, and how long anything is waited for."""

import re
import socket
from types import SimpleNamespace

import pytest
from eventlet import wsgi

from services.gateway import protocol
from tests.gateway import examples
from tests.gateway.sockets import MESSAGE, answer, authorised, connection, drip, post, rest, site

__all__ = ["connection", "site"]

pytestmark = pytest.mark.pure

BODY_BYTES = examples.settings().body_bytes


class TestRequest:
    def test_is_answered_and_the_connection_kept(self, connection):
        for _ in range(3):
            connection.sendall(authorised())
            response = answer(connection)

            assert (response.status, response.body["bot_id"]) == (201, "bot_1")

    def test_tells_nothing_of_our_software(self, connection):
        connection.sendall(authorised())

        assert answer(connection).headers["Server"] is None

    def test_may_come_in_chunks(self, connection):
        connection.sendall(authorised("Transfer-Encoding: chunked", body=b"", length=False))
        for chunk in (MESSAGE[:5], MESSAGE[5:], b""):
            connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))

        assert answer(connection).status == 201


class TestFraming:
    """A request whose end two servers could see in different places is refused, and the connection ends."""

    @pytest.mark.parametrize(
        "headers",
        [
            ("Content-Length: 5", "Content-Length: 6"),
            ("Content-Length: 5", "Content-Length: 5"),
            ("Content-Length: 5", "Transfer-Encoding: chunked"),
            ("Content-Length: +5",),
            ("Content-Length: 1_0",),
            ("Content-Length: -1",),
            ("Content-Length: 5, 5",),
            ("Content-Length : 5",),
            ("Transfer-Encoding: gzip, chunked",),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
            ("X: a\nContent-Length: 19",),
            ("Content-Length: 19", "X: a\n"),
            ("Transfer-Encoding:", " chunked"),
            ("Content-Length: 19", "X: a\rTransfer-Encoding: chunked"),
            ("Content-Length: 19", "X: a\0"),
            ("Content-Length: 19", "Host: another.example"),
            ("Content-Length: 19", "Authorization: Bearer another"),
            ("Content-Length: 19", "Content-Type: text/plain"),
        ],
    )
    def test_must_be_certain(self, connection, headers):
        connection.sendall(authorised(*headers, body=b"5\r\nhello\r\n0\r\n\r\n", length=False))

        assert re.match(rb"HTTP/1.1 400 (?!.*HTTP/1)", rest(connection), re.DOTALL)

    def test_in_chunks_is_unknown_to_http_1_0(self, connection):
        request = authorised("Transfer-Encoding: chunked", "Connection: keep-alive", body=b"0\r\n\r\n", length=False)
        connection.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0"))

        assert re.match(rb"HTTP/1.1 400 (?!.*HTTP/1)", rest(connection), re.DOTALL)

    @pytest.mark.parametrize("space", ["", " ", " \t "])
    def test_knows_of_optional_space(self, connection, space):
        lines = [f"GET /v1/things HTTP/1.1\r\nHost:{space}a{space}", f"Authorization: Bearer {examples.OWNER}{space}"]
        for framing in (f"Content-Length:{space}5{space}", f"Transfer-Encoding:{space}chunked{space}"):
            body = "hello" if "Length" in framing else "5\r\nhello\r\n0\r\n\r\n"
            connection.sendall("\r\n".join([*lines, framing, "", body]).encode())

            assert answer(connection).status == 200

    def test_is_refused_with_a_problem(self, connection):
        connection.sendall(authorised("Content-Length: 1"))
        response = answer(connection)

        assert (response.status, response.body["code"]) == (400, "bad_request")
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["Request-Id"] == response.body["instance"]
        assert response.headers["Connection"] == "close"
        assert response.headers["Server"] is None

    @pytest.mark.parametrize(
        "line",
        [
            b"HELLO\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nFrom nobody\r\nHost: a\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET\xa0/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            b"\x16\x03\x01\x02\r\n\r\n",
        ],
    )
    def test_of_what_is_no_http_is_refused_too(self, connection, line):
        connection.sendall(line)
        response = answer(connection)

        assert response.status in (400, 505)
        assert response.headers["Server"] is None
        rest(connection)

    def test_has_a_limit_for_the_address(self, connection):
        connection.sendall(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n")

        response = answer(connection)
        assert (response.status, response.body["code"]) == (414, "address_too_long")
        assert rest(connection) == b""

    @pytest.mark.parametrize(
        "headers",
        [["X: " + "a" * 9000], [f"X-{number}: a" for number in range(101)], ["X: " + "a" * 8000] * 9],
        ids=["a long one", "many", "many long ones"],
    )
    def test_has_a_limit_for_the_headers(self, connection, headers):
        connection.sendall(authorised(*headers))

        response = answer(connection)
        assert (response.status, response.body["code"]) == (431, "headers_too_large")
        assert rest(connection) == b""

    def test_has_an_answer_even_for_a_client_that_sends_on(self, connection):
        connection.sendall(authorised("X: " + "a" * 9000))
        connection.recv(1, socket.MSG_PEEK)
        for _ in range(5):
            connection.sendall(b"x" * 10_000)

        assert answer(connection).status == 431


class TestTarget:
    """What a request is for."""

    def get(self, connection, target, *headers):
        lines = [f"GET {target} HTTP/1.1", "Host: evil.example", f"Authorization: Bearer {examples.OWNER}", *headers]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return answer(connection)

    def test_may_name_the_host_too(self, connection):
        assert self.get(connection, "http://evil.example/v1/things").status == 200

    @pytest.mark.parametrize(
        "target",
        [
            "*",
            "/v1//things",
            "//v1/things",
            "/%2fv1/things",
            "/v1/things/",
            "/v1/../v1/things",
            "/v1/things%2f",
            "/v1/things%00",
            "/v1/things/%ff",
        ],
    )
    def test_is_nothing_that_merely_looks_like_a_route(self, connection, target):
        response = self.get(connection, target)

        assert response.status == 404
        assert "evil" not in str(response.headers) + str(response.body)

    @pytest.mark.parametrize(
        "query", ["limit=1&limit=2", "limit=%00", "limit=%ff", "limit=1e1", "limit=" + "9" * 5000]
    )
    def test_has_a_query_that_makes_sense(self, connection, query):
        response = self.get(connection, f"/v1/things?{query}")

        assert response.status in (400, 422)
        assert response.body["code"] in ("invalid_fields", "malformed_text")

    def test_may_be_followed_by_a_body_that_nobody_asked_for(self, connection):
        for _ in range(2):
            connection.sendall(
                f"GET /v1/things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {examples.OWNER}\r\n"
                "Content-Length: 5\r\n\r\nhello".encode()
            )

            assert answer(connection).status == 200


class TestChunks:
    @pytest.mark.parametrize(
        "chunks",
        [
            b"x\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\n0\n\n",
            b"5\r\nhello, world\r\n0\r\n\r\n",
            b"5;" + b"a" * 2000 + b"\r\nhello\r\n0\r\n\r\n",
            b"fffffffff\r\n",
            b"0\r\n" + b"X: a\r\n" * 50 + b"\r\n",
        ],
    )
    def test_that_make_no_sense_are_refused_and_the_connection_ends(self, connection, chunks):
        connection.sendall(authorised("Transfer-Encoding: chunked", body=chunks + authorised(), length=False))
        response = answer(connection)

        assert (response.status, response.body["code"]) == (400, "bad_request")
        assert response.headers["Connection"] == "close"
        assert rest(connection) == b""

    def test_that_never_come_are_waited_for_no_longer_than_others(self, connection):
        connection.sendall(authorised("Transfer-Encoding: chunked", body=b"5;", length=False))
        drip(connection, b"a")

        assert answer(connection).status == 408


class TestBody:
    def test_is_not_asked_for_where_the_head_is_refused_already(self, connection):
        connection.sendall(post("Expect: 100-continue", "Content-Length: 19", body=b"", length=False))

        assert connection.recv(12) == b"HTTP/1.1 401"

    def test_is_asked_for_where_the_client_waits_for_that(self, connection):
        connection.sendall(authorised("Expect: 100-continue", "Content-Length: 19", body=b"", length=False))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(MESSAGE)

        assert answer(connection).status == 201

    @pytest.mark.parametrize("sent", [b"", MESSAGE[:-1]])
    def test_that_breaks_off_is_never_taken_for_a_whole_one(self, connection, sent):
        connection.sendall(authorised("Content-Length: 19", body=sent, length=False))
        connection.shutdown(socket.SHUT_WR)

        assert answer(connection).status == 400

    def test_that_is_too_large_is_refused_before_it_is_read(self, connection):
        connection.sendall(authorised("Content-Length: 100000000", body=b"{", length=False))
        response = answer(connection)

        assert (response.status, response.body["code"]) == (413, "body_too_large")
        rest(connection)

    def test_that_never_ends_is_refused_and_not_read_for_ever(self, connection):
        connection.sendall(authorised("Transfer-Encoding: chunked", body=b"", length=False))
        connection.sendall(b"4000\r\n%s\r\n" % (b" " * 0x4000) * 5)
        response = answer(connection)

        assert response.status == 413
        drip(connection, b"4000\r\n%s\r\n" % (b" " * 0x4000))

    def test_that_the_client_sends_all_the_same_does_not_cost_it_the_answer(self, connection):
        connection.sendall(authorised(body=b" " * 300_000))

        assert answer(connection).status == 413

    def test_that_drips_is_not_waited_for(self, connection):
        connection.sendall(authorised("Content-Length: 1000", body=b"{", length=False))
        drip(connection, b" ")
        response = answer(connection)

        assert (response.status, response.body["code"]) == (408, "request_timeout")

    @pytest.mark.parametrize(
        "framing, start",
        [("Content-Length: 1000", b"{"), ("Transfer-Encoding: chunked", b"ff\r\n{")],
        ids=["length", "chunks"],
    )
    def test_that_came_too_late_is_the_last_of_its_connection(self, connection, framing, start):
        """Of a read that was interrupted, bytes are lost: the next request would begin somewhere in the body."""
        connection.sendall(authorised(framing, body=start, length=False))
        assert answer(connection).status == 408

        connection.sendall(authorised() * 100)

        assert rest(connection) == b""

    @pytest.mark.parametrize("more, status", [(0, 201), (1, 413)])
    def test_may_be_as_large_in_chunks_as_with_a_length(self, connection, more, status):
        body = MESSAGE + b" " * (BODY_BYTES - len(MESSAGE) + more)
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

        connection.sendall(authorised(body=body))
        assert answer(connection).status == status
        with socket.create_connection(connection.getpeername(), timeout=20) as another:
            another.sendall(authorised("Transfer-Encoding: chunked", body=chunks, length=False))
            assert answer(another).status == status


class TestHead:
    def test_that_drips_is_not_waited_for(self, connection):
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")

        drip(connection, b"a")

        rest(connection)

    def test_that_stops_in_its_first_line_is_not_waited_for(self, connection):
        connection.sendall(b"GE")

        assert rest(connection) == b""

    def test_that_breaks_off_is_never_taken_for_a_whole_one(self, connection):
        connection.sendall(
            f"GET /v1/things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {examples.OWNER}\r\n".encode()
        )
        connection.shutdown(socket.SHUT_WR)

        assert answer(connection).status == 400

    def test_that_never_begins_is_not_waited_for(self, connection):
        assert rest(connection) == b""

    def test_may_come_after_an_empty_line(self, connection):
        connection.sendall(b"\r\n" + authorised())

        assert answer(connection).status == 201


class TestProtocol:
    """Its parts, where no client could bring about the moment."""

    @pytest.fixture
    def ends(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            yield ours, theirs

    def made(self, client):
        made = object.__new__(protocol.Protocol)
        made.connection, made.conn_state = client, protocol.Connection("", client)
        made.rfile, made.wfile = client.makefile("rb"), client.makefile("wb")
        made.server = SimpleNamespace(keepalive=1, socket_timeout=1, url_length_limit=8192)
        return made

    def test_takes_nothing_from_a_connection_that_was_closed_meanwhile(self, ends):
        ours, theirs = ends
        theirs.sendall(b"GET / HTTP/1.1\r\n")
        closed = self.made(ours)
        closed.conn_state[2] = wsgi.STATE_CLOSE

        assert closed._read_request_line() == b""
        closed.head_timer.cancel()

    def test_closes_a_connection_that_is_gone_before_it_lingers(self):
        gone = socket.socket()
        refused = self.made(gone)
        refused.lingers = True

        refused.finish()

        assert gone.fileno() == -1
