"""What a request of several methods gives: in full, in too little time, and where some fail."""

import threading
from typing import Any

import grpc
import numpy as np
import pytest

from explain_service import metrics
from explain_service.events import (
    Event,
    MapsCompared,
    MethodFailed,
    MethodProgress,
    TargetsResolved,
)
from explain_service.methods import METHODS, MethodRegistry
from explain_service.methods.gradient_method import GradientMethod
from explain_service.run_control import Cancellation, Cancelled
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    MethodUnavailable,
    ModelChanged,
)
from tests.support.explain_inputs import caller
from tests.support.explain_runs import Runs, failures, maps, names
from tests.support.fake_triton import FakeTriton
from tests.support.toy_methods import Act, ScriptedMethod, failing, maps_of
from tests.unit.explain.conftest import Calls

EVERY = [method.name for method in METHODS]
GRADIENTS = {method.name for method in METHODS if isinstance(method, GradientMethod)}
LIME = pb.Method(lime=pb.Lime())
KERNEL_SHAP = pb.Method(kernel_shap=pb.KernelShap())
OCCLUSION = pb.Method(occlusion=pb.Occlusion())


@pytest.fixture
def runs(make_calls: Calls) -> Runs:
    return Runs(make_calls())


def run_scripted(runs: Runs, told: list[Event], act: Act, *after: pb.Method) -> None:
    """Explain by LIME, by what a test says, and by what comes after."""
    scripted = ScriptedMethod("scripted", act)
    registry = MethodRegistry((*METHODS, scripted))
    runs.run(told, runs.check(LIME, scripted.asked, *after, registry=registry))


def test_targets_come_first_then_each_methods_progress_and_maps_and_last_the_comparison(
    runs: Runs,
) -> None:
    told: list[Event] = []
    runs.run(told, runs.check())
    assert isinstance(told[0], TargetsResolved)
    assert isinstance(told[-1], MapsCompared)
    assert names(maps(told)) == EVERY
    assert len(maps(told)) == 2 * len(EVERY)
    for name in EVERY:
        own = [e for e in told if isinstance(e, MethodProgress) and e.method == name]
        assert own[0].calls_done == 0
        assert own[-1].calls_done == own[-1].calls_total > 0


def test_how_alike_the_maps_are_is_counted(runs: Runs) -> None:
    def count() -> float:
        samples = [
            sample
            for family in metrics.AGREEMENT.collect()
            for sample in family.samples
            if sample.name.endswith("_count")
        ]
        return sum(sample.value for sample in samples)

    before = count()
    told: list[Event] = []
    runs.run(told, runs.check())
    compared = told[-1]
    assert isinstance(compared, MapsCompared)
    known = [pair for pair in compared.agreements if pair.rank_correlation is not None]
    assert count() - before == len(known) > 0


def test_every_method_gives_what_it_has_before_the_deadline(triton: FakeTriton, runs: Runs) -> None:
    told: list[Event] = []
    triton.seconds, who = 0.4, caller(seconds=8)
    runs.run(told, runs.check(), who)
    assert who.deadline.left() > 0
    assert names(maps(told)) == EVERY
    cut = set(names([one for one in maps(told) if one.truncated]))
    assert {"lime", "kernel_shap"} <= cut
    assert cut.isdisjoint(GRADIENTS)
    assert isinstance(told[-1], MapsCompared)


def test_methods_without_time_are_named_after_the_maps_of_the_others(
    triton: FakeTriton, runs: Runs
) -> None:
    told: list[Event] = []
    triton.seconds, who = 1.5, caller(seconds=3)
    with pytest.raises(DeadlineTooShort) as caught:
        runs.run(told, runs.check(), who)
    assert who.deadline.left() > 0
    found = maps(told)
    assert all(one.truncated for one in found if one.call.method.name == "lime")
    without = [name for name in EVERY if name not in names(found)]
    assert caught.value.metadata["methods"].split(", ") == without
    assert [failure.method for failure in failures(told)] == without


def test_receipts_name_the_arithmetic_of_what_was_asked(triton: FakeTriton, runs: Runs) -> None:
    told: list[Event] = []
    triton.precision = "bfloat16"
    runs.run(told, runs.check())
    arithmetic = {one.call.method.name: one.facts.precision for one in maps(told)}
    assert arithmetic == {name: "float32" if name in GRADIENTS else "bfloat16" for name in EVERY}


@pytest.mark.parametrize("method", [LIME, KERNEL_SHAP, OCCLUSION], ids=lambda m: str(m)[:8])
def test_a_map_of_a_method_that_still_runs_was_not_cut_by_the_deadline(
    make_calls: Calls, method: pb.Method
) -> None:
    told: list[Event] = []
    runs = Runs(make_calls(), partial_every_s=0)
    runs.run(told, runs.check(method))
    assert maps(told, partial=True)
    assert not any(one.truncated for one in maps(told, partial=True))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(runs: Runs, value: float) -> None:
    told: list[Event] = []
    with pytest.raises(MethodUnavailable) as caught:
        run_scripted(runs, told, maps_of(value))
    assert caught.value.field == "methods[1].extension"
    assert caught.value.remedy
    assert names(maps(told)) == ["lime"]


def test_maps_of_the_first_targets_are_told_and_their_method_is_named(runs: Runs) -> None:
    told: list[Event] = []
    with pytest.raises(DeadlineTooShort) as caught:
        run_scripted(runs, told, maps_of(1.0, count=1))
    assert caught.value.metadata["methods"] == "scripted"
    shown = [(one.call.method.name, one.target.index) for one in maps(told)]
    assert shown == [("lime", 0), ("lime", 1), ("scripted", 0)]
    assert isinstance(told[-1], MapsCompared)
    assert [pair.label for pair in told[-1].agreements] == ["a"]


@pytest.mark.parametrize(
    ("error", "reason", "is_retriable"),
    [
        (BackendUnavailable("Triton does not answer"), "BACKEND_UNAVAILABLE", True),
        (MethodUnavailable("no copy"), "METHOD_UNAVAILABLE", False),
        (ZeroDivisionError("a bug"), "INTERNAL", False),
        (MemoryError(), "INTERNAL", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_method_that_fails_does_not_take_the_others_along(
    runs: Runs, error: Exception, reason: str, is_retriable: bool
) -> None:
    told: list[Event] = []
    with pytest.raises(type(error)) as caught:
        run_scripted(runs, told, failing(error), OCCLUSION)
    assert caught.value is error
    assert names(maps(told)) == ["lime", "occlusion"]
    (failure,) = failures(told)
    assert (failure.method, failure.reason) == ("scripted", reason)
    assert failure.retriable is is_retriable
    assert "a bug" not in failure.message
    assert told.index(failure) < told.index(maps(told)[-1])
    assert isinstance(told[-1], MapsCompared)


def test_a_triton_that_is_gone_during_one_method_answers_the_next(
    triton: FakeTriton, runs: Runs
) -> None:
    told: list[Event] = []
    unavailable = grpc.StatusCode.UNAVAILABLE
    triton.fails = lambda number, masks: unavailable if masks.shape[1] == 64 else None
    with pytest.raises(BackendUnavailable) as caught:
        runs.run(told, runs.check(LIME, KERNEL_SHAP, OCCLUSION))
    assert caught.value.metadata["methods"] == "lime, kernel_shap"
    assert [failure.retriable for failure in failures(told)] == [True, True]
    assert names(maps(told)) == ["occlusion"]


@pytest.mark.parametrize("change", [{"version": "2"}, {"precision": "bfloat16"}])
def test_another_model_in_the_middle_of_a_method_ends_it_without_a_map(
    triton: FakeTriton, runs: Runs, change: dict[str, str]
) -> None:
    def change_in_the_middle(number: int) -> None:
        if number == 5:
            vars(triton).update(change)

    told: list[Event] = []
    triton.at_call = change_in_the_middle
    with pytest.raises(ModelChanged) as caught:
        runs.run(told, runs.check(LIME))
    assert caught.value.metadata["methods"] == "lime"
    assert not maps(told)
    (failure,) = failures(told)
    assert (failure.reason, failure.retriable) == ("MODEL_CHANGED", True)


def test_a_cancelled_request_tells_of_no_failure_and_cancels_what_was_sent(
    triton: FakeTriton, runs: Runs
) -> None:
    def fall_silent_in_the_middle(number: int) -> None:
        if number == 5:
            triton.fall_silent()

    told: list[Event] = []
    cancellation = Cancellation()
    triton.at_call = fall_silent_in_the_middle
    threading.Timer(0.5, cancellation.cancel).start()
    with pytest.raises(Cancelled):
        runs.run(told, runs.check(), caller(cancellation))
    triton.wait_until(lambda: triton.cancelled == 2)
    assert not any(isinstance(event, MethodFailed) for event in told)
    assert not maps(told)


def test_progress_is_known_while_a_method_runs_and_only_then(runs: Runs) -> None:
    from explain_service.explanation_run import ExplanationRun

    told: list[Event] = []
    seen: list[Any] = []

    def look(inputs: Any, control: Any) -> Any:
        control.progress.total = 10
        control.advance(4)
        seen.append(run.progress())
        return maps_of(1.0)(inputs, control)

    scripted = ScriptedMethod("scripted", look)
    request = runs.check(scripted.asked, registry=MethodRegistry((scripted,)))
    tensor = np.zeros(request.model.card.preprocess.shape, np.float32)
    run = ExplanationRun(runs.dependencies, request, tensor, caller(), told.append)
    assert run.progress() is None
    run.run()
    assert run.progress() is None
    assert [(one.method, one.calls_done, one.calls_total) for one in seen] == [("scripted", 4, 10)]
