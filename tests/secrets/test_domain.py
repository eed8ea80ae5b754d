from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.secrets import domain
from services.secrets.events import FormerValueEnded, SecretCreated, SecretRevoked, SecretRotated
from shared import errors

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CREATED = SecretCreated(
    org_id="org_1", secret_id="sec_1", made_by="acc_1", name_version=1, scopes=("bots:read",), expires_at=""
)
REVOKED = SecretRevoked(org_id="org_1", secret_id="sec_1", reason="person")


def after(*facts):
    secret = domain.Secret()
    for fact in facts:
        secret = domain.evolve(secret, fact)
    return secret


def create(secret, **changes):
    wish = {
        "org_id": "org_1",
        "secret_id": "sec_1",
        "made_by": "acc_1",
        "name_version": 1,
        "scopes": ["bots:read"],
        "expires_at": None,
    }
    return domain.create(secret, **{**wish, **changes})


class TestCreate:
    def test_says_who_made_it_and_what_it_may(self):
        assert create(after()) == [CREATED]

    def test_says_when_it_expires(self):
        assert create(after(), expires_at=NOW)[0].expires_at == "2026-11-22T12:00:00Z"

    def test_happens_once(self):
        with pytest.raises(errors.Conflict, match="secret_exists"):
            create(after(CREATED))


def rotate(secret, **changes):
    wish = {"by": "acc_1", "role": "member", "now": NOW, "overlap_seconds": 3600}
    return domain.rotate(secret, **{**wish, **changes})


class TestRotate:
    def test_says_until_when_the_value_before_works(self):
        assert rotate(after(CREATED)) == [
            SecretRotated(org_id="org_1", secret_id="sec_1", rotated_by="acc_1", former_until="2026-11-22T13:00:00Z")
        ]

    def test_ends_the_value_before_with_the_secret_itself(self):
        expiring = replace(CREATED, expires_at="2026-11-22T12:30:00Z")

        assert rotate(after(expiring))[0].former_until == "2026-11-22T12:30:00Z"

    def test_is_for_the_owner_and_who_made_it(self):
        assert rotate(after(CREATED), by="acc_owner", role="owner")[0].rotated_by == "acc_owner"
        with pytest.raises(errors.Forbidden, match="not_allowed"):
            rotate(after(CREATED), by="acc_2")

    @pytest.mark.parametrize("expires_at, code", [("2026-11-22T12:00:00Z", "secret_expired"), ("", "secret_revoked")])
    def test_refuses_one_that_is_no_longer_good(self, expires_at, code):
        over = [replace(CREATED, expires_at=expires_at), *([] if expires_at else [REVOKED])]

        with pytest.raises(errors.Conflict, match=code):
            rotate(after(*over))

    def test_does_not_know_one_that_was_never_made(self):
        with pytest.raises(errors.NotFound, match="unknown_secret"):
            rotate(after())


class TestRevoke:
    def test_lets_the_owner_revoke_what_others_made(self):
        assert domain.revoke(after(CREATED), by="acc_owner", role="owner") == [REVOKED]

    def test_lets_a_member_revoke_what_they_made(self):
        assert domain.revoke(after(CREATED), by="acc_1", role="member") == [REVOKED]

    def test_does_not_let_a_member_revoke_what_others_made(self):
        with pytest.raises(errors.Forbidden, match="not_allowed"):
            domain.revoke(after(CREATED), by="acc_2", role="member")

    def test_leaves_a_revoked_one_as_it_is(self):
        assert domain.revoke(after(CREATED, REVOKED), by="acc_1", role="member") == []

    def test_does_not_know_one_that_was_never_made(self):
        with pytest.raises(errors.NotFound, match="unknown_secret"):
            domain.revoke(after(), by="acc_1", role="owner")


ROTATED = SecretRotated(org_id="org_1", secret_id="sec_1", rotated_by="acc_1", former_until="2026-11-22T13:00:00Z")
LEAKED = SecretRevoked(org_id="org_1", secret_id="sec_1", reason="leaked")
FORMER_ENDED = FormerValueEnded(org_id="org_1", secret_id="sec_1", reason="leaked")


def end_leaked(secret, *, is_former=False, minutes=0):
    return domain.end_leaked(secret, is_former=is_former, now=NOW + timedelta(minutes=minutes))


class TestEndLeaked:
    def test_revokes_the_secret_whose_value_it_is(self):
        assert end_leaked(after(CREATED)) == [LEAKED]
        assert end_leaked(after(CREATED, ROTATED)) == [LEAKED]

    def test_ends_no_more_than_the_value_before_where_it_was_that_one(self):
        assert end_leaked(after(CREATED, ROTATED), is_former=True) == [FORMER_ENDED]

    def test_has_nothing_to_end_in_what_is_over(self):
        assert end_leaked(after(CREATED, REVOKED)) == []
        assert end_leaked(after(replace(CREATED, expires_at="2026-11-22T12:00:00Z"))) == []
        assert end_leaked(after(CREATED, ROTATED), is_former=True, minutes=60) == []
        assert end_leaked(after(CREATED, ROTATED, FORMER_ENDED), is_former=True) == []


class TestLeaks:
    def test_says_where_each_was_found(self):
        one, other = "0a" * 32, "0b" * 32

        assert domain.leaks([{"sha256": one, "url": "https://paste.example/1"}, {"sha256": other}]) == {
            one: "https://paste.example/1",
            other: "",
        }

    @pytest.mark.parametrize(
        "reported",
        [
            [],
            [{"sha256": "0a" * 32}] * 101,
            [{}],
            [{"sha256": "chs_live_"}],
            [{"sha256": 1}],
            [{"sha256": "0a" * 32, "url": None}],
            [{"sha256": "0a" * 32, "url": "h" * 2049}],
        ],
    )
    def test_refuses_what_is_no_report(self, reported):
        with pytest.raises(errors.Invalid, match="invalid_leaks"):
            domain.leaks(reported)


class TestEvolve:
    def test_leaves_what_it_does_not_know_alone(self):
        assert domain.evolve(after(CREATED), object()) == after(CREATED)


class TestName:
    def test_drops_spaces_around_it(self):
        assert domain.name(" Website ") == "Website"

    @pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "a\0b"])
    def test_refuses_what_does_not_fit_a_line(self, name):
        with pytest.raises(errors.Invalid, match="invalid_name"):
            domain.name(name)


class TestScopes:
    KNOWN = ("bots:read", "bots:write", "messages:write")

    def test_allows_sending_and_no_more_where_none_are_named(self):
        assert domain.scopes(None, known=self.KNOWN) == ("messages:write",)

    def test_has_each_once_in_order(self):
        assert domain.scopes(["bots:write", "bots:read", "bots:write"], known=self.KNOWN) == (
            "bots:read",
            "bots:write",
        )

    def test_points_at_the_one_it_does_not_know(self):
        with pytest.raises(errors.Invalid, match="unknown_scope") as refused:
            domain.scopes(["bots:read", "billing:write"], known=self.KNOWN)

        assert refused.value.details["errors"][0]["pointer"] == "/scopes/1"

    def test_refuses_a_secret_that_may_do_nothing(self):
        with pytest.raises(errors.Invalid, match="invalid_scopes"):
            domain.scopes([], known=self.KNOWN)


class TestExpiry:
    def test_is_a_moment_to_come_or_never(self):
        assert domain.expiry(None, now=NOW) is None
        assert domain.expiry("2026-11-22T12:00:01Z", now=NOW) == NOW.replace(second=1)

    @pytest.mark.parametrize(
        "text", ["", "tomorrow", "2027-01-31T00:00:00", "2026-11-22T12:00:00Z", "2025-01-01T00:00:00Z"]
    )
    def test_refuses_the_past_and_what_is_no_moment(self, text):
        with pytest.raises(errors.Invalid, match="invalid_expires_at"):
            domain.expiry(text, now=NOW)


class TestCheckFingerprint:
    def test_takes_what_the_gateway_sends(self):
        domain.check_fingerprint(sha256="0a" * 32, hint="chs_live_\u2026x7Qa")

    @pytest.mark.parametrize(
        "sha256, hint",
        [("0a" * 31, "h"), ("0A" * 32, "h"), ("0a" * 32, ""), ("0a" * 32, "h" * 25), ("0a" * 32, "a b")],
    )
    def test_refuses_what_could_be_a_value(self, sha256, hint):
        with pytest.raises(errors.Invalid, match="invalid_fingerprint"):
            domain.check_fingerprint(sha256=sha256, hint=hint)
