"""What comes of a picture, usual or hostile: one of ours, or an exact refusal."""

import struct
import subprocess
import zlib

import pytest
from PIL import Image

from services.gateway import picture_decoder, pictures
from tests.gateway import images

pytestmark = pytest.mark.pure


def refusal(data):
    with pytest.raises(picture_decoder.Refused) as refused:
        picture_decoder.remade(data)
    return str(refused.value)


RUN_AND_SAY_HOW_MUCH = f"""
import runpy, sys
status = open("/proc/self/status")  # afterwards nothing can be opened; what it says is made when it is read
runpy.run_path({picture_decoder.__file__!r}, run_name="__main__")
sys.stderr.write(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def run(data):
    """In a process as the gateway starts it: its answer, and how much memory it took at most, in KiB."""
    command = [*pictures.COMMAND[:2], "-c", RUN_AND_SAY_HOW_MUCH]
    done = subprocess.run(command, input=data, capture_output=True, env={}, cwd="/", check=True, timeout=60)
    return done.stdout, int(done.stderr)


class TestRemade:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_is_a_webp_of_the_same_colours(self, kind):
        made = picture_decoder.remade(images.plain(kind, (300, 200)))

        assert images.opened(made).format == "WEBP"
        assert images.opened(made).size == (300, 200)
        assert images.looks(made, images.RED)

    @pytest.mark.parametrize(
        "size, fitted",
        [((3000, 1500), (512, 256)), ((100, 2000), (26, 512)), ((1, 1), (1, 1)), ((16_384, 1), (512, 1))],
    )
    def test_fits_into_the_square_and_is_never_made_larger(self, size, fitted):
        assert images.opened(picture_decoder.remade(images.plain("PNG", size))).size == fitted

    def test_of_a_large_photograph_fits_too(self):
        made = images.opened(picture_decoder.remade(images.plain("JPEG", (4032, 3024))))

        assert made.size == (512, 384)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_upright(self, orientation):
        made = picture_decoder.remade(images.corners(orientation))

        assert images.opened(made).size == (64, 32)
        assert images.looks(made, images.RED, (8, 16))
        assert images.looks(made, images.BLUE, (56, 16))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_has_nothing_in_it_but_pixels(self, kind):
        sent = images.with_everything_said(kind)
        assert images.opened(sent).getexif().get_ifd(images.GPS)
        assert images.MARK.encode() in sent

        made = picture_decoder.remade(sent)

        assert images.MARK.encode() not in made
        assert not {b"EXIF", b"XMP ", b"ICCP"} & {made[at : at + 4] for at in range(len(made))}
        assert set(images.opened(made).info) <= {"loop", "background", "timestamp", "duration"}

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_is_the_first_frame_of_what_moves(self, kind):
        made = picture_decoder.remade(images.animated(kind))

        assert getattr(images.opened(made), "n_frames", 1) == 1
        assert images.looks(made, images.RED)

    def test_takes_the_first_of_a_phone_s_several_pictures(self):
        several = images.saved(
            Image.new("RGB", (64, 64), images.GREEN), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))]
        )
        assert images.opened(several).format == "MPO"

        assert images.looks(picture_decoder.remade(several), images.GREEN)

    def test_understands_the_colours_of_print(self):
        cyan = images.plain("JPEG", colour=(255, 0, 0, 0), mode="CMYK")

        assert images.looks(picture_decoder.remade(cyan), (0, 255, 255))

    @pytest.mark.parametrize("grey, shown", [(0x8000, 128), (0xFFFF, 255), (0x0100, 1), (0, 0)])
    def test_keeps_the_brightness_of_sixteen_bits(self, grey, shown):
        row = b"\0" + struct.pack(">H", grey) * 16

        made = picture_decoder.remade(images.png(16, 16, row * 16, depth=16))

        assert images.looks(made, (shown,) * 3, within=4)

    def test_understands_sixteen_bits_of_each_colour(self):
        row = b"\0" + struct.pack(">HHH", 0xC000, 0x2000, 0x2000) * 16

        made = picture_decoder.remade(images.png(16, 16, row * 16, depth=16, colour=2))

        assert images.looks(made, (0xC0, 0x20, 0x20), within=8)

    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
    def test_understands_every_mode_of_a_png(self, mode):
        made = picture_decoder.remade(images.saved(Image.new("RGBA", (20, 20), "white").convert(mode), "PNG"))

        assert images.looks(made, (255, 255, 255))

    def test_keeps_what_shines_through(self):
        made = picture_decoder.remade(images.plain("PNG", (20, 20), (*images.BLUE, 0), "RGBA"))

        assert images.opened(made).convert("RGBA").getpixel((5, 5))[3] == 0

    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_is_small_though_nothing_can_be_left_out(self, mode):
        made = picture_decoder.remade(images.noise(mode=mode))

        assert len(made) <= picture_decoder.MOST_BYTES_MADE

    def test_takes_what_stands_behind_a_picture_for_nothing(self):
        made = picture_decoder.remade(images.plain("JPEG") + b"<script>alert(1)</script>PK\x03\x04")

        assert b"script" not in made
        assert images.looks(made, images.RED)


class TestRefused:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0",
            b"GIF89a" + bytes(100),
            images.saved(Image.new("P", (8, 8)), "GIF"),
            images.saved(Image.new("RGB", (8, 8)), "BMP"),
            images.saved(Image.new("RGB", (8, 8)), "TIFF"),
            b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
            b"%!PS-Adobe-3.0 EPSF-3.0",
            b"%PDF-1.7",
            b"RIFF\x24\0\0\0WAVEfmt ",
            b"<html>",
            b" " + images.plain("PNG"),
        ],
        ids=["nothing", "nul", "gif", "real gif", "bmp", "tiff", "svg", "eps", "pdf", "wave", "html", "late"],
    )
    def test_is_what_is_no_picture(self, data):
        assert refusal(data) == "not_a_picture"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
    def test_is_what_broke_off(self, kind, part):
        whole = images.noise(kind, (64, 64))
        output, _ = run(whole[: int(len(whole) * part)])

        assert output == b"broken_picture"

    @pytest.mark.parametrize(
        "data",
        [
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\0\0\0\0WEBP",
            b"RIFF\0\0\0\0WEBPVP8 ",
            images.png(16, 16, b"", depth=3),
            images.png(0, 16, b""),
            images.plain("PNG")[:40] + b"\0" * 60,
        ],
    )
    def test_is_what_only_begins_like_one(self, data):
        output, _ = run(data)

        assert output == b"broken_picture"

    @pytest.mark.parametrize(
        "data",
        [
            images.bomb(),
            images.png(16_385, 1, bytes(16_386)),
            images.png(4097, 4096, b""),
            images.png(2**31 - 1, 2**31 - 1, b""),
            images.webp_of(16_384, 16_384),
            images.plain("JPEG", (65_000, 300)),
        ],
        ids=["bomb", "long", "one too many", "most", "webp", "jpeg"],
    )
    def test_is_what_has_too_many_pixels_before_one_is_decoded(self, data):
        output, most_kib = run(data)

        assert output == b"too_many_pixels"
        assert most_kib < 40 * 1024

    def test_texts_that_unpack_to_much_do_no_harm(self):
        text = images.chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
        row = b"\0" + bytes(16)

        output, most_kib = run(images.png(16, 16, row * 16, more=[text] * 20))

        assert output.startswith(picture_decoder.OK) or output == b"broken_picture"
        assert most_kib < 150 * 1024


class TestProcess:
    def test_takes_bounded_memory_for_the_largest_that_it_takes(self):
        for kind, mode in (("PNG", "RGBA"), ("WEBP", "RGBA"), ("PNG", "P")):
            output, most_kib = run(images.plain(kind, (4096, 4096), 0, mode))

            assert output.startswith(picture_decoder.OK), (kind, output)
            assert most_kib < 330 * 1024, kind

    def test_knows_nothing_of_ours(self, monkeypatch):
        """By what a process with its command and environment sees."""
        monkeypatch.setenv("CURSOR_KEY", "a secret")
        look = (
            "import os, sys; print(dict(os.environ), [name for name in sys.modules if name.startswith('services')])"
        )
        seen = subprocess.run([*pictures.COMMAND[:2], "-c", look], capture_output=True, env={}, cwd="/", check=True)

        assert b"CURSOR_KEY" not in seen.stdout
        assert seen.stdout.strip().endswith(b"[]")
