from datetime import UTC, datetime, timedelta

import eventlet
import pytest
from eventlet.event import Event

from services.gateway import api_secret, authentication, problems
from shared import context, errors

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
SECRET = {"secret_id": "sec_1", "org_id": "org_1", "scopes": ["bots:read"], "expires_at": None}
SESSION = {"account_id": "acc_1", "org_id": "org_1", "role": "owner", "session_id": "ses_1", "expires_at": None}


class Owner:
    """The service that knows the tokens: says what it is told to say, and remembers who asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.gate = None

    def verify(self, sha256):
        self.asked.append((sha256, context.current().actor))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.gate:
            self.gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


def door(owner, *, memory=None, seconds=30.0, now=lambda: NOW, uses=None):
    return authentication.Authentication(
        verify_secret=owner.verify,
        verify_session=owner.verify,
        note_use=[].append if uses is None else uses.append,
        memory=memory or authentication.Memory(),
        secret_seconds=seconds,
        session_seconds=seconds,
        now=now,
    )


def bearer(token=None):
    return f"Bearer {token or api_secret.generate('test')}"


def refused(door, header):
    with pytest.raises(problems.Problem) as refusal:
        door.identify(header)
    return refusal.value.code


class TestIdentify:
    def test_finds_whose_secret_it_is(self):
        actor = door(Owner(SECRET)).identify(bearer())

        assert actor == context.Actor(kind="secret", id="sec_1", org_id="org_1", scopes=("bots:read",))

    def test_finds_whose_session_it_is(self):
        actor = door(Owner(SESSION)).identify("bearer abc")

        assert actor == context.Actor(kind="person", id="acc_1", org_id="org_1", role="owner", session_id="ses_1")

    def test_sends_only_the_fingerprint_and_asks_as_the_gateway(self):
        owner, token = Owner(SECRET), api_secret.generate("live")

        door(owner).identify(bearer(token))

        assert owner.asked == [(api_secret.fingerprint(token), context.Actor(kind="service", id="gateway"))]

    def test_asks_nobody_about_a_mistyped_secret(self):
        owner = Owner(SECRET)

        assert refused(door(owner), bearer(api_secret.generate("live")[:-1] + "!")) == "invalid_token"
        assert refused(door(owner), bearer("chs_live_" + "0" * 38)) == "invalid_token"
        assert owner.asked == []

    def test_does_not_take_an_unanswered_question_for_an_answer(self):
        owner, header = Owner(errors.Unavailable("service_unavailable"), SECRET), bearer()
        asking = door(owner)

        with pytest.raises(errors.Unavailable):
            asking.identify(header)
        assert asking.identify(header).id == "sec_1"

    def test_notes_every_use_of_a_secret_that_is_good_and_of_nothing_else(self):
        uses, header = [], bearer()
        asking = door(Owner(SECRET), uses=uses)

        for _ in range(3):
            asking.identify(header)
        refused(door(Owner(errors.NotFound("not_found")), uses=uses), bearer())
        refused(door(Owner({**SECRET, "expires_at": "2026-11-22T21:00:00Z"}), uses=uses), bearer())
        door(Owner(SESSION), uses=uses).identify("bearer abc")

        assert uses == ["sec_1"] * 3


class TestMemory:
    def test_answers_again_without_asking(self):
        owner, header = Owner(SECRET), bearer()
        asking = door(owner)

        assert [asking.identify(header).id for _ in range(3)] == ["sec_1"] * 3
        assert len(owner.asked) == 1

    def test_knows_nobodys_tokens_too(self):
        owner, header = Owner(errors.NotFound("not_found")), bearer()
        asking = door(owner)

        assert {refused(asking, header) for _ in range(3)} == {"invalid_token"}
        assert len(owner.asked) == 1

    def test_lasts_no_longer_than_it_may(self):
        owner, header = Owner(SECRET), bearer()
        asking = door(owner, seconds=0)

        for _ in range(3):
            asking.identify(header)
        assert len(owner.asked) == 3

    def test_does_not_outlive_the_token(self):
        clock, header = Clock(), bearer()
        asking = door(Owner({**SECRET, "expires_at": "2026-11-22T21:00:05Z"}), now=clock)

        assert asking.identify(header).id == "sec_1"
        clock.now += timedelta(seconds=5)
        assert refused(asking, header) == "invalid_token"

    def test_is_emptied_at_once(self):
        memory, header = authentication.Memory(), bearer()
        asking = door(Owner(SECRET, errors.NotFound("not_found")), memory=memory)
        asking.identify(header)

        memory.forget_secrets()

        assert refused(asking, header) == "invalid_token"

    def test_does_not_keep_an_answer_whose_question_is_older_than_the_emptying(self):
        memory, header = authentication.Memory(), bearer()
        owner = Owner(SECRET, errors.NotFound("not_found"))
        owner.gate = Event()
        asking = door(owner, memory=memory)
        early = eventlet.spawn(asking.identify, header)
        eventlet.sleep(0)

        memory.forget_secrets()
        late = eventlet.spawn(asking.identify, header)
        eventlet.sleep(0)
        owner.gate.send()

        assert early.wait().id == "sec_1"
        with pytest.raises(problems.Problem):
            late.wait()
        assert refused(asking, header) == "invalid_token"
        assert len(owner.asked) == 2

    def test_refuses_a_revoked_secret_without_asking_and_goes_on_knowing_the_others(self):
        memory, revoked, other = authentication.Memory(), bearer(), bearer()
        owner = Owner(SECRET, {**SECRET, "secret_id": "sec_2"})
        asking = door(owner, memory=memory)
        asking.identify(revoked)
        asking.identify(other)

        memory.revoke_secret("sec_1")

        assert refused(asking, revoked) == "invalid_token"
        assert asking.identify(other).id == "sec_2"
        assert len(owner.asked) == 2

    def test_refuses_every_value_of_a_revoked_secret(self):
        memory, values = authentication.Memory(), [bearer(), bearer()]
        asking = door(Owner(SECRET), memory=memory)
        for value in values:
            asking.identify(value)

        memory.revoke_secret("sec_1")

        assert [refused(asking, value) for value in values] == ["invalid_token"] * 2

    def test_asks_anew_about_a_secret_that_was_rotated_and_about_no_other(self):
        memory, rotated, other = authentication.Memory(), bearer(), bearer()
        owner = Owner(SECRET, {**SECRET, "secret_id": "sec_2"}, errors.NotFound("not_found"))
        asking = door(owner, memory=memory)
        asking.identify(rotated)
        asking.identify(other)

        memory.forget_secret("sec_1")

        assert asking.identify(other).id == "sec_2"
        assert refused(asking, rotated) == "invalid_token"
        assert len(owner.asked) == 3

    @pytest.mark.parametrize("change", ["revoke_secret", "forget_secret"])
    def test_does_not_keep_an_answer_whose_question_is_older_than_the_revocation(self, change):
        memory, header = authentication.Memory(), bearer()
        owner = Owner(SECRET, errors.NotFound("not_found"))
        owner.gate = Event()
        asking = door(owner, memory=memory)
        early = eventlet.spawn(asking.identify, header)
        eventlet.sleep(0)

        getattr(memory, change)("sec_1")
        owner.gate.send()
        early.wait()

        assert refused(asking, header) == "invalid_token"

    def test_keeps_no_trace_of_what_it_no_longer_knows(self):
        answers = authentication.Answers(size=2)
        for number in range(6):
            actor = context.Actor(kind="secret", id=f"sec_{number % 3}", org_id="org_1")
            answers.get(f"sha_{number}", lambda _, actor=actor: authentication.Answer(actor=actor), max_age_seconds=9)

        answers.refuse_holder("sec_2")

        assert (answers._known.keys(), answers._held) == ({"sha_4"}, {"sec_1": {"sha_4"}})

    def test_lets_those_who_ask_at_once_share_one_question(self):
        owner, header = Owner(SECRET), bearer()
        owner.gate = Event()
        asking = door(owner)
        threads = [eventlet.spawn(asking.identify, header) for _ in range(50)]
        eventlet.sleep(0)

        owner.gate.send()

        assert {thread.wait().id for thread in threads} == {"sec_1"}
        assert len(owner.asked) == 1

    def test_tells_all_who_share_a_question_that_it_failed(self):
        owner, header = Owner(errors.Unavailable("service_unavailable")), bearer()
        owner.gate = Event()
        asking = door(owner)
        threads = [eventlet.spawn(asking.identify, header) for _ in range(3)]
        eventlet.sleep(0)

        owner.gate.send()

        for thread in threads:
            with pytest.raises(errors.Unavailable):
                thread.wait()
        assert len(owner.asked) == 1


class TestAnswers:
    def test_keep_the_newest_known_ones_whatever_is_tried_besides(self):
        answers = authentication.Answers(size=2)
        known = authentication.Answer(actor=context.Actor(kind="secret", id="sec_1"))
        asked = []

        def ask(sha256):
            asked.append(sha256)
            return known if sha256.startswith("known") else authentication.NOBODY

        for sha256 in ("known 1", "known 2", "known 3", *(f"tried {number}" for number in range(100))):
            answers.get(sha256, ask, max_age_seconds=30)
        asked.clear()
        for sha256 in ("known 2", "known 3", "known 1"):
            answers.get(sha256, ask, max_age_seconds=30)

        assert asked == ["known 1"]

    def test_forget_a_known_token_that_is_found_to_be_nobodys(self):
        answers = authentication.Answers()
        known = authentication.Answer(actor=context.Actor(kind="secret", id="sec_1"))
        answers.get("token", lambda _: known, max_age_seconds=30)

        found = [answers.get("token", lambda _: authentication.NOBODY, max_age_seconds=age) for age in (0, 30)]

        assert found == [authentication.NOBODY, authentication.NOBODY]
