"""Who may bring a picture, and the process that makes it anew: however many come, and whatever becomes of it."""

import sys
import time

import eventlet
import pytest

from services.gateway import picture_decoder, pictures
from shared import errors
from tests.gateway import images

pytestmark = pytest.mark.pure

PATIENCE_SECONDS = 60


def process(code):
    """In the decoder's place."""
    return pictures.Pictures(command=(sys.executable, "-I", "-c", code))


def refusal(remake, sent=b"x"):
    with pytest.raises(errors.Invalid) as refused:
        remake(sent)
    return refused.value.code


class TestPlace:
    def test_is_one_for_each_person(self):
        places = pictures.Pictures()

        with (
            places.place("acc_1"),
            places.place("acc_2"),
            pytest.raises(errors.Unavailable, match="busy") as refused,
            places.place("acc_1"),
        ):
            pass
        assert refused.value.details["retry_after_seconds"] > 0
        with places.place("acc_1"):
            pass

    def test_is_there_for_as_many_as_there_are(self):
        places = pictures.Pictures(places=2)

        with (
            places.place("acc_1"),
            places.place("acc_2"),
            pytest.raises(errors.Unavailable, match="busy"),
            places.place("acc_3"),
        ):
            pass

    def test_is_given_back_whatever_happens(self):
        places = pictures.Pictures(places=1)

        for _ in range(3):
            with pytest.raises(ZeroDivisionError), places.place("acc_1"):
                _ = 1 / 0


class TestRemake:
    def test_gives_a_picture_and_by_what_it_is_known(self):
        sent = images.noise("JPEG", (900, 900))

        made, again = (pictures.Pictures().remake(sent) for _ in range(2))

        assert images.opened(made.webp).size == (512, 512)
        assert made == again
        assert len(made.source) == 64

    def test_takes_as_much_as_may_be_sent(self):
        sent = images.plain("PNG") + bytes(pictures.MOST_BYTES)

        assert images.looks(pictures.Pictures().remake(sent[: pictures.MOST_BYTES]).webp, images.RED)

    @pytest.mark.parametrize(
        "sent, code",
        [
            (b"GIF89a", "not_a_picture"),
            (images.noise("PNG")[:5000], "broken_picture"),
            (images.bomb(), "too_many_pixels"),
        ],
    )
    def test_says_why_there_is_none(self, sent, code):
        assert refusal(pictures.Pictures().remake, sent) == code

    @pytest.mark.parametrize(
        "code, refused",
        [
            ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "broken_picture"),
            ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "picture_too_costly"),
            (
                "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
                "picture_too_costly",
            ),
            ("raise SystemExit(3)", "broken_picture"),
            ("print('anything at all')", "broken_picture"),
            ("print('ok'); raise SystemExit(1)", "broken_picture"),
            ("import sys; sys.stdin.read()\nwhile True: print('x' * 65536)", "picture_too_costly"),
        ],
    )
    def test_survives_whatever_becomes_of_the_process(self, code, refused):
        assert refusal(process(code).remake, b"x" * 1_000_000) == refused

    def test_says_that_it_is_busy_when_the_machine_has_no_room_for_a_process(self, tmp_path):
        missing = pictures.Pictures(command=[str(tmp_path / "missing")])

        with pytest.raises(errors.Unavailable) as refused:
            missing.remake(b"x")
        assert refused.value.code == "busy"

    @pytest.mark.parametrize("attempt", ["open('/proc/self/environ')", "open('/')", "socket.socket()", "os.pipe()"])
    def test_opens_nothing_once_it_looks_at_a_picture(self, attempt):
        tries = (
            f"import os, runpy, socket; decoder = runpy.run_path({picture_decoder.__file__!r})\n"
            "decoder['_bound'](); decoder['_shut']()\n"
            f"try: {attempt}\n"
            "except OSError as error: print('too_many_pixels' if error.errno == 24 else error, end='')"
        )

        assert refusal(process(tries).remake) == "too_many_pixels"

    def test_takes_no_more_memory_than_it_is_given(self):
        takes = (
            f"import runpy; decoder = runpy.run_path({picture_decoder.__file__!r})\n"
            "decoder['_bound']()\n"
            "try: bytearray(decoder['MEMORY_BYTES'])\n"
            "except MemoryError: print('too_many_pixels', end='')"
        )

        assert refusal(process(takes).remake) == "too_many_pixels"

    def test_waits_for_nobody_who_is_late(self, monkeypatch):
        monkeypatch.setattr(pictures, "LATE_SECONDS", 0.5)
        places = process("import time; time.sleep(60)")
        began = time.monotonic()

        with pytest.raises(errors.Unavailable, match="busy"):
            places.remake(b"x" * 1_000_000)

        assert time.monotonic() - began < 10

    def test_lets_two_in_and_the_others_go_on_meanwhile(self, tmp_path):
        """The hub turns while pictures are made, and no third begins before one of the two has ended."""
        note = tmp_path / "running"
        code = (
            "import os, sys, time; sys.stdin.buffer.read(); "
            f"open({str(note)!r}, 'a').write('+'); time.sleep(1.5); open({str(note)!r}, 'a').write('-')"
        )
        places, longest = process(code), 0.0
        crowd = [eventlet.spawn(refusal, places.remake) for _ in range(4)]
        began = time.monotonic()

        while not all(one.dead for one in crowd):
            turned = time.monotonic()
            eventlet.sleep(0.005)
            longest = max(longest, time.monotonic() - turned)
            assert turned - began < PATIENCE_SECONDS

        running = 0
        for sign in note.read_text():
            running += 1 if sign == "+" else -1
            assert running <= pictures.AT_ONCE
        assert note.read_text().count("+") == 4
        assert longest < 0.75
