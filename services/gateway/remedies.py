"""What each code of a refusal means and what to do about it, for the pages that explain them."""

import tomllib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """
    Texts in Markdown, no more of it than `code`.

    :param status: of a code that is met over RPC only; None: routes name it
    """

    means: str
    do: str
    status: int | None = None


def load() -> dict[str, Remedy]:
    """By code."""
    text = (resources.files("services.gateway") / "remedies.toml").read_text()
    return {code: Remedy(**entry) for code, entry in tomllib.loads(text).items()}


REMEDIES = load()
