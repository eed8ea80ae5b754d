"""
A process of its own that turns a stranger's picture into one of ours, and can do little else: the only place that
uses Pillow.

It is run by its path, and imports nothing of ours. On standard input it gets the picture; on standard output it says
`ok` and a line's end and gives a WebP, or says the code of a refusal. Its memory, its time and what it may write are
bounded before the first byte is looked at, and nothing can be opened or started any more; how many pixels there are
is looked at before one is decoded.
"""

from __future__ import annotations

import io
import os
import resource
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SIDE = 512  # of what comes out, in pixels, at most
MOST_PIXELS = 4096 * 4096
LONGEST_SIDE = 16_384
MOST_BYTES = 5 * 1024**2  # of what comes in
MOST_BYTES_MADE = 262_144

MEMORY_BYTES = 384 * 1024**2  # the largest pictures that are taken need 300
CPU_SECONDS = 5
QUALITIES = (82, 60, 30)  # the next where a picture would be too large: one of noise
OK = b"ok\n"

_BEGINNINGS = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "WEBP": b"RIFF"}
_ORIENTATION = 0x0112


class Refused(Exception):
    """Why there is no picture. Its text is the code."""


def remade(data: bytes) -> bytes:
    """
    A WebP of the first frame, upright, within 512 by 512 pixels, and with nothing in it but pixels.

    :raises Refused: `not_a_picture`, `broken_picture`, `too_many_pixels`, `picture_too_costly`
    """
    kind = _kind(data)
    if kind == "WEBP":
        _check_size(*_size_of_webp(data))  # by being opened it would already take what its canvas needs
    return _encoded(_small(_opened(data, kind)))


def _kind(data: bytes) -> str:
    """By what is in it; the name and the announced type of a file say nothing."""
    for kind, beginning in _BEGINNINGS.items():
        if data.startswith(beginning) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    raise Refused("not_a_picture")


def _size_of_webp(data: bytes) -> tuple[int, int]:
    """Width and height, from the first chunk (RFC 9649)."""
    match data[12:16]:
        case b"VP8X":
            return 1 + _little(data[24:27]), 1 + _little(data[27:30])
        case b"VP8L":
            both = _little(data[21:25])
            return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
        case b"VP8 ":
            return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    raise Refused("broken_picture")


def _little(four: bytes) -> int:
    return int.from_bytes(four, "little")


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise Refused("too_many_pixels")


def _opened(data: bytes, kind: str) -> Image.Image:
    """Its head is read, and none of its pixels. Of a phone's JPEG with several pictures it is the first."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our own bound is lower, and says which it is
    image = Image.open(io.BytesIO(data), formats=[kind])
    _check_size(*image.size)
    return image


def _small(image: Image.Image) -> Image.Image:
    from PIL import Image

    turn = _turn(image)
    image.draft(None, (2 * SIDE, 2 * SIDE))  # of a large JPEG a half, a quarter or an eighth is decoded
    image.load()
    image = _in_colour(image)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes it upright, by its EXIF; one that cannot be read says nothing."""
    from PIL import Image

    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  # whatever a stranger's bytes do to a parser
        return None
    return {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)


def _in_colour(image: Image.Image) -> Image.Image:
    """With eight bits for each of red, green and blue, and of what shines through where there is any."""
    if image.mode.startswith("I"):  # a PNG's grey with 16 bits, which a conversion would cut off at 255
        image = image.convert("I").point(lambda grey: grey / 256).convert("L")
    wanted = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _encoded(image: Image.Image) -> bytes:
    """Onto a fresh canvas: a picture takes comments, EXIF and profiles along wherever it is saved."""
    from PIL import Image

    clean = Image.new(image.mode, image.size)
    clean.paste(image)
    for quality in QUALITIES:
        made = io.BytesIO()
        clean.save(made, "WEBP", quality=quality, alpha_quality=quality)
        if made.tell() <= MOST_BYTES_MADE:
            return made.getvalue()
    raise Refused("picture_too_costly")


def _bound() -> None:
    """What this process may use from now on: whatever happens in it happens to itself."""
    os.nice(10)  # those who wait for other answers come first
    _limit(
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )


def _shut() -> None:
    """
    Open no file, no socket and no process from now on: a hole in the decoder finds nothing to look into.

    So all of Pillow that is needed must be there: it would import a plugin when it first meets its format.
    """
    from PIL import Image, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    Image.preinit()
    _limit((resource.RLIMIT_NOFILE, 0), (resource.RLIMIT_NPROC, 0))


def _limit(*bounds: tuple[int, int]) -> None:
    for what, most in bounds:
        resource.setrlimit(what, (most, most))


def main() -> None:
    _bound()
    _shut()
    warnings.simplefilter("ignore")
    try:
        answer = OK + remade(sys.stdin.buffer.read(MOST_BYTES + 1))
    except Refused as refused:
        answer = str(refused).encode()
    except MemoryError:
        answer = b"picture_too_costly"
    except Exception:  # noqa: BLE001  # Pillow raises a dozen kinds at what is damaged
        answer = b"broken_picture"
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
