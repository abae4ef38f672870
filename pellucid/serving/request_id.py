"""The id that follows a request through all services, into Triton and every log line."""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final
from uuid import uuid4

from pellucid.metadata import REQUEST_ID

_VALID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """Id of the request that is being answered; empty outside one."""
    return _current.get()


def adopt(metadata: Iterable[tuple[str, Any]] | None) -> str:
    """Take the caller's id, or a new one where it gave none or an unusable one."""
    given = next((str(value) for key, value in metadata or () if key == REQUEST_ID), "")
    request_id = given if _VALID.fullmatch(given) else uuid4().hex
    _current.set(request_id)
    return request_id


def outgoing() -> tuple[tuple[str, str], ...]:
    """Metadata for a call to the next service."""
    return ((REQUEST_ID, current()),) if current() else ()
