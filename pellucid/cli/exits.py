"""What the command ends with: one place turns errors into words and exit codes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final

import typer
from rich.markup import escape

from pellucid.cli.consoles import stderr
from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    IndexUnavailable,
    InvalidArgument,
    MethodUnavailable,
    ModelBroken,
    ModelChanged,
    ModelNotReady,
    OutOfDistribution,
    PellucidError,
    QueueFull,
    QuotaExceeded,
    UnknownModel,
    family,
)


class Exit(IntEnum):
    """Exit codes; part of the command's interface."""

    OK = 0
    USAGE = 2
    INVALID = 3
    """The file or a parameter is invalid."""
    NOT_FOUND = 4
    """No such model, or it cannot do that method, or has no index of cases."""
    UNAVAILABLE = 5
    """The service does not answer or is full, or the system could not be started."""
    DEADLINE = 6
    INTERNAL = 7
    """The server failed."""
    INTERRUPTED = 130


_CODES: Final[tuple[tuple[type[PellucidError], Exit], ...]] = (
    (InvalidArgument, Exit.INVALID),
    (OutOfDistribution, Exit.INVALID),
    (UnknownModel, Exit.NOT_FOUND),
    (MethodUnavailable, Exit.NOT_FOUND),
    (IndexUnavailable, Exit.NOT_FOUND),
    (ModelNotReady, Exit.UNAVAILABLE),
    (ModelBroken, Exit.INTERNAL),
    (ModelChanged, Exit.UNAVAILABLE),
    (QueueFull, Exit.UNAVAILABLE),
    (QuotaExceeded, Exit.UNAVAILABLE),
    (BackendUnavailable, Exit.UNAVAILABLE),
    (DeadlineTooShort, Exit.DEADLINE),
)


def exit_code(kind: type[PellucidError]) -> Exit:
    """The exit code of an error of the family."""
    return next((code for known, code in _CODES if issubclass(kind, known)), Exit.INTERNAL)


def exit_code_of(reason: str) -> Exit:
    """The exit code of a method's failure, by its reason."""
    return exit_code(family().get(reason, PellucidError))


@contextmanager
def reported(*, as_json: bool = False, hint: str = "") -> Iterator[None]:
    """Turn errors of the block into words and an exit code.

    Args:
        as_json: also print the error to standard output as JSON.
        hint: what to do when no server answers.
    """
    from pellucid.client import ServerError  # gRPC takes a moment to load

    try:
        yield
    except PellucidError as error:
        code = exit_code(type(error))
        remedy = hint if isinstance(error, BackendUnavailable) and hint else error.remedy
        _print_error(error.message, remedy, error.field)
        _finish(code, as_json, _plain(error, remedy))
    except ServerError as error:
        _print_error(error.message, f"search for request {error.request_id} in the server's logs")
        fields = {"reason": error.code, "message": error.message, "request_id": error.request_id}
        _finish(Exit.INTERNAL, as_json, fields)
    except OSError as error:
        if error.filename is None:
            raise  # e.g. a closed pipe, which the command line framework knows
        message = f"{error.filename}: {error.strerror}"
        _print_error(message)
        _finish(Exit.INVALID, as_json, {"reason": "FILE", "message": message})
    except KeyboardInterrupt:
        _print_error("interrupted")
        raise typer.Exit(Exit.INTERRUPTED) from None


def fail(message: str, remedy: str = "", code: Exit = Exit.UNAVAILABLE) -> typer.Exit:
    """Print what went wrong; raise what it returns."""
    _print_error(message, remedy)
    return typer.Exit(code)


def _print_error(message: str, remedy: str = "", field: str = "") -> None:
    stderr.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    if field:
        stderr.print(f"  [dim]field:[/] {escape(field)}", soft_wrap=True)
    if remedy:
        stderr.print(f"  [dim]remedy:[/] {escape(remedy)}", soft_wrap=True)


def _plain(error: PellucidError, remedy: str) -> dict[str, Any]:
    return {
        "reason": error.reason,
        "message": error.message,
        "field": error.field,
        "remedy": remedy,
        "retry_after_s": error.retry_after_s,
        "metadata": error.metadata,
    }


def _finish(code: Exit, as_json: bool, fields: dict[str, Any]) -> None:
    if as_json:
        typer.echo(json.dumps({"error": fields | {"exit_code": int(code)}}, indent=2))
    raise typer.Exit(code) from None
