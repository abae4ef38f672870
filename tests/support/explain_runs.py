"""Whole explanations of one tensor, without the service around them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from explain_service.events import Event, MapReady, MethodFailed
from explain_service.explanation_run import ExplanationRun
from explain_service.methods import METHODS, MethodRegistry
from explain_service.methods.base import Backends
from explain_service.planner import Planner
from explain_service.request import CheckedRequest, check_request
from explain_service.resolution import Dependencies
from explain_service.triton_calls import Caller, TritonCalls
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.cards import Card
from tests.support.cards import LAYERED, served
from tests.support.explain_inputs import caller
from tests.support.gradient_models import OneCopy


class Runs:
    """Explains a black picture by any methods, over calls to some Triton and one flat copy."""

    def __init__(self, calls: TritonCalls, *, partial_every_s: float = 2.0) -> None:
        copies: Any = OneCopy()
        backends = Backends(calls, copies)
        self.dependencies = Dependencies(backends, Planner(24), 1.0, partial_every_s)

    def check(
        self,
        *methods: pb.Method,
        registry: MethodRegistry = METHODS,
        card: Card = LAYERED,
        **options: Any,
    ) -> CheckedRequest:
        """A request for both labels, with a grid of 8 by 8 segments and a black baseline."""
        asked: dict[str, Any] = {
            "targets": [pb.Target(index=0), pb.Target(index=1)],
            "baseline": pb.BASELINE_BLACK,
            "segmentation": pb.Segmentation(grid=pb.Grid()),
        }
        wanted = pb.ExplainOptions(**asked | options)
        return check_request(served(card), methods, wanted, registry, self.dependencies.backends)

    def run(self, told: list[Event], request: CheckedRequest, who: Caller | None = None) -> None:
        """Run it to its end; `told` has all events, also where it raises."""
        tensor = np.zeros(request.model.card.preprocess.shape, np.float32)
        who = who or caller()
        ExplanationRun(self.dependencies, request, tensor, who, told.append).run()


def maps(told: Sequence[Event], *, partial: bool = False) -> list[MapReady]:
    """The finished maps, or the partial ones."""
    return [event for event in told if isinstance(event, MapReady) and event.partial is partial]


def failures(told: Sequence[Event]) -> list[MethodFailed]:
    """The methods that failed."""
    return [event for event in told if isinstance(event, MethodFailed)]


def names(found: Sequence[MapReady]) -> list[str]:
    """The methods that have maps, once each, in order."""
    return list(dict.fromkeys(one.call.method.name for one in found))
