"""
The mail sandbox: an SMTP server that takes every mail and keeps it as a JSON file in a folder.

Run as `python -m sandbox.mail --port PORT --folder FOLDER [--host HOST]`. `chatness mail` reads the folder.
"""

import argparse
import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

MAX_BYTES = 2_000_000


class Folder:
    """aiosmtpd's handler: one file per mail, numbered, complete as soon as it can be seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.count = max((int(path.stem) for path in folder.glob("*.json")), default=0)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.count += 1
        path = self.folder / f"{self.count:06}.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(_readable(envelope)))
        draft.replace(path)
        return f"250 kept as {path.name}"


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """The mails in the order of their arrival: from, to, subject, text, html, received_at, message_id."""
    for path in sorted(folder.glob("*.json")):
        yield json.loads(path.read_text())


def _readable(envelope: Envelope) -> dict[str, Any]:
    raw = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
    message = message_from_bytes(raw, policy=policy.default)
    body, page = message.get_body(("plain", "html")), message.get_body(("html",))
    return {
        "from": envelope.mail_from,
        "to": ", ".join(envelope.rcpt_tos),
        "subject": str(message["Subject"] or ""),
        "text": body.get_content() if body is not None else "",
        "html": page.get_content() if page is not None else "",
        "auto_submitted": str(message["Auto-Submitted"] or ""),
        "message_id": str(message["Message-ID"] or ""),
        "received_at": datetime.now(UTC).isoformat(),
    }


async def _run(host: str, port: int, folder: Path) -> None:
    handler = Folder(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, hostname="sandbox"), host, port
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with server:
        await stopping.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(chosen.host, chosen.port, chosen.folder))


if __name__ == "__main__":
    main()
