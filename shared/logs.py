"""
One JSON line per event of interest, with the request's correlation id. Ids only: never a payload, a name or a token.
"""

import logging
import re
import sys
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
            structlog.processors.format_exc_info,
            _leave_out_details,
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


# PostgreSQL's words on what was wrong with a row hold the row's values, over as many lines as those have.
_DETAIL = re.compile(
    r"^DETAIL: .*?(?=^(?:HINT|CONTEXT|QUERY|STATEMENT): |^\n|^\[SQL|^\(Background|\Z)", re.DOTALL | re.MULTILINE
)


def _leave_out_details(_logger: Any, _method: str, line: Any) -> Any:
    if "exception" in line:
        line["exception"] = _DETAIL.sub("DETAIL: left out\n", line["exception"])
    return line


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
