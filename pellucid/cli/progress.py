"""Progress bars of an explanation, on standard error."""

from collections.abc import Iterable

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

from pellucid.cli.exits import errors
from pellucid.client.failures import ServerError
from pellucid.client.results import Event, Explained, Explanation, Partial
from pellucid.client.results import Progress as Step
from pellucid.errors import PellucidError


class Gathered:
    """The events of an explanation, taken in while bars show how far each method is."""

    def __init__(self, events: Iterable[Event]) -> None:
        """Take everything in.

        Raises:
            PellucidError, ServerError, KeyboardInterrupt: nothing worth keeping came before it.
        """
        self.events: list[Event] = []
        """All but progress and partial maps."""
        self.failure: BaseException | None = None
        """What ended it early, after at least one map."""
        self._tasks: dict[str, TaskID] = {}
        with bars() as self._bars:
            self._waiting = self._bars.add_task("reading and classifying", total=None)
            try:
                for event in events:
                    self._take(event)
            except (PellucidError, ServerError, KeyboardInterrupt) as error:
                if not any(isinstance(event, Explanation) for event in self.events):
                    raise
                self.failure = error

    def _take(self, event: Event) -> None:
        match event:
            case Step():
                self._step(event)
                return
            case Partial():
                return
            case Explained():
                label = event.prediction.top_label
                name = f"classified: {label}"
                self._bars.update(self._waiting, description=name, total=1, completed=1)
            case Explanation():
                self._finish(event)
            case _:
                pass
        self.events.append(event)

    def _step(self, step: Step) -> None:
        if step.method not in self._tasks:
            self._tasks[step.method] = self._bars.add_task(step.method, total=None)
            if not errors.is_terminal:
                errors.print(f"  {step.method}: {step.calls_total} calls")
        task, total = self._tasks[step.method], step.calls_total or None
        self._bars.update(task, completed=step.calls_done, total=total)

    def _finish(self, explanation: Explanation) -> None:
        if explanation.method in self._tasks:
            task = self._tasks[explanation.method]
            total = next(one.total for one in self._bars.tasks if one.id == task) or 1
            self._bars.update(task, completed=total, total=total)
        if not errors.is_terminal:
            seconds = explanation.receipt.seconds
            errors.print(f"  {explanation.method}: done in {seconds:.1f} s")


def bars() -> Progress:
    """Bars on standard error, gone when it is no terminal."""
    return Progress(
        SpinnerColumn(finished_text="[green]\N{CHECK MARK}[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
        disable=not errors.is_terminal,
    )
