"""How masks become calls: none twice, in order, none after nobody waits."""

import threading
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from explain_service.tick import Cancelled, Tick
from explain_service.triton_masks import TritonMasks, ends

from explain_service.attribution import Question
from explain_service.perturbation.masks import Masks
from explain_service.triton_calls import Answer, Caller
from pellucid.errors import MethodUnavailable
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import ServedModel
from tests.unit.explain.test_parts import GREY

SEGMENTS = np.arange(4, dtype=np.uint16).reshape(2, 2).repeat(16, 0).repeat(16, 1)
WEIGHTS = np.array([1, 2, 4, 8], np.float32)


class FakeCalls:
    """Answers masks with their number in binary; `answer` may be told to wait."""

    calls_in_flight = 2

    def __init__(self) -> None:
        self.sent: list[Masks] = []
        self.silent = False
        self.factor = 1.0

    def masked(self, model: Any, fixed: Any, masks: Masks, caller: Caller) -> "Future[Answer]":
        self.sent.append(masks)
        answer: Future[Answer] = Future()
        if not self.silent:
            numbers = (masks @ WEIGHTS * self.factor).astype(np.float32)
            answer.set_result(Answer(np.stack([numbers, -numbers], axis=1), "float32"))
        return answer


def question() -> Question:
    image = np.zeros(GREY.preprocess.shape, np.float32)
    return Question(
        model=ServedModel(GREY, "1", "", masked=True),
        input=image,
        baseline=np.zeros((1, 1, 1, 1), np.float32),
        targets=(0,),
        probability=False,
        seed=0,
    )


def masked(calls: FakeCalls, tick: Tick, stop: threading.Event | None = None) -> TritonMasks:
    ends = (np.array([15, -15], np.float32), np.zeros(2, np.float32))
    caller = Caller(stop or threading.Event(), Deadline.after(60), "")
    return TritonMasks(calls, question(), SEGMENTS, ends, caller, tick, masks_per_call=3)  # type: ignore[arg-type]


def bits(*numbers: int) -> Masks:
    return np.array([[n >> k & 1 for k in range(4)] for n in numbers], np.uint8)


def test_scores_come_in_the_order_of_the_masks_and_none_is_asked_for_twice() -> None:
    calls, tick = FakeCalls(), Tick(total=10)
    numbers = (15, 3, 3, 5, 0, 7, 5, 9, 3, 15, 1)
    scores = np.concatenate(list(masked(calls, tick).stream(bits(*numbers))))
    assert scores[:, 0].tolist() == list(numbers)
    assert scores[:, 1].tolist() == [-number for number in numbers]
    assert [len(sent) for sent in calls.sent] == [3, 2]
    assert tick.done == 5


def test_all_that_is_known_needs_no_call() -> None:
    calls = FakeCalls()
    scores = np.concatenate(list(masked(calls, Tick(total=1)).stream(bits(0, 15, 0))))
    assert scores[:, 0].tolist() == [0, 15, 0]
    assert not calls.sent


def test_when_nobody_waits_no_more_is_sent() -> None:
    calls, stop = FakeCalls(), threading.Event()
    stream = masked(calls, Tick(total=10, stop=stop), stop).stream(bits(*range(1, 15)))
    next(stream)
    sent = len(calls.sent)
    stop.set()
    with pytest.raises(Cancelled):
        next(stream)
    assert len(calls.sent) == sent


def test_what_was_queued_is_taken_back() -> None:
    calls, stop = FakeCalls(), threading.Event()
    calls.silent = True
    stream = masked(calls, Tick(total=10, stop=stop), stop).stream(bits(*range(1, 15)))
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Cancelled):
        next(stream)
    assert len(calls.sent) == 2


def test_what_is_in_flight_when_the_time_is_up_is_not_waited_for() -> None:
    calls = FakeCalls()
    calls.silent = True
    tick = Tick(total=10, deadline=Deadline.after(0.2))
    assert list(masked(calls, tick).stream(bits(*range(1, 15)))) == []


def test_scores_that_are_not_finite_are_refused() -> None:
    calls = FakeCalls()
    calls.factor = float("nan")
    with pytest.raises(MethodUnavailable):
        list(masked(calls, Tick(total=1)).stream(bits(1)))


def test_who_waits_for_the_scores_of_the_ends_may_go() -> None:
    calls, stop = FakeCalls(), threading.Event()
    calls.silent = True
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Cancelled):
        ends(calls, question(), Caller(stop, Deadline.after(60), ""))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("logits", "field"),
    [
        ([[np.nan, 0], [0, 0]], "input"),
        ([[0, 0], [0, np.inf]], "options.baseline"),
    ],
)
def test_an_end_without_a_finite_score_is_refused(logits: Any, field: str) -> None:
    class Calls(FakeCalls):
        def masked(self, model: Any, fixed: Any, masks: Masks, caller: Caller) -> "Future[Answer]":
            answer: Future[Answer] = Future()
            answer.set_result(Answer(np.array(logits, np.float32), "float32"))
            return answer

    caller = Caller(threading.Event(), Deadline.after(60), "")
    with pytest.raises(MethodUnavailable) as caught:
        ends(Calls(), question(), caller)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.remedy
