"""What a request of several methods gives where there is too little time for them."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from explain_service.query import Query
from explain_service.runner import Runner, Tools

from explain_service.attribution import Attribution
from explain_service.events import Compared, Event, Explained
from explain_service.methods import GRADIENT_METHODS, METHODS
from explain_service.planner import Planner, Speeds
from explain_service.segmentation import Grid
from explain_service.triton_calls import Answer, Caller
from pellucid.api.explain.v1 import methods_pb2
from pellucid.errors import DeadlineTooShort
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import ServedModel
from tests.unit.explain.test_parts import GREY


class SlowCalls:
    """Answers masks with the number of segments kept, each call after some seconds."""

    calls_in_flight = 2

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(self.calls_in_flight)

    def masked(self, model: Any, fixed: Any, masks: Any, caller: Caller) -> "Future[Answer]":
        return self._threads.submit(self._answer, masks)

    def _answer(self, masks: Any) -> Answer:
        # What the request begins with, the scores of its ends, is not held up.
        time.sleep(self._seconds if masks.shape[1] > 1 else 0)
        kept = masks.sum(axis=1, keepdims=True).astype(np.float32)
        return Answer(np.concatenate([kept, -kept], axis=1), "bfloat16")


class QuickGradients:
    """Gives maps of ones at once."""

    def calls(self, parameters: Any, targets: int) -> int:
        return targets

    def explain(self, parameters: Any, question: Any, tick: Any) -> list[Attribution]:
        tick.step(1)
        return [Attribution(map=np.ones(question.plane, np.float32)) for _ in question.targets]

    def libraries(self, model: Any, method: str) -> dict[str, str]:
        return {}


def ask_for_all(told: list[Event], *, call_s: float, deadline: Deadline) -> None:
    gradients: Any = QuickGradients()
    calls: Any = SlowCalls(call_s)
    query = Query(
        model=ServedModel(GREY, "1", "", masked=True),
        methods=tuple(kind() for kind in METHODS.values()),
        targets=(),
        probability=False,
        baseline=methods_pb2.BASELINE_BLACK,
        segmentation=Grid(),
        seed=0,
    )
    tools = Tools(calls, gradients, Planner(Speeds(), gradients, 24), finish_s=1.0)
    caller = Caller(threading.Event(), deadline, "")
    Runner(tools, query, np.zeros(GREY.preprocess.shape, np.float32), caller, told.append).run()


def finished(told: list[Event]) -> dict[str, Explained]:
    return {
        event.parameters.name: event
        for event in told
        if isinstance(event, Explained) and not event.partial
    }


def test_every_method_gives_what_it_has_before_the_deadline() -> None:
    told: list[Event] = []
    deadline = Deadline.after(8)
    ask_for_all(told, call_s=0.4, deadline=deadline)
    assert deadline.left() > 0
    maps = finished(told)
    assert list(maps) == list(METHODS)
    cut = {name for name, event in maps.items() if event.attribution.truncated}
    assert {"lime", "kernel_shap"} <= cut
    assert cut.isdisjoint(GRADIENT_METHODS)
    assert isinstance(told[-1], Compared)


def test_methods_without_time_are_named_after_the_maps_of_the_others() -> None:
    told: list[Event] = []
    deadline = Deadline.after(3)
    with pytest.raises(DeadlineTooShort) as caught:
        ask_for_all(told, call_s=1.5, deadline=deadline)
    assert deadline.left() > 0
    maps = finished(told)
    assert maps["lime"].attribution.truncated
    assert caught.value.metadata["methods"].split(", ") == [
        name for name in METHODS if name not in maps
    ]


def test_receipts_name_the_arithmetic_of_what_was_asked() -> None:
    told: list[Event] = []
    ask_for_all(told, call_s=0.0, deadline=Deadline.after(60))
    arithmetic = {name: event.run.precision for name, event in finished(told).items()}
    assert arithmetic == {
        name: "float32" if name in GRADIENT_METHODS else "bfloat16" for name in METHODS
    }
