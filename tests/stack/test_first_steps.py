"""The first steps, which are also taken in an installation under Docker Compose, work on any stack."""

from tests.deployment import first_steps
from tests.stack.stacks import CHATNESS, Running


def test_the_first_steps_work(stack: Running) -> None:
    mails = ("env", f"CHATNESS_RUN={stack.directory}", *CHATNESS, "mail", "--json")

    first_steps.take(stack.url, mails)
