"""Pictures on the whole stack: over the API, in the page, hostile ones, and many at once."""

import base64
import hashlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser

from ops import client
from services.gateway import picture_decoder, pictures
from tests.gateway import images
from tests.stack import browser as browsing
from tests.stack.stacks import PASSWORD, Org, Running, eventually
from tests.stack.surfer import Surfer
from tests.stack.traces import dump, found_in

PNG = {"Content-Type": "image/png"}
MANY = 50
ANSWER_SECONDS = 2.0
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


@pytest.fixture
def owner(stack: Running) -> client.Api:
    """Of an org of its own."""
    return stack.sign_up().owner


def send(owner: client.Api, sent: bytes, **headers: str) -> requests.Response:
    """As a person does whom a busy gateway tells to try again."""

    def ask() -> list[requests.Response]:
        answer = owner.ask("PUT", "/v1/account/picture", sent, headers={**PNG, **headers})
        return [] if answer.status_code == 503 else [answer]

    (answer,) = eventually(ask, "it stayed busy")
    return answer


def address(answer: requests.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["picture_url"])


def look(url: str, method: str = "GET", **headers: str) -> requests.Response:
    """As a stranger."""
    return requests.request(method, url, headers=headers, timeout=client.TIMEOUT_SECONDS)


class TestSetting:
    def test_gives_it_an_address_that_anybody_may_show_and_that_runs_nothing(
        self, stack: Running, owner: client.Api
    ) -> None:
        url = address(send(owner, images.plain("PNG")))

        shown = look(url)
        assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/webp")
        assert images.looks(shown.content, images.RED)
        assert re.fullmatch(re.escape(stack.url) + r"/v1/pictures/[A-Za-z0-9_-]{43}", url)
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
        assert shown.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert shown.headers["Content-Disposition"] == 'inline; filename="picture.webp"'
        assert shown.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert shown.headers["Cache-Control"] == "no-cache"
        assert "Set-Cookie" not in shown.headers
        head = look(url, "HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == str(len(shown.content))

    def test_is_seen_in_the_account_and_by_the_members(self, owner: client.Api) -> None:
        before = owner.ask("GET", "/v1/account").json()["picture_url"]
        answer = send(owner, images.plain("JPEG"), **{"Content-Type": "image/jpeg"})
        url = address(answer)

        account = owner.ask("GET", "/v1/account")
        assert (before, account.json()["picture_url"]) == (None, url)
        assert account.headers["ETag"] == answer.headers["ETag"]
        assert [one["picture_url"] for one in owner.ask("GET", "/v1/org/members").json()["data"]] == [url]

    def test_costs_no_bytes_where_it_is_known(self, owner: client.Api) -> None:
        url = address(send(owner, images.plain("PNG")))
        tag = look(url).headers["ETag"]

        known, unknown = look(url, **{"If-None-Match": tag}), look(url, **{"If-None-Match": '"another"'})

        assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", tag)
        assert unknown.status_code == 200

    def test_replaced_or_removed_it_is_dead_at_once_even_for_who_knows_it(self, owner: client.Api) -> None:
        first = address(send(owner, images.plain("PNG")))
        known = {"If-None-Match": look(first).headers["ETag"]}
        second = address(send(owner, images.plain("PNG", colour=images.BLUE)))
        removed = owner.ask("DELETE", "/v1/account/picture")

        assert (removed.status_code, removed.content) == (204, b"")
        assert owner.ask("GET", "/v1/account").json()["picture_url"] is None
        nobodys = look(second.rpartition("/")[0] + "/" + "a" * 43)
        for url in (first, second):
            gone = look(url, **known)
            assert (gone.status_code, gone.json()["code"]) == (404, "unknown_picture")
            assert gone.json()["detail"] == nobodys.json()["detail"]
            assert gone.headers["Cache-Control"] == "no-store"
        again = owner.ask("DELETE", "/v1/account/picture")
        assert (again.status_code, again.json()["code"]) == (404, "no_picture")

    def test_sent_again_it_is_set_once(self, stack: Running, owner: client.Api) -> None:
        sent = images.noise("JPEG", (300, 300))
        key = {"Idempotency-Key": f"a-picture-{time.time_ns()}"}
        account = owner.ask("GET", "/v1/account").json()["id"]
        first, repeated = (send(owner, sent, **key) for _ in range(2))
        unkeyed = send(owner, sent)
        other = send(owner, images.plain("PNG"), **key)

        assert first.json() == repeated.json() == unkeyed.json()
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        changed = "SELECT 1 FROM events WHERE name = 'accounts.ProfileChanged' AND stream = :stream"
        assert len(stack.rows("accounts", changed, stream=f"account-{account}")) == 1

    def test_looks_at_if_match(self, owner: client.Api) -> None:
        stale = {"If-Match": owner.ask("GET", "/v1/account").headers["ETag"]}
        url = address(send(owner, images.plain("PNG"), **stale))

        for answer in (
            send(owner, images.plain("PNG", colour=images.BLUE), **stale),
            owner.ask("DELETE", "/v1/account/picture", headers=stale),
        ):
            assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        assert look(url).status_code == 200
        fresh = {"If-Match": owner.ask("GET", "/v1/account").headers["ETag"]}
        assert owner.ask("DELETE", "/v1/account/picture", headers=fresh).status_code == 204

    def test_is_a_person_s_own_affair(self, stack: Running, org: Org) -> None:
        answers = [who.ask("PUT", "/v1/account/picture", b"x", headers=PNG) for who in (stack.api, org.program)]

        assert [(one.status_code, one.json()["code"]) for one in answers] == [
            (401, "token_required"),
            (403, "not_allowed"),
        ]


class TestHostile:
    """Case 88."""

    @pytest.mark.parametrize(
        "sent, code",
        [
            (images.bomb(), "too_many_pixels"),
            (images.webp_of(16_384, 16_384), "too_many_pixels"),
            (images.noise("JPEG", (200, 200))[:9000], "broken_picture"),
            (images.noise("PNG", (200, 200))[:9000], "broken_picture"),
            (SVG, "not_a_picture"),
            (b"GIF89a" + bytes(1000), "not_a_picture"),
            (b"", "not_a_picture"),
            (b"<html><script>alert(1)</script>", "not_a_picture"),
        ],
        ids=["png bomb", "webp bomb", "half a jpeg", "half a png", "svg", "gif", "nothing", "html"],
    )
    def test_is_refused_exactly_and_changes_nothing(self, org: Org, sent: bytes, code: str) -> None:
        before = org.owner.ask("GET", "/v1/account").json()

        answer = send(org.owner, sent)

        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert org.owner.ask("GET", "/v1/account").json() == before

    @pytest.mark.parametrize("media", ["image/gif", "image/svg+xml", "text/html", "application/json", ""])
    def test_of_another_kind_is_not_even_read(self, org: Org, media: str) -> None:
        answer = send(org.owner, images.plain("PNG"), **{"Content-Type": media})

        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")

    def test_under_the_wrong_name_is_what_it_is(self, owner: client.Api) -> None:
        url = address(send(owner, images.plain("WEBP"), **{"Content-Type": "image/jpeg"}))

        assert images.looks(look(url).content, images.RED)

    @pytest.mark.parametrize("more", [1, 500_000])
    def test_too_large_is_said_though_all_of_it_was_sent(self, org: Org, more: int) -> None:
        answer = send(org.owner, images.plain("PNG") + bytes(pictures.MOST_BYTES + more))

        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    def test_of_a_page_and_a_picture_at_once_only_the_picture_is_left(self, owner: client.Api) -> None:
        both = images.plain("JPEG") + b"<script>alert(document.domain)</script>"

        shown = look(address(send(owner, both)))

        assert b"script" not in shown.content
        assert shown.headers["Content-Type"] == "image/webp"

    def test_says_nothing_of_where_it_was_taken_anywhere(self, stack: Running, owner: client.Api) -> None:
        url = address(send(owner, images.with_everything_said("JPEG")))

        assert images.MARK.encode() not in look(url).content
        assert found_in(dump(stack, "accounts"), (images.MARK,)) == []
        logs = "".join(path.read_text() for path in (stack.directory / "logs").glob("*.log"))
        assert found_in(logs, (images.MARK,)) == []

    def test_leaves_no_process_behind(self, stack: Running, org: Org) -> None:
        """The first half of one is sent, and then the connection is cut."""
        place = urlsplit(stack.url)
        with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
            head = f"PUT /v1/account/picture HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {org.owner.token}\r\n"
            head += f"Content-Type: image/png\r\nContent-Length: {len(images.bomb())}\r\n\r\n"
            connection.sendall(head.encode() + images.bomb()[:1000])

        assert send(org.owner, b"x").status_code == 422  # the place is free again
        eventually(lambda: not decoders(), "a decoder still runs")


def decoders() -> list[Path]:
    """The processes that make pictures anew, on this machine: those that were there at one moment."""
    seen_one_by_one = [path for path in Path("/proc").glob("[0-9]*/cmdline") if is_decoder(path)]
    return [path for path in seen_one_by_one if is_decoder(path)]


def is_decoder(path: Path) -> bool:
    try:
        return picture_decoder.__file__ in path.read_text()
    except OSError:  # it has ended meanwhile
        return False


class TestMany:
    """Case 89."""

    def test_at_once_are_taken_or_told_to_come_again_and_others_are_served(self, stack: Running, org: Org) -> None:
        people = [stack.sign_up().owner for _ in range(3)]
        photograph = images.noise("JPEG", (1600, 1600))
        most = 0

        def ask(number: int) -> tuple[int, str]:
            answer = people[number % 3].with_token(people[number % 3].token)
            sent = requests.put(
                f"{stack.url}/v1/account/picture",
                data=photograph,
                headers={**PNG, "Authorization": f"Bearer {answer.token}"},
                timeout=60,
            )
            return sent.status_code, sent.headers.get("Retry-After", "")

        with ThreadPoolExecutor(MANY) as pool:
            asked = [pool.submit(ask, number) for number in range(MANY)]
            waits = []
            while not all(one.done() for one in asked):
                began = time.monotonic()
                assert org.owner.ask("GET", "/v1/plans").status_code == 200
                waits.append(time.monotonic() - began)
                most = max(most, len(decoders()))
        answers = Counter(one.result() for one in asked)

        assert {status for status, _retry in answers} <= {200, 503}
        assert answers[200, ""] >= 3
        assert {retry for status, retry in answers if status == 503} <= {"2"}
        assert most <= pictures.AT_ONCE
        assert max(waits) < ANSWER_SECONDS
        for person in people:
            assert address(send(person, photograph))

    def test_of_one_person_at_once_leave_one(self, stack: Running, owner: client.Api) -> None:
        ready = threading.Barrier(4)

        def ask(number: int) -> int:
            ready.wait(10)
            return (
                owner.with_token(owner.token)
                .ask("PUT", "/v1/account/picture", images.plain("PNG", colour=(number, 0, 0)), headers=PNG)
                .status_code
            )

        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(ask, range(4)))

        assert set(statuses) <= {200, 503}
        assert 200 in statuses
        account = owner.ask("GET", "/v1/account").json()
        assert look(account["picture_url"]).status_code == 200
        kept = "SELECT 1 FROM personal WHERE subject = :id AND id LIKE 'picture-%'"
        assert len(stack.rows("accounts", kept, id=account["id"])) == 1


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.browser() as started:
        yield started


class TestThePage:
    @pytest.mark.parametrize("script", [True, False], ids=["with script", "without"])
    def test_sets_replaces_and_removes_a_picture(
        self, stack: Running, browser: Browser, tmp_path: Path, script: bool
    ) -> None:
        org, files = stack.sign_up(), {}
        for name, content in {
            "red.png": images.plain("PNG", (900, 600)),
            "blue.jpg": images.plain("JPEG", (600, 900), images.BLUE),
            "red.svg.png": SVG,
        }.items():
            files[name] = tmp_path / name
            files[name].write_bytes(content)
        visitor = browsing.Visitor(browser, stack.url, script=script)
        visitor.go("/account")
        visitor.fill(email=org.email, password=PASSWORD)
        visitor.submit("Sign in")
        visitor.heading("Your Account")

        def choose(name: str) -> None:
            visitor.page.locator("[name=picture]").set_input_files(files[name])

        def shown() -> str:
            """Its address, once the browser has shown it."""
            face = visitor.page.get_by_alt_text("You, as others see you")
            face.wait_for()
            return str(face.get_attribute("src"))

        choose("red.png")
        visitor.press("Set picture")
        visitor.text("Your picture is set.")
        first = shown()
        assert visitor.page.locator(".circle-button .face").get_attribute("src") == first
        if script:
            wide = "() => [...document.images].every((one) => one.complete && one.naturalWidth > 0)"
            visitor.page.wait_for_function(wide)
            visitor.look("account-picture")
        choose("red.svg.png")
        visitor.press("Replace picture")
        visitor.text("This is no picture in JPEG, PNG or WebP.")
        assert shown() == first
        if script:
            visitor.look("account-picture-refused")
        choose("blue.jpg")
        visitor.press("Replace picture")
        visitor.text("Your picture is set.")
        second = shown()
        assert second != first
        visitor.follow("Org")
        assert visitor.page.locator(".rows .face").get_attribute("src") == second
        if script:
            visitor.look("account-org-picture")
        visitor.go("/account")
        visitor.press("Remove your picture")
        visitor.text("Your picture is gone")
        visitor.page.get_by_role("button", name="Set picture").wait_for()
        assert visitor.page.locator(".face").count() == 0
        assert look(stack.url + second).status_code == 404
        assert visitor.complaints == []

    def test_says_before_sending_that_a_file_is_too_large(
        self, stack: Running, org: Org, browser: Browser, tmp_path: Path
    ) -> None:
        large = tmp_path / "large.png"
        large.write_bytes(bytes(pictures.MOST_BYTES + 1))
        visitor = browsing.Visitor(browser, stack.url)
        visitor.go("/account")
        visitor.fill(email=org.email, password=PASSWORD)
        visitor.submit("Sign in")
        visitor.heading("Your Account")

        visitor.page.locator("[name=picture]").set_input_files(large)

        said = visitor.page.locator("[name=picture]").evaluate("input => input.validationMessage")
        assert said == "This file is larger than 5 MiB."

    def test_takes_no_form_but_its_own(self, org: Org) -> None:
        surfer = Surfer(org)
        form = surfer.form("/account", "/account/picture")
        sent = {"picture": ("a.png", images.plain("PNG"), "image/png")}

        def post(form: dict[str, str], **more: object) -> requests.Response:
            return surfer.upload("/account/picture", form, sent, **more)

        assert post({**form, "csrf_token": "forged"}).status_code == 403
        assert post({"command_id": form["command_id"]}).status_code == 403
        assert post(form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert post({"csrf_token": form["csrf_token"]}).status_code == 400
        assert surfer.post("/account/picture", form).status_code == 415
        assert org.owner.ask("GET", "/v1/account").json()["picture_url"] is None
        done, again = post(form), post(form)
        assert (done.status_code, done.headers["Location"]) == (303, "/account")
        assert again.status_code == 303
        assert org.owner.ask("DELETE", "/v1/account/picture").status_code == 204

    @pytest.mark.parametrize("more", [1, 200_000])
    def test_says_of_a_file_that_it_is_too_large(self, org: Org, more: int) -> None:
        surfer = Surfer(org)
        form = surfer.form("/account", "/account/picture")

        answer = surfer.upload("/account/picture", form, {"picture": ("a.png", bytes(pictures.MOST_BYTES + more))})

        assert answer.status_code == 413
        assert "larger than 5 MiB" in answer.text

    def test_asks_for_a_file(self, org: Org) -> None:
        surfer = Surfer(org)

        answer = surfer.upload(
            "/account/picture", surfer.form("/account", "/account/picture"), {"picture": ("", b"")}
        )

        assert answer.status_code == 422
        assert "Please choose a file." in answer.text


def test_what_is_kept_is_what_is_shown(stack: Running, owner: client.Api) -> None:
    """The digest that tells a picture apart, and its bytes, by the database."""
    sent = images.noise("PNG", (64, 64))
    shown = look(address(send(owner, sent))).content
    wanted = "SELECT data FROM personal WHERE id LIKE 'picture-%' AND data->>'source' = :source"

    [row] = stack.rows("accounts", wanted, source=hashlib.sha256(sent).hexdigest())

    assert base64.b64decode(row.data["webp"]) == shown
