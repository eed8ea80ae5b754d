"""Pictures for the tests, usual ones and hostile ones, each made here."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image, PngImagePlugin

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 30), (30, 30, 200)
MARK = "canary of a picture"
GPS = 0x8825


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def plain(kind: str = "PNG", size: tuple[int, int] = (40, 20), colour: Any = RED, mode: str = "RGB") -> bytes:
    return saved(Image.new(mode, size, colour), kind)


def noise(kind: str = "PNG", size: tuple[int, int] = (700, 700), mode: str = "RGB") -> bytes:
    """Of which nothing can be left out: as large as a file can become."""
    state, bands = 12345, len(Image.new(mode, (1, 1)).getbands())
    parts = []
    for _ in range(size[0] * size[1] * bands // 4 + 1):
        state = (1103515245 * state + 12345) % 2**32
        parts.append(struct.pack("<I", state ^ state >> 16))
    return saved(Image.frombytes(mode, size, b"".join(parts)[: size[0] * size[1] * bands]), kind)


def corners(orientation: int) -> bytes:
    """A JPEG as a camera on its side makes it: upright it has red on the left and blue on the right."""
    image = Image.new("RGB", (64, 32), RED)
    image.paste(BLUE, (32, 0, 64, 32))
    back = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    for turn in back[orientation]:
        image = image.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, "JPEG", quality=95, exif=exif)


def with_everything_said(kind: str) -> bytes:
    """With a place, a camera, a comment and a colour profile in it, each with the mark."""
    exif = Image.Exif()
    exif[0x010F] = MARK
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 31.0, 0.0), 29: MARK})
    options: dict[str, Any] = {"exif": exif, "icc_profile": MARK.encode(), "xmp": MARK.encode()}
    if kind == "PNG":
        said = PngImagePlugin.PngInfo()
        said.add_text("Comment", MARK)
        said.add_text("Zipped", MARK, zip=True)
        options = {"exif": exif, "icc_profile": MARK.encode(), "pnginfo": said}
    if kind == "JPEG":
        options["comment"] = MARK.encode()
    return saved(Image.new("RGB", (64, 64), GREEN), kind, **options)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 0, more: Sequence[bytes] = ()
) -> bytes:
    """A PNG that says this of itself, whatever `rows` hold."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb(side: int = 20_000) -> bytes:
    """48 kB that would be 400 million pixels."""
    return png(side, side, bytes((side + 1) * side // 8))


def webp_of(width: int, height: int) -> bytes:
    """A lossless WebP that says it is so large, and has nothing in it."""
    size = struct.pack("<I", (width - 1) | (height - 1) << 14)
    body = b"WEBPVP8L" + struct.pack("<I", 5 + 13) + b"\x2f" + size + bytes(13)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, GREEN, BLUE)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def looks(data: bytes, colour: tuple[int, ...], at: tuple[int, int] = (2, 2), *, within: int = 24) -> bool:
    """Whether the picture has about this colour there."""
    there = opened(data).convert("RGBA").getpixel(at)
    assert isinstance(there, tuple)
    return all(abs(is_ - wanted) <= within for is_, wanted in zip(there, colour, strict=False))
