"""What the embedded system is doing, line by line, on standard error."""

from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from typing_extensions import Self

from pellucid.cli.consoles import stderr

if TYPE_CHECKING:
    from pellucid.lifecycle import LifecycleEvent

_FIRST_S: Final = 2.0
"""Seconds to the first line of a step where there is no terminal; each next wait is doubled."""
_MARKS: Final = {
    "step": "[dim]\N{BULLET}[/]",
    "done": "[green]\N{CHECK MARK}[/]",
    "warning": "[yellow]![/]",
    "ready": "[bold green]\N{CHECK MARK}[/]",
    "failed": "[red]\N{BALLOT X}[/]",
    "stopped": "[dim]\N{CHECK MARK}[/]",
}


class SystemProgress:
    """Shows events: lines for what begins and ends, one bar for each step between.

    A context manager; inside it, an instance is what the embedded system calls with its events.
    """

    def __init__(self) -> None:
        """Show nothing yet."""
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=stderr,
            transient=True,
            disable=not stderr.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._next: dict[str, float] = {}
        self._begun: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bars away; the lines stay."""
        self.pause()

    def pause(self) -> None:
        """Take the bars away for good; lines go on, and leave room for other bars."""
        self._bars.stop()

    def __call__(self, event: "LifecycleEvent") -> None:
        """Show one event."""
        if event.kind == "progress":
            self._step(event)
            return
        if event.kind == "step":
            self._begin(event)
        else:
            self._end(event.subject)
        mark = _MARKS.get(event.kind.value, "")
        self._line(f"{mark} [bold]{escape(event.subject)}[/] {escape(event.message)}")

    def _begin(self, event: "LifecycleEvent") -> None:
        self._end(event.subject)
        description = f"{escape(event.subject)}: {escape(event.message)}"
        self._tasks[event.subject] = self._bars.add_task(description, total=None)
        self._begun[event.subject] = monotonic()
        self._next[event.subject] = _FIRST_S

    def _step(self, event: "LifecycleEvent") -> None:
        if event.subject not in self._tasks:
            self._begin(event)
        description = f"{escape(event.subject)}: {escape(event.message)}"
        self._bars.update(
            self._tasks[event.subject],
            description=description,
            completed=event.done,
            total=event.total or None,
        )
        passed = monotonic() - self._begun[event.subject]
        if stderr.is_terminal or passed < self._next[event.subject]:
            return
        self._next[event.subject] = 2 * passed
        counted = f" ({event.done} of {event.total})" if event.total else ""
        self._line(f"  {description}{counted}")

    def _end(self, subject: str) -> None:
        if (task := self._tasks.pop(subject, None)) is not None:
            self._bars.remove_task(task)

    def _line(self, text: str) -> None:
        self._bars.console.print(text, soft_wrap=True)
