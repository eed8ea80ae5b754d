"""Every code that anybody can meet is explained, and nothing else is."""

import ast
from pathlib import Path

import pytest

from ops.documents import errors
from services.gateway import app, documentation, problems, remedies, routes
from tests.gateway import examples

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[2]
KINDS = {"Invalid", "Forbidden", "NotFound", "Conflict", "LimitReached", "Unavailable"}
AT_THE_COMMAND_LINE = {
    "shared/jobs.py",
    "services/quota/credits.py",
    "services/quota/grants.py",
}  # whose refusals operations see, and no caller


@pytest.fixture(scope="module")
def site():
    usual = examples.settings()
    return app.create(usual, services=None, authentication=None, groups=routes.groups(usual)).test_client()


@pytest.fixture(scope="module")
def of_the_api(site):
    """The codes that the OpenAPI document names, and those that no route has to itself."""
    described = documentation.operations(site.get("/openapi.json").json)
    return {code for _, _, operation in described for code in operation["x-codes"]} | set(problems.EVERYWHERE)


def codes_in_the_source():
    """The codes that stand literally where one of the six kinds of refusal is made."""
    for path in [*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/**/*.py")]:
        if path.relative_to(ROOT).as_posix() in AT_THE_COMMAND_LINE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in KINDS and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    yield code.value


class TestRemedies:
    def test_explain_every_code_of_the_api(self, of_the_api):
        assert sorted(of_the_api - set(remedies.REMEDIES)) == []

    def test_explain_every_code_that_a_service_refuses_with(self):
        assert sorted(set(codes_in_the_source()) - set(remedies.REMEDIES)) == []

    def test_explain_no_code_that_nobody_meets(self, of_the_api):
        assert sorted(set(remedies.REMEDIES) - of_the_api - set(codes_in_the_source())) == []

    def test_name_the_status_where_no_route_does(self, of_the_api):
        with_status = {code for code, remedy in remedies.REMEDIES.items() if remedy.status}

        assert sorted(with_status) == sorted(set(remedies.REMEDIES) - of_the_api)

    def test_are_in_order_and_each_says_what_to_do(self):
        assert list(remedies.REMEDIES) == sorted(remedies.REMEDIES)
        for code, remedy in remedies.REMEDIES.items():
            for text in (remedy.means, remedy.do):
                assert text.endswith("."), code
                assert text.count("`") % 2 == 0, code


class TestPages:
    def test_have_the_same_anchors_and_texts(self, site):
        """That of the gateway, where a problem's `type` points, and that of the repository."""
        own, ours = site.get("/docs/errors").text, errors.render()

        for code, remedy in remedies.REMEDIES.items():
            assert f'<section id="{code}">' in own
            assert f"### `{code}`\n" in ours  # its anchor is the code
            assert str(documentation.marked_up(remedy.do)) in own
            assert remedy.do in ours

    def test_show_code_as_code_and_nothing_as_markup(self):
        shown = documentation.marked_up("Use `a<b>` & wait.")

        assert shown == "Use <code>a&lt;b&gt;</code> &amp; wait."
