"""What the pages tell a person to do first, done: with a new installation, and with its keys."""

import re

from tests.deployment import files, first_steps
from tests.stack.stacks import CHATNESS, Running


def test_the_first_steps_work(stack: Running) -> None:
    """The same that are taken in an installation under Docker Compose."""
    mails = ("env", f"CHATNESS_RUN={stack.directory}", *CHATNESS, "mail", "--json")

    first_steps.take(stack.url, mails)


def test_the_secrets_that_a_pepper_still_holds_can_be_counted(stack: Running) -> None:
    page = (files.ROOT / "docs" / "going-live.md").read_text()
    (question,) = re.findall(r"^SELECT .*?;$", page, re.MULTILINE | re.DOTALL)
    before = sum(row.count for row in stack.rows("secrets", question))

    stack.sign_up()

    assert sum(row.count for row in stack.rows("secrets", question)) == before + 1
