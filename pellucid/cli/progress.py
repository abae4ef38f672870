"""Progress bars of an explanation, on standard error."""

from collections.abc import Iterable, Iterator

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
from pellucid.client.results import Event, Explained, Explanation
from pellucid.client.results import Progress as Step


def followed(events: Iterable[Event]) -> Iterator[Event]:
    """The same events, while bars show how far each method is."""
    with bars() as shown:
        waiting = shown.add_task("reading and classifying", total=None)
        tasks: dict[str, TaskID] = {}
        for event in events:
            match event:
                case Explained():
                    label = event.prediction.top_label
                    shown.update(waiting, description=f"classified: {label}", total=1, completed=1)
                case Step():
                    if event.method not in tasks:
                        tasks[event.method] = shown.add_task(event.method, total=None)
                    shown.update(
                        tasks[event.method],
                        completed=event.calls_done,
                        total=event.calls_total or None,
                    )
                case Explanation() if event.method in tasks:
                    _finish(shown, tasks[event.method])
                case _:
                    pass
            yield event


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


def _finish(shown: Progress, task: TaskID) -> None:
    total = next(one.total for one in shown.tasks if one.id == task) or 1
    shown.update(task, completed=total, total=total)
