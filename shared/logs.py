"""
One JSON line per event of interest, with the request's correlation id. Ids only: never a payload, a name or a token.
"""

import logging
import sys
import traceback
from typing import Any

import structlog

from shared import context


def configure(process: str, *, level: str = "INFO", as_text: bool = False) -> None:
    """Send structlog's and the libraries' lines to stderr: as JSON marked with the process's name, or as text."""
    stages: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request,
    ]
    structlog.configure(
        processors=[*stages, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    rendered: list[Any] = [_as_text()] if as_text else [_mark(process), structlog.processors.JSONRenderer()]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=stages,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_failure),
            *rendered,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for noisy in ("amqp", "kombu", "pika", "nameko", "urllib3", "stripe"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    bound: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return bound


def _failure(exc_info: Any) -> str:
    """A traceback with code and no values: PostgreSQL quotes the row, and the statement, that it does not like."""
    error = exc_info[1]
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    story = f"{_failure((type(before), before, None))}\n\nAnd because of that, or meanwhile:\n\n" if before else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{story}Traceback (most recent call last):\n{frames}{type(error).__qualname__}: {_words(error)}"


def _words(error: BaseException) -> str:
    """What it says, but of an error that PostgreSQL has answered with only where it lies."""
    answered: Any = getattr(error, "orig", None) or error
    sqlstate = getattr(answered, "pgcode", None)
    if sqlstate is None:
        return str(error)
    places = {name: getattr(answered.diag, f"{name}_name", None) for name in ("table", "column", "constraint")}
    return ", ".join([f"SQLSTATE {sqlstate}", *(f"{name} {place}" for name, place in places.items() if place)])


def _as_text() -> Any:
    """With plain tracebacks: structlog's own show the values of all variables, and so whatever was being handled."""
    return structlog.dev.ConsoleRenderer(
        colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )


def _mark(process: str) -> Any:
    def stage(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
        return {"process": process, **line}

    return stage


def _add_request(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    now = context.current()
    if now.correlation_id:
        line["correlation_id"] = now.correlation_id
    if now.actor.org_id:
        line["org_id"] = now.actor.org_id
    return line
