"""How masks become calls: none twice, in order, none after the request was cancelled."""

import threading

import numpy as np
import pytest

from explain_service.perturbation.masks import Masks
from explain_service.perturbation.triton_masks import LARGEST_MASKS, TritonMasks
from explain_service.run_control import Cancellation, Cancelled, RunControl, TimeBudget
from explain_service.triton_calls import TritonCalls
from pellucid.errors import BackendUnavailable, MethodUnavailable, ModelChanged
from pellucid.serving.deadline import Deadline
from tests.support.cards import GREY, card
from tests.support.explain_inputs import caller, explain_input
from tests.support.fake_triton import FakeTriton
from tests.unit.explain.conftest import Calls

QUARTERS = np.arange(4, dtype=np.uint16).reshape(2, 2).repeat(16, 0).repeat(16, 1)


@pytest.fixture
def triton(triton: FakeTriton) -> FakeTriton:
    """Answers masks over four segments with their number in binary, and its negation."""
    binary = np.array([1, 2, 4, 8], np.float32)
    triton.formula = lambda masks: np.stack([masks @ binary, -(masks @ binary)], axis=1).astype(
        np.float32
    )
    return triton


@pytest.fixture
def calls(make_calls: Calls) -> TritonCalls:
    return make_calls(calls_in_flight=2, masks_per_call=3)


def masked(
    calls: TritonCalls, control: RunControl, cancellation: Cancellation | None = None
) -> TritonMasks:
    inputs = explain_input(GREY, full=(15, -15), empty=(0, 0), caller=caller(cancellation))
    return TritonMasks(calls, inputs, QUARTERS, control)


def bits(*numbers: int) -> Masks:
    return np.array([[n >> k & 1 for k in range(4)] for n in numbers], np.uint8)


def test_scores_come_in_the_order_of_the_masks_and_none_is_asked_for_twice(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    control = RunControl(total=10)
    numbers = (15, 3, 3, 5, 0, 7, 5, 9, 3, 15, 1)
    scores = np.concatenate(list(masked(calls, control).stream(bits(*numbers))))
    assert scores[:, 0].tolist() == list(numbers)
    assert scores[:, 1].tolist() == [-number for number in numbers]
    assert sorted(triton.rows) == [2, 3]
    assert control.progress.done == 5


def test_all_that_is_known_needs_no_call(triton: FakeTriton, calls: TritonCalls) -> None:
    scores = np.concatenate(list(masked(calls, RunControl(total=1)).stream(bits(0, 15, 0))))
    assert scores[:, 0].tolist() == [0, 15, 0]
    assert not triton.rows


def test_masks_of_many_segments_make_smaller_calls(triton: FakeTriton, make_calls: Calls) -> None:
    triton.formula = lambda masks: np.zeros((len(masks), 2), np.float32)
    cells = np.arange(4_096, dtype=np.uint16).reshape(64, 64)
    inputs = explain_input(card(height=64, width=64))
    model = TritonMasks(make_calls(masks_per_call=1_024), inputs, cells, RunControl(total=1))
    rows = np.random.default_rng(0).integers(0, 2, (400, 4_096)).astype(np.uint8)
    assert len(np.concatenate(list(model.stream(rows)))) == 400
    assert sorted(triton.rows) == [400 - 256, LARGEST_MASKS // 4_096]


def test_nothing_more_is_sent_for_a_request_that_was_cancelled(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    cancellation = Cancellation()
    control = RunControl(total=10, cancellation=cancellation)
    stream = masked(calls, control, cancellation).stream(bits(*range(1, 15)))
    next(stream)
    triton.wait_until(lambda: len(triton.rows) == 2)
    cancellation.cancel()
    with pytest.raises(Cancelled):
        next(stream)
    assert len(triton.rows) == 2


def test_what_is_on_its_way_is_cancelled_with_the_request(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    triton.fall_silent()
    cancellation = Cancellation()
    control = RunControl(total=10, cancellation=cancellation)
    stream = masked(calls, control, cancellation).stream(bits(*range(1, 15)))
    threading.Timer(0.1, cancellation.cancel).start()
    with pytest.raises(Cancelled):
        next(stream)
    triton.wait_until(lambda: triton.cancelled == 2)
    assert len(triton.rows) == 2


def test_what_is_in_flight_when_the_time_is_up_is_not_waited_for(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    triton.fall_silent()
    control = RunControl(total=10, budget=TimeBudget(deadline=Deadline.after(0.2)))
    assert list(masked(calls, control).stream(bits(*range(1, 15)))) == []


def test_scores_that_are_not_finite_are_refused(triton: FakeTriton, calls: TritonCalls) -> None:
    triton.formula = lambda masks: np.full((len(masks), 2), np.nan, np.float32)
    with pytest.raises(MethodUnavailable) as caught:
        list(masked(calls, RunControl(total=1)).stream(bits(1)))
    assert caught.value.field == "options.baseline"


@pytest.mark.parametrize("change", [{"version": "2"}, {"precision": "bfloat16"}])
def test_scores_of_another_model_are_not_mixed_with_those_before(
    triton: FakeTriton, calls: TritonCalls, change: dict[str, str]
) -> None:
    def change_after_two(number: int) -> None:
        if number == 2:
            vars(triton).update(change)

    triton.at_call = change_after_two
    with pytest.raises(ModelChanged) as caught:
        list(masked(calls, RunControl(total=14)).stream(bits(*range(1, 15))))
    assert caught.value.retry_after_s


def test_a_triton_that_goes_away_is_told_to_the_method(
    triton: FakeTriton, make_calls: Calls
) -> None:
    triton.fall_silent()
    calls = make_calls(triton_call_timeout_s=0.2)
    with pytest.raises(BackendUnavailable):
        list(masked(calls, RunControl(total=10)).stream(bits(1)))
