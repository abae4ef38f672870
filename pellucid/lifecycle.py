"""Lifecycle events: what is built, loaded, started and stopped, as it happens."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What an event means to whoever follows the system."""

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
    """The system has stopped as requested; sent once, last."""


@dataclass(frozen=True)
class LifecycleEvent:
    """One line of what the system is doing."""

    kind: Kind
    subject: str
    """A service, a model, `models`, `environment` or `system`."""
    message: str
    done: int = 0
    """Of `total`, where the step can be counted."""
    total: int = 0

    def to_json(self) -> str:
        """One line, with the time."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return json.dumps({"at": now, **asdict(self)})

    @classmethod
    def from_json(cls, line: str | bytes) -> "LifecycleEvent":
        """The inverse of `to_json`; unknown fields are ignored.

        Raises:
            ValueError: the line is no event.
        """
        fields = json.loads(line)
        try:
            known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
            return cls(**{**known, "kind": Kind(known["kind"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"no lifecycle event: {line!r}") from error


Listener = Callable[[LifecycleEvent], None]
"""Receives every event; called on the event loop's thread and must not block."""


def logged(path: Path, listener: Listener) -> Listener:
    """A `Listener` that also appends every event to a file, one JSON object a line."""

    def write(event: LifecycleEvent) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(event.to_json() + "\n")
        listener(event)

    return write


def ignore(event: LifecycleEvent) -> None:
    """A `Listener` that does nothing."""
