"""Many clients who ask at the same moment, each on a connection of its own."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Post:
    """A POST request."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


def ask_at_once(posts: Sequence[Post]) -> list[Answer]:
    """All connections first, then all requests, then all answers, in the order of the requests."""
    return asyncio.run(_ask_all(posts))


def ask_until_answered(posts: Sequence[Post], *, rounds: int = 20) -> list[Answer]:
    """As their programs do: who is told 503, because the machine has other things to do, asks again with its id."""
    answers = ask_at_once(posts)
    for _ in range(rounds):
        away = [index for index, answer in enumerate(answers) if answer.status == 503]
        if not away:
            break
        for index, answer in zip(away, ask_at_once([posts[index] for index in away]), strict=True):
            answers[index] = answer
    return answers


async def _ask_all(posts: Sequence[Post]) -> list[Answer]:
    connections = await asyncio.gather(*(_connect(post.url) for post in posts))
    return await asyncio.gather(
        *(_ask(*connection, post) for connection, post in zip(connections, posts, strict=True))
    )


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    place = urlsplit(url)
    return await asyncio.open_connection(place.hostname, place.port)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, post: Post) -> Answer:
    place = urlsplit(post.url)
    headers = {
        "Host": place.netloc,
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(post.body)),
        **post.headers,
    }
    lines = [f"POST {place.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode() + post.body)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return Answer(int(head.split()[1]), json.loads(body))
