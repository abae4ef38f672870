"""What the embedded system says while it works."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What an event means to somebody who waits."""

    STEP = "step"
    """Something begins that takes a while."""
    PROGRESS = "progress"
    """The step of this subject goes on; replaces its last line."""
    DONE = "done"
    """The step of this subject is finished."""
    WARNING = "warning"
    """Something went wrong and the system goes on."""
    READY = "ready"
    """The whole system is healthy; sent once."""
    FAILED = "failed"
    """The system gives up; sent once, last."""
    STOPPED = "stopped"
    """The system has stopped as it was asked to; sent once, last."""


@dataclass(frozen=True)
class Event:
    """One line of what the system is doing."""

    kind: Kind
    subject: str
    """A service, a model, `environment` or `system`."""
    message: str
    done: int = 0
    """Of `total`, where the step can be counted."""
    total: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As it is written to the supervisor's log."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Event":
        """The inverse of `to_dict`; unknown fields are ignored."""
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
        return cls(**{**known, "kind": Kind(known["kind"])})


Progress = Callable[[Event], None]
"""Receives every event; called on the supervisor's thread and must not block."""


def written(path: Path, progress: Progress) -> Progress:
    """A `Progress` that also appends every event to a file, as one line of JSON."""

    def write(event: Event) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": now, **event.to_dict()}) + "\n")
        progress(event)

    return write


def silent(event: Event) -> None:
    """A `Progress` that ignores everything."""
