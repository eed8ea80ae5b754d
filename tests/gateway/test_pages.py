"""The page up to the services' doors: who is let in, which forms, and what is said. With services: `tests/stack`."""

import re

import flask
import pytest

from services import access
from services.gateway.pages import consequences, cookies, guard, shell, usage, words
from shared import context
from tests.gateway import examples

pytestmark = pytest.mark.pure

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
COOKIE = "__Host-chatness_session"
HIDDEN = ("csrf_token", "command_id")


@pytest.fixture
def form(client):
    """A form's hidden fields, and in the client the cookie that they are compared with."""
    page = client.get("/sign-in", base_url="https://api.example.com").text
    return {name: re.search(f'name="{name}" type="hidden" value="([^"]+)"', page)[1] for name in HIDDEN}


def post(client, path, form, **headers):
    return client.post(path, data=form, headers=headers, base_url="https://api.example.com")


def get_as(client, token, path):
    client.set_cookie(COOKIE, token, domain="api.example.com", secure=True)
    return client.get(path, base_url="https://api.example.com", headers=BROWSER)


class TestSigningIn:
    def test_is_asked_for_with_the_way_back(self, client):
        answer = client.get("/billing/change?plan=growth&at=now")

        assert answer.status_code == 303
        assert answer.headers["Location"] == "/sign-in?next=%2Fbilling%2Fchange%3Fplan%3Dgrowth%26at%3Dnow"

    @pytest.mark.parametrize("token", ["", "nobodys", "a b", examples.SECRET, "é"])
    def test_is_asked_for_unless_the_cookie_is_a_sessions(self, client, token):
        assert get_as(client, token, "/usage").headers["Location"] == "/sign-in?next=%2Fusage"

    def test_leads_back_where_one_was_going(self, client):
        answer = get_as(client, examples.MEMBER, "/sign-in?next=/secrets")

        assert (answer.status_code, answer.headers["Location"]) == (303, "/secrets")

    @pytest.mark.parametrize("wanted", ["/", "/billing?checkout=cs_1", "/a//b", "/?next=//elsewhere.example"])
    def test_goes_back_to_any_path_of_ours(self, wanted):
        assert guard.way_back(wanted) == wanted

    @pytest.mark.parametrize(
        "wanted",
        [
            *(None, "", "//elsewhere.example", "/\\elsewhere.example", "https://elsewhere.example", "javascript:x"),
            *("elsewhere", "/\t/elsewhere.example", "/a\nSet-Cookie: x", "/" + "a" * 1001, " /a"),
        ],
    )
    def test_goes_back_to_nothing_else(self, wanted):
        assert guard.way_back(wanted) == "/"


class TestPermission:
    def test_is_the_owners_alone_where_money_is(self, client):
        answer = get_as(client, examples.MEMBER, "/billing")

        assert answer.status_code == 403
        assert "Only the owner of your organization" in answer.text

    def test_comes_from_no_cookie_in_the_api(self, client):
        client.set_cookie(COOKIE, examples.OWNER, domain="api.example.com", secure=True)

        assert client.get("/v1/things", base_url="https://api.example.com").status_code == 401


class TestForm:
    def test_is_shown_again_with_what_was_typed_but_never_the_password(self, client, form):
        typed = {**form, "email": "ada@example.com", "password": "", "next": "/secrets"}

        answer = post(client, "/sign-in", typed)

        assert answer.status_code == 422
        assert 'value="ada@example.com"' in answer.text
        assert 'value="/secrets"' in answer.text
        assert 'aria-invalid="true"' in answer.text
        again = post(client, "/sign-in", {**typed, "email": "", "password": "hunter2"})
        assert again.status_code == 422
        assert "hunter2" not in again.text

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://elsewhere.example"},
            {"Origin": "null"},
            {"Origin": "http://api.example.com"},
        ],
    )
    def test_of_another_site_is_refused(self, client, form, headers):
        answer = post(client, "/sign-in", form, **headers)

        assert answer.status_code == 403
        assert "Another site" in answer.text

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Origin": "https://api.example.com"}, {"Sec-Fetch-Site": "same-origin", "Origin": "https://elsewhere"}],
    )
    def test_of_ours_is_let_in(self, client, form, headers):
        assert post(client, "/sign-in", form, **headers).status_code == 422

    @pytest.mark.parametrize("token", [None, "", "forged"])
    @pytest.mark.parametrize("path", ["/sign-in", "/sign-up", "/sign-out", "/bots", "/secrets", "/billing/portal"])
    def test_that_we_did_not_sign_is_refused(self, client, form, path, token):
        signed = {**form, "csrf_token": token} if token is not None else {"command_id": form["command_id"]}

        assert post(client, path, signed).status_code == 403

    def test_is_good_only_in_the_browser_it_was_made_for(self, client, site, form):
        other = site.test_client()
        other.get("/sign-in", base_url="https://api.example.com")

        assert post(other, "/sign-in", form).status_code == 403

    def test_is_url_encoded_and_small(self, client, form):
        assert client.post("/sign-in", json=form).status_code == 415
        assert post(client, "/sign-in", {**form, "email": "x" * 70_000}).status_code == 413

    def test_holds_no_text_that_a_database_could_not(self, client, form):
        assert post(client, "/sign-in", {**form, "email": "a\0b"}).status_code == 400
        assert client.get("/sign-in?next=%00").status_code == 400

    @pytest.mark.parametrize("command_id", ["", "cmd_1", "cmd_" + "U" * 26])
    def test_names_a_command_of_ours(self, client, form, command_id):
        answer = post(client, "/forgotten-password", {**form, "email": "ada@example.com", "command_id": command_id})

        assert answer.status_code == 400


class TestHeaders:
    def test_let_nothing_foreign_in_and_keep_nothing(self, client):
        headers = client.get("/reset-password?token=abc").headers

        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "strict-origin"

    def test_are_not_the_apis(self, client):
        headers = client.get("/v1/things").headers

        assert not {"Content-Security-Policy", "Vary", "Set-Cookie"} & set(headers.keys())
        assert headers["Referrer-Policy"] == "no-referrer"

    def test_keep_the_cookie_from_scripts_and_other_hosts(self, site):
        with site.test_request_context():
            response = flask.Response()
            cookies.keep(response, "token")

        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith("__Host-chatness_session=token; ")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie

    def test_have_plain_names_without_https(self):
        assert cookies.name(examples.settings(PUBLIC_URL="http://127.0.0.1:8000")) == "chatness_session"

    def test_style_nothing_inside_the_page(self, client):
        for path in ("/", "/sign-up", "/confirm-email?token=a", "/nowhere"):
            page = client.get(path, headers=BROWSER).text
            assert not re.search(r"<style|<script>| style=| on[a-z]+=|(src|href)=\"(https?:)?//", page), path


class TestFailure:
    def test_is_a_page_for_a_browser_and_a_problem_for_a_program(self, client):
        page, problem = client.get("/nowhere", headers=BROWSER), client.get("/nowhere")

        assert (page.status_code, page.mimetype) == (404, "text/html")
        assert "There is nothing here" in page.text
        assert (problem.status_code, problem.json["code"]) == (404, "not_found")

    def test_is_a_problem_in_the_api_whoever_asks(self, client):
        assert client.get("/v1/nowhere", headers=BROWSER).json["code"] == "not_found"

    def test_names_the_methods_that_there_are(self, client):
        answer = client.get("/sign-out", headers=BROWSER)

        assert (answer.status_code, answer.mimetype) == (405, "text/html")
        assert answer.headers["Allow"] == "OPTIONS, POST"

    def test_of_ours_says_nothing_of_its_cause(self, client):
        answer = get_as(client, examples.OWNER, "/account")  # no services stand behind this site

        assert answer.status_code == 500
        assert "NoneType" not in answer.text
        assert "it has been logged" in answer.text

    def test_answers_head_like_get_without_a_body(self, client):
        asked, shown = (client.open("/sign-up", method=method) for method in ("HEAD", "GET"))

        assert (asked.status_code, asked.data) == (200, b"")
        assert asked.headers["Content-Type"] == shown.headers["Content-Type"]


class TestAway:
    """Accounts knows sessions, and does not answer."""

    @pytest.fixture
    def client(self):
        client = examples.make_app(examples.settings(), verify_session=examples.do_not_answer).test_client()
        client.set_cookie(COOKIE, examples.OWNER, domain="api.example.com", secure=True)
        return client

    def test_lets_nobody_be_kept_from_signing_in_or_out(self, client, form):
        shown = client.get("/sign-in", base_url="https://api.example.com")
        left = post(client, "/sign-out", form)

        assert (shown.status_code, "Forgotten your password?" in shown.text) == (200, True)
        assert (left.status_code, left.headers["Location"]) == (303, "/sign-in")
        assert any(f"{COOKIE}=; Expires=" in cookie for cookie in left.headers.getlist("Set-Cookie"))
        said = client.get("/sign-in", base_url="https://api.example.com").text
        assert "You are signed out in this browser. The session itself could not be ended" in said

    def test_tells_whoever_sent_something_to_send_it_again_and_a_reader_to_look_again(self, client, form):
        looked, sent = get_as(client, examples.OWNER, "/usage"), post(client, "/bots", {**form, "name": "Ada"})

        assert (looked.status_code, sent.status_code) == (503, 503)
        assert "try again" in looked.text
        assert "sent" not in looked.text
        assert "reload this page to send it again" in sent.text
        assert "Nothing is lost" not in sent.text


class TestFiles:
    def test_are_kept_long_compressed_and_known_again(self, client):
        files = re.findall(r'(?:href|src)="(/(?:bootstrap/)?static/[^"]+)"', client.get("/").text)

        assert len(files) == 4
        for path in files:
            answer = client.get(path, headers={"Accept-Encoding": "gzip, br"})
            assert (answer.status_code, "max-age=31536000" in answer.headers["Cache-Control"]) == (200, True)
            assert path.endswith(".svg") or "mark.svg" in path or answer.headers["Content-Encoding"] == "br"
            known = {"Accept-Encoding": "gzip, br", "If-None-Match": answer.headers["ETag"]}
            assert client.get(path, headers=known).status_code == 304

    def test_are_the_only_thing_compressed(self, client):
        for path in ("/", "/openapi.json", "/v1/things"):
            answer = client.get(path, headers={"Accept-Encoding": "br"})
            assert "Content-Encoding" not in answer.headers, path


def bot(name, *reasons):
    return {"name": name, "pause_reasons": list(reasons)}


BOTS = [bot("first"), bot("second", "user"), bot("third"), bot("fourth")]


class TestConsequences:
    def test_pause_the_newest_that_run(self):
        found = self.of(bots=1)

        assert found.paused == ("fourth", "third")

    def test_resume_the_oldest_that_had_no_room(self):
        roster = [*BOTS, bot("fifth", "plan", "user"), bot("sixth", "plan"), bot("seventh", "plan")]

        assert self.of(bots=4, roster=roster).resumed == ("sixth",)

    def test_count_what_is_over_only_where_usage_stays(self):
        assert self.of(bots=9).messages_over == 0
        assert self.of(bots=9, resets_left=0).messages_over == 50

    @pytest.mark.parametrize(
        "effective_at, resets_left, resets",
        [
            ("2026-11-24T10:00:00Z", 1, True),
            ("2026-11-24T10:00:00Z", 0, False),
            ("2026-11-30T23:59:59Z", 0, False),  # the end of a paid period that lies in the open month
            ("2026-12-01T00:00:00Z", 0, True),
        ],
    )
    def test_reset_as_often_as_the_month_in_which_they_happen_allows(self, effective_at, resets_left, resets):
        found = self.of(bots=9, resets_left=resets_left, effective_at=effective_at)

        assert (found.resets, found.messages_over) == (resets, 0 if resets else 50)

    def of(self, *, bots, roster=BOTS, resets_left=1, effective_at="2026-11-24T10:00:00Z"):
        usage = {"period": "2026-11", "used": 250, "resets_left": resets_left}
        limits = {"messages": 200, "bots": bots}
        return consequences.of(limits=limits, effective_at=effective_at, usage=usage, bots=roster)


class TestShell:
    @pytest.mark.parametrize(
        "used, remaining, percent", [(0, 200, 0), (1, 199, 0), (199, 1, 99), (200, 0, 100), (0, 0, 100)]
    )
    def test_shows_100_only_when_nothing_is_left(self, used, remaining, percent):
        usage = {"used": used, "remaining": remaining, "blocked": remaining == 0}

        assert self.shell(usage=usage).percent == percent

    @pytest.mark.parametrize(
        "name, initials", [("Ada", "A"), ("Ada Lovelace", "AL"), ("ada b. c. lovelace", "AL"), ("", "?")]
    )
    def test_has_the_initials_of_a_name(self, name, initials):
        assert self.shell(account={"name": name}).initials == initials

    def shell(self, *, account=None, usage=None):
        actor = context.Actor(kind="person", role="owner")
        return shell.Shell(actor=actor, account=account, org=None, usage=usage)


class TestWords:
    def test_explain_every_scope(self):
        assert tuple(words.SCOPES) == access.SCOPES

    @pytest.mark.parametrize(
        "cents, currency, written",
        [
            (1900, "usd", "$19"),
            (123456, "usd", "$1,234.56"),
            (-50, "eur", "-€0.50"),
            (0, "chf", "0 CHF"),
            (1900, "jpy", "1,900 JPY"),
            (1900, "kwd", "1.900 KWD"),
            (2**53 + 1, "usd", "$90,071,992,547,409.93"),
        ],
    )
    def test_write_money(self, cents, currency, written):
        assert words.money(cents, currency) == written

    def test_write_moments(self):
        assert words.day("2026-12-01T00:00:00Z") == "1 December 2026"
        assert words.minute("2026-12-01T09:05:59Z") == "1 Dec 2026, 09:05 UTC"
        assert words.month("2026-02") == "February 2026"

    @pytest.mark.parametrize(
        "user_agent, device",
        [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140 Safari/537.36 Edg/140", "Edge on Windows"),
            ("curl/8.5", "curl/8.5"),
            ("", "An unknown program"),
        ],
    )
    def test_name_a_device(self, user_agent, device):
        assert words.device(user_agent) == device


class TestSupportAddress:
    def test_is_at_the_public_host_unless_it_is_given(self):
        assert examples.settings().support == "support@api.example.com"
        assert examples.settings(SUPPORT_ADDRESS="help@example.org").support == "help@example.org"


class TestBars:
    def test_are_all_days_of_the_month_and_show_what_is_not_nothing(self):
        days = [
            {"day": f"2028-02-{day}", "messages": count, "refunded": 0} for day, count in (("03", 1000), ("29", 1))
        ]

        bars = usage.bars("2028-02", days)

        assert [bar.day for bar in bars][::28] == ["2028-02-01", "2028-02-29"]
        assert [(bar.messages, bar.height) for bar in bars if bar.height] == [(1000, 100), (1, 1)]

    def test_are_flat_where_nothing_was_sent_and_keep_a_day_that_a_clock_set_back_showed(self):
        assert {bar.height for bar in usage.bars("2026-11", [])} == {0}
        stray = {"day": "2026-10-31", "messages": 0, "refunded": 1}
        assert usage.bars("2026-11", [stray])[0] == usage.Bar(day="2026-10-31", messages=0, refunded=1, height=0)
