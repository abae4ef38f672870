"""What the servicer leaves to other threads."""

import threading
from typing import Any

from explain_service.methods import GradCam
from explain_service.planner import Planner, Speeds
from explain_service.servicer import ExplainServicer
from explain_service.settings import ExplainSettings
from pellucid.api.explain.v1 import explain_pb2
from pellucid.api.explain.v1.methods_pb2 import GradCam as GradCamMessage
from pellucid.api.explain.v1.methods_pb2 import Method
from pellucid.serving import request_id
from pellucid.serving.triton import ServedModel
from tests.unit.explain.test_parts import GREY


class OneModel:
    """Serves one model."""

    async def get(self, name: str) -> ServedModel:
        return ServedModel(GREY, "1", "", masked=True)


class WatchedGradients:
    """Says on which thread, and for which request, it was asked whether there is a copy."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []

    def unavailable(self, model: Any, method: str) -> str:
        self.asked.append((threading.get_ident(), request_id.current()))
        return ""

    def resolve(self, model: Any, parameters: Any, field: str) -> Any:
        return GradCam(layer="any")

    def calls(self, parameters: Any, targets: int) -> int:
        return targets


async def test_the_digest_of_a_copy_is_not_taken_on_the_event_loop() -> None:
    gradients: Any = WatchedGradients()
    models: Any = OneModel()
    engine: Any = None
    planner = Planner(Speeds(), gradients, 24)
    servicer = ExplainServicer(models, gradients, planner, engine, ExplainSettings())
    mine = request_id.adopt((("x-request-id", "follow-me"),))
    asked = explain_pb2.PlanRequest(model="model", methods=[Method(grad_cam=GradCamMessage())])
    context: Any = None
    assert (await servicer.Plan(asked, context)).methods[0].model_calls == 1
    ((thread, request),) = gradients.asked
    assert thread != threading.get_ident()
    assert request == mine
