"""An org at its limit is told so by mail, and operations grant it extra messages at the command line."""

import json
from datetime import timedelta

from sandbox import mail
from tests.stack import crowd, surfer
from tests.stack.stacks import Org, Running, eventually
from tests.stack.test_admission import message

OK = 0


def mails_about_usage(org: Org) -> list[str]:
    arrived = [one for one in mail.read(org.stack.mail_folder) if one["to"] == org.email]
    return sorted(one["subject"] for one in arrived if "used" in one["subject"])


def test_an_org_at_its_limit_is_told_and_goes_on_with_credits(stack: Running) -> None:
    org = stack.sign_up()
    last_day = (stack.clock.now() + timedelta(days=40)).date()
    order = ("quota", "credit", org.id, "--messages", "2", "--reason", "ticket 4711", "--expires", f"{last_day}")
    crowd.ask_at_once([message(org, f"msg_{number}", stack.url) for number in range(200)])
    assert org.send("msg_refused").status_code == 429

    granted = stack.run(*order, "--execute", "--json")

    assert granted.returncode == OK, granted.stderr
    (credit,) = org.program.ask("GET", "/v1/credits").json()["data"]
    assert (credit["id"], credit["messages"], credit["remaining"]) == (json.loads(granted.stdout)["id"], 2, 2)
    assert credit["expires_at"] == f"{last_day + timedelta(days=1)}T00:00:00Z"
    assert org.bots() == [("Charles", "running")]
    page = surfer.Surfer(org).see("/usage").text
    assert "2 of 2 messages left" in page
    answers = [org.send(f"more_{number}") for number in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert [answer.json()["credits_remaining"] for answer in answers] == [1, 0, 0]
    eventually(lambda: len(mails_about_usage(org)) == 2, "accounts has not written to the owner")
    assert mails_about_usage(org) == ["80 % of this month's messages are used", "This month's messages are used up"]
