"""How calls reach Triton: cut to size, counted when sent, checked when they come back."""

import threading
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from prometheus_client import REGISTRY

from explain_service.run_control import Cancellation, Cancelled
from explain_service.triton_calls import SharedInputs, TritonCalls
from pellucid.errors import BackendUnavailable, DeadlineTooShort, ModelBroken, ModelChanged
from tests.support.cards import GREY, served
from tests.support.explain_inputs import caller
from tests.support.fake_triton import FakeTriton
from tests.unit.explain.conftest import Calls

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
MODEL = served(GREY, max_batch=16)
PICTURE = np.zeros((1, 32, 32), np.float32)
SHARED = SharedInputs.of(PICTURE, np.zeros((1, 1, 1, 1), np.float32), np.zeros((32, 32), np.uint16))
MASKS = np.ones((1, 1), np.uint8)


@pytest.fixture
def calls(make_calls: Calls) -> Iterator[TritonCalls]:
    """One at a time."""
    yield make_calls(calls_in_flight=1)


def sent_calls() -> float:
    return REGISTRY.get_sample_value("pellucid_triton_calls_total", {"model": "model"}) or 0


def test_inputs_are_cut_by_count_and_by_bytes(triton: FakeTriton, calls: TritonCalls) -> None:
    small, large = np.zeros((20, 1, 32, 32), np.float32), np.zeros((9, 1, 1024, 1024), np.float32)
    assert calls.logits(MODEL, small, caller()).logits.shape == (20, 2)
    assert triton.rows == [16, 4]
    triton.rows.clear()
    calls.logits(MODEL, large, caller())
    assert triton.rows == [4, 4, 1]


def test_an_answer_of_another_width_than_the_cards_is_refused(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    triton.labels = 3
    with pytest.raises(ModelBroken):
        calls.predict(MODEL, PICTURE[np.newaxis])


def test_an_answer_of_another_version_is_refused_and_the_model_is_marked(
    triton: FakeTriton, make_calls: Calls
) -> None:
    stale: list[str] = []
    calls = make_calls(mark_stale=stale.append)
    triton.version = "2"
    with pytest.raises(ModelChanged):
        calls.masked(MODEL, SHARED, MASKS, caller()).result(10)
    assert stale == ["model"]


def test_what_its_masks_are_answered_in_is_told(triton: FakeTriton, calls: TritonCalls) -> None:
    triton.precision = "bfloat16"
    assert calls.masked(MODEL, SHARED, MASKS, caller()).result(10).precision == "bfloat16"


def test_a_call_counts_when_it_is_sent_and_not_when_it_waits_its_turn(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    triton.fall_silent()
    first_caller, cancellation, before = caller(), Cancellation(), sent_calls()
    first = calls.masked(MODEL, SHARED, MASKS, first_caller)
    second = calls.masked(MODEL, SHARED, MASKS, caller(cancellation))
    triton.wait_until(lambda: triton.rows == [1])
    assert sent_calls() == before + 1
    cancellation.cancel()
    triton.speak()
    assert first.result(10).logits.shape == (1, 2)
    with pytest.raises(Cancelled):
        second.result(10)
    assert sent_calls() == before + 1


def test_who_waits_for_logits_may_be_cancelled(triton: FakeTriton, calls: TritonCalls) -> None:
    triton.fall_silent()
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    with pytest.raises(Cancelled):
        calls.logits(MODEL, PICTURE[np.newaxis], caller(cancellation))


def test_calls_that_were_sent_are_cancelled_with_the_request_and_others_are_not(
    triton: FakeTriton, make_calls: Calls
) -> None:
    triton.fall_silent()
    calls, cancellation = make_calls(calls_in_flight=3), Cancellation()
    mine = [calls.masked(MODEL, SHARED, MASKS, caller(cancellation)) for _ in range(2)]
    other = calls.masked(MODEL, SHARED, MASKS, caller())
    triton.wait_until(lambda: len(triton.rows) == 3)
    cancellation.cancel()
    triton.wait_until(lambda: triton.cancelled == 2)
    for call in mine:
        with pytest.raises(Cancelled):
            call.result(10)
    triton.speak()
    assert other.result(10).logits.tolist() == [[1, -1]]
    assert triton.cancelled == 2


def test_a_triton_that_is_away_for_a_moment_is_asked_again(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    triton.fails = lambda number, masks: UNAVAILABLE if number == 0 else None
    assert calls.masked(MODEL, SHARED, MASKS, caller()).result(10).logits.tolist() == [[1, -1]]
    assert triton.rows == [1, 1]


def test_a_triton_that_stays_away_is_given_up(triton: FakeTriton, calls: TritonCalls) -> None:
    triton.fails = lambda number, masks: UNAVAILABLE
    with pytest.raises(BackendUnavailable):
        calls.masked(MODEL, SHARED, MASKS, caller()).result(10)
    assert len(triton.rows) == 3


def test_a_call_has_a_timeout_of_its_own(triton: FakeTriton, make_calls: Calls) -> None:
    triton.fall_silent()
    calls = make_calls(triton_call_timeout_s=0.2)
    with pytest.raises(BackendUnavailable):
        calls.masked(MODEL, SHARED, MASKS, caller()).result(10)


def test_a_call_that_outlives_the_callers_deadline_is_said_to(
    triton: FakeTriton, make_calls: Calls
) -> None:
    triton.fall_silent()
    with pytest.raises(DeadlineTooShort):
        make_calls().masked(MODEL, SHARED, MASKS, caller(seconds=0.2)).result(10)
