"""Methods that failed, while the others of a request go on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from explain_service import metrics
from explain_service.events import Emit, MethodFailed
from explain_service.request import MethodCall
from explain_service.run_control import Cancelled
from pellucid.errors import DeadlineTooShort, PellucidError
from pellucid.status import BUG, is_retriable

log = structlog.get_logger(__name__)


class MethodFailures:
    """Emits each failure at once, and raises in the end."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._errors: list[tuple[str, Exception]] = []

    @contextmanager
    def of(self, call: MethodCall) -> Iterator[None]:
        """An error in this context, but for a cancellation, is the failure of a method alone."""
        try:
            yield
        except Cancelled:
            raise
        except Exception as error:
            self.add(call, error)

    def add(self, call: MethodCall, error: Exception) -> None:
        """Count a method as failed."""
        name = call.method.name
        self._errors.append((name, error))
        if isinstance(error, PellucidError):
            facts = (error.reason, error.message, error.remedy, is_retriable(error))
        else:
            log.error("method failed", method=name, exc_info=error)
            facts = (BUG, "the method failed", "report it", False)
        metrics.FAILED.labels(name, facts[0]).inc()
        self._emit(MethodFailed(name, *facts))

    def raise_for_all(self) -> None:
        """Raise the first failure that is not of time, or else for the time that was up."""
        if not self._errors:
            return
        names = [name for name, _ in self._errors]
        for _, error in self._errors:
            if not isinstance(error, DeadlineTooShort):
                if isinstance(error, PellucidError):
                    error.metadata["methods"] = ", ".join(names)
                raise error
        raise no_time_for(names)


def no_time_for(methods: Sequence[str]) -> DeadlineTooShort:
    """What to raise where methods lack maps because the time was up."""
    names = ", ".join(methods)
    return DeadlineTooShort(
        f"the time was up before all maps were made of {names}",
        remedy="allow more time, or ask for fewer methods or samples",
        methods=names,
    )
