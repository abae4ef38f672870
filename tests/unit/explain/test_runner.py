"""What a request tells of its maps: the usable, the missing, those that are no numbers."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from explain_service.parameters import Parameters
from explain_service.query import Query
from explain_service.runner import Runner, Tools

from explain_service.attribution import Attribution
from explain_service.events import Compared, Event, Explained
from explain_service.methods import GradCam, IntegratedGradients, KernelShap, Lime, Occlusion
from explain_service.planner import Planner, Speeds
from explain_service.segmentation import Grid
from explain_service.triton_calls import Caller
from pellucid.api.explain.v1 import methods_pb2
from pellucid.api.explain.v1.methods_pb2 import Target
from pellucid.errors import DeadlineTooShort, MethodUnavailable
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import ServedModel
from tests.unit.explain.test_deadline import QuickGradients, SlowCalls
from tests.unit.explain.test_parts import GREY

BOTH = (Target(index=0), Target(index=1))


class SomeGradients(QuickGradients):
    """Changes the maps of another's."""

    def __init__(self, *, count: int = 2, value: float = 1.0) -> None:
        self._count = count
        self._value = value

    def explain(self, parameters: Any, question: Any, tick: Any) -> list[Attribution]:
        found = super().explain(parameters, question, tick)[: self._count]
        return [replace(one, map=one.map * np.float32(self._value)) for one in found]


def ask(told: list[Event], *methods: Parameters, gradients: Any = None) -> None:
    gradients = gradients or QuickGradients()
    calls: Any = SlowCalls(0.0)
    query = Query(
        model=ServedModel(GREY, "1", "", masked=True),
        methods=methods,
        targets=BOTH,
        probability=False,
        baseline=methods_pb2.BASELINE_BLACK,
        segmentation=Grid(),
        seed=0,
    )
    tools = Tools(calls, gradients, Planner(Speeds(), gradients, 24), finish_s=1.0)
    caller = Caller(threading.Event(), Deadline.after(60), "")
    Runner(tools, query, np.zeros(GREY.preprocess.shape, np.float32), caller, told.append).run()


def maps(told: list[Event]) -> list[Explained]:
    return [event for event in told if isinstance(event, Explained)]


@pytest.mark.parametrize("method", [Lime(), KernelShap(), Occlusion()], ids=lambda m: m.name)
def test_a_map_of_a_method_that_still_runs_was_not_cut_by_the_deadline(
    method: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explain_service.tick.PARTIAL_EVERY_S", 0.0)
    told: list[Event] = []
    ask(told, method)
    partial = [event for event in maps(told) if event.partial]
    assert partial
    assert not any(event.attribution.truncated for event in partial)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(value: float) -> None:
    told: list[Event] = []
    with pytest.raises(MethodUnavailable) as caught:
        ask(told, Lime(), IntegratedGradients(), gradients=SomeGradients(value=value))
    assert caught.value.field == "methods[1].integrated_gradients"
    assert caught.value.remedy
    assert {event.parameters.name for event in maps(told)} == {"lime"}


def test_maps_of_the_first_targets_are_told_and_their_method_is_named() -> None:
    told: list[Event] = []
    with pytest.raises(DeadlineTooShort) as caught:
        ask(told, Lime(), GradCam(layer="any"), gradients=SomeGradients(count=1))
    assert caught.value.metadata["methods"] == "grad_cam"
    shown = [(event.parameters.name, event.target.index) for event in maps(told)]
    assert shown == [("lime", 0), ("lime", 1), ("grad_cam", 0)]
    assert isinstance(told[-1], Compared)
    assert [pair.label for pair in told[-1].agreements] == ["a"]
