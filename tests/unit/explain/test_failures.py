"""Methods that failed, while the others of a request go on."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from explain_service.events import Event, MethodFailed
from explain_service.failures import MethodFailures, no_time_for
from explain_service.request import MethodCall
from explain_service.run_control import Cancelled
from pellucid.errors import BackendUnavailable, DeadlineTooShort
from tests.support.toy_methods import ScriptedMethod, maps_of


def call(name: str) -> MethodCall:
    parameters: Any = None
    return MethodCall(ScriptedMethod(name, maps_of(1.0)), parameters, f"methods.{name}")


def failed(*errors: Exception) -> tuple[list[Event], MethodFailures]:
    """One method failed by each error."""
    told: list[Event] = []
    failures = MethodFailures(told.append)
    for number, error in enumerate(errors):
        with failures.of(call(f"method{number}")):
            raise error
    return told, failures


def test_without_a_failure_there_is_nothing_to_raise() -> None:
    told, failures = failed()
    with failures.of(call("method")):
        pass
    failures.raise_for_all()
    assert not told


def test_a_failure_is_told_at_once_with_what_to_do_about_it() -> None:
    told, _ = failed(BackendUnavailable("Triton does not answer", remedy="try again"))
    assert told == [
        MethodFailed("method0", "BACKEND_UNAVAILABLE", "Triton does not answer", "try again", True)
    ]


def test_nothing_internal_is_told_of_a_bug() -> None:
    told, failures = failed(ValueError("the password is swordfish"))
    assert "swordfish" not in str(told)
    assert isinstance(told[0], MethodFailed)
    assert (told[0].reason, told[0].retriable) == ("INTERNAL", False)
    with pytest.raises(ValueError, match="swordfish"):
        failures.raise_for_all()


def test_the_first_failure_that_is_not_of_time_is_raised_and_names_all() -> None:
    away = BackendUnavailable("Triton does not answer")
    _, failures = failed(no_time_for(["method0"]), away, ValueError("later"))
    with pytest.raises(BackendUnavailable) as caught:
        failures.raise_for_all()
    assert caught.value is away
    assert caught.value.metadata["methods"] == "method0, method1, method2"


def test_where_only_the_time_was_up_all_that_lack_maps_are_named() -> None:
    _, failures = failed(no_time_for(["method0"]), no_time_for(["method1"]))
    with pytest.raises(DeadlineTooShort) as caught:
        failures.raise_for_all()
    assert caught.value.metadata["methods"] == "method0, method1"


def test_a_cancellation_is_no_failure() -> None:
    with pytest.raises(Cancelled):
        failed(Cancelled())


def test_failures_are_counted_by_method_and_reason() -> None:
    labels = {"method": "method0", "reason": "BACKEND_UNAVAILABLE"}
    name = "pellucid_explain_failed_total"
    before = REGISTRY.get_sample_value(name, labels) or 0
    failed(BackendUnavailable("Triton does not answer"))
    assert REGISTRY.get_sample_value(name, labels) == before + 1
