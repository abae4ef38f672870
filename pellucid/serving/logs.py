"""Logs as JSON lines on standard error: an event with fields, the ids of request and trace."""

import logging
import sys
from typing import Final

import structlog

from pellucid.serving import request_id, tracing

_OURS: Final = ("pellucid", "gateway", "preprocess_service", "explain_service", "__main__")


def _add_ids(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if current := request_id.current():
        event.setdefault("request_id", current)
    if trace_id := tracing.trace_id():
        event["trace_id"] = trace_id
    return event


def configure(service: str, level: str) -> None:
    """Log as JSON from here on: this project's events from `level`, the libraries' warnings."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_ids,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                lambda _, __, event: {"service": service, **event},
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries are heard when something is wrong: at lower levels some write what they compute on.
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    for package in _OURS:
        logging.getLogger(package).setLevel(level)


def warnings_alone() -> None:
    """Log in words from here on, warnings and worse, to standard error: for a command."""
    structlog.configure(
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
