"""Progress bars of an explanation, on standard error."""

from collections.abc import Iterable

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pellucid.cli.consoles import stderr
from pellucid.client import (
    ExplainedInput,
    ExplainEvent,
    Explanation,
    MethodFailure,
    MethodProgress,
    ResultBuilder,
    ServerError,
)
from pellucid.errors import PellucidError


class ExplainProgress:
    """Takes the events of an explanation in while bars show how far each method is."""

    def __init__(self, events: Iterable[ExplainEvent]) -> None:
        """Take everything in.

        Raises:
            PellucidError, ServerError, KeyboardInterrupt: no map came before it.
        """
        self.gathered = ResultBuilder()
        """What came."""
        self.error: BaseException | None = None
        """What ended it early, after at least one map."""
        self._tasks: dict[str, TaskID] = {}
        with bars() as self._bars:
            self._reading = self._bars.add_task("reading and classifying", total=None)
            try:
                for event in events:
                    self.gathered.add(event)
                    self._show(event)
            except (PellucidError, ServerError, KeyboardInterrupt) as error:
                if not self.gathered.has_maps:
                    raise
                self.error = error

    @property
    def ended_early(self) -> str:
        """Why it ended early, in words; empty where everything came."""
        if self.error is None:
            return ""
        return "interrupted" if isinstance(self.error, KeyboardInterrupt) else str(self.error)

    def _show(self, event: ExplainEvent) -> None:
        match event:
            case ExplainedInput():
                name = f"classified: {event.prediction.top_label}"
                if event.queue_position:
                    name += f"; {event.queue_position} explanations come first"
                self._bars.update(self._reading, description=name, total=1, completed=1)
            case MethodProgress():
                self._step(event)
            case Explanation():
                self._finish(event.method, f"done in {event.receipt.seconds:.1f} s")
            case MethodFailure():
                self._finish(event.method, f"failed: {event.message}")
            case _:
                pass

    def _step(self, step: MethodProgress) -> None:
        if step.method not in self._tasks:
            self._tasks[step.method] = self._bars.add_task(step.method, total=None)
            if not stderr.is_terminal:
                stderr.print(f"  {step.method}: {step.calls_total} calls")
        task, total = self._tasks[step.method], step.calls_total or None
        self._bars.update(task, completed=step.calls_done, total=total)

    def _finish(self, method: str, how: str) -> None:
        if method in self._tasks:
            task = self._tasks[method]
            total = next(one.total for one in self._bars.tasks if one.id == task) or 1
            self._bars.update(task, completed=total, total=total)
        if not stderr.is_terminal:
            stderr.print(f"  {method}: {escape(how)}")


def bars() -> Progress:
    """Bars on standard error, gone when it is no terminal."""
    return Progress(
        SpinnerColumn(finished_text="[green]\N{CHECK MARK}[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
    )
