"""How calls reach Triton: cut to size, counted when they are sent, checked when they come back."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from explain_service.tick import Cancelled
from prometheus_client import REGISTRY
from tritonclient.grpc import service_pb2

from explain_service.settings import ExplainSettings
from explain_service.triton_calls import Caller, Fixed, TritonCalls
from pellucid.cards import Card
from pellucid.errors import ModelNotReady
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import ServedModel
from tests.unit.explain.test_parts import GREY


class FakeTriton:
    """Answers zeros, `labels` of them a row, once `answers` is set; keeps the rows of each call."""

    def __init__(self) -> None:
        self.labels = 2
        self.rows: list[int] = []
        self.answers = threading.Event()
        self.answers.set()

    def infer(self, name: str, inputs: Any, **_: Any) -> Any:
        rows = inputs[-1].shape()[0]
        self.rows.append(rows)
        assert self.answers.wait(10)
        return _Result(np.zeros((rows, self.labels), np.float32))

    def close(self) -> None:
        pass


class _Result:
    def __init__(self, logits: Any) -> None:
        self._logits = logits

    def as_numpy(self, name: str) -> Any:
        return self._logits

    def get_response(self) -> service_pb2.ModelInferResponse:
        return service_pb2.ModelInferResponse()


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
def calls(triton: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> Iterator[TritonCalls]:
    monkeypatch.setattr(
        "explain_service.triton_calls.InferenceServerClient", lambda *_, **__: triton
    )
    found = TritonCalls(ExplainSettings(calls_in_flight=1))
    yield found
    triton.answers.set()
    found.close()


def model(card: Card = GREY) -> ServedModel:
    return ServedModel(card, "1", "", masked=True, max_batch=16)


def caller(stop: threading.Event | None = None) -> Caller:
    return Caller(stop or threading.Event(), Deadline.after(60), "")


def sent_calls() -> float:
    return REGISTRY.get_sample_value("pellucid_triton_calls_total", {"model": "model"}) or 0


def test_inputs_are_cut_by_count_and_by_bytes(triton: FakeTriton, calls: TritonCalls) -> None:
    small, large = np.zeros((20, 1, 32, 32), np.float32), np.zeros((9, 1, 1024, 1024), np.float32)
    assert calls.logits(model(), small, caller()).logits.shape == (20, 2)
    assert triton.rows == [16, 4]
    triton.rows.clear()
    calls.logits(model(), large, caller())
    assert triton.rows == [4, 4, 1]


def test_an_answer_of_another_width_than_the_cards_is_refused(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    triton.labels = 3
    with pytest.raises(ModelNotReady):
        calls.predict(model(), np.zeros((1, 1, 32, 32), np.float32))


def test_a_call_counts_when_it_is_sent_and_not_when_it_waits_its_turn(
    triton: FakeTriton, calls: TritonCalls
) -> None:
    triton.answers.clear()
    stop, before = threading.Event(), sent_calls()
    image, whole = np.zeros((1, 32, 32), np.float32), np.zeros((32, 32), np.uint16)
    fixed = Fixed.of(image, np.zeros((1, 1, 1, 1), np.float32), whole)
    masks = np.ones((1, 1), np.uint8)
    first, second = (calls.masked(model(), fixed, masks, caller(stop)) for _ in range(2))
    while not triton.rows:
        assert not first.done()
    assert sent_calls() == before + 1
    stop.set()
    triton.answers.set()
    assert first.result(10).logits.shape == (1, 2)
    with pytest.raises(Cancelled):
        second.result(10)
    assert sent_calls() == before + 1


def test_who_waits_for_logits_may_go(triton: FakeTriton, calls: TritonCalls) -> None:
    triton.answers.clear()
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Cancelled):
        calls.logits(model(), np.zeros((1, 1, 32, 32), np.float32), caller(stop))
