"""What stands behind a gateway under test, besides a scripted Triton: scripted services.

They are here for what the real ones cannot be made to do on demand: to fail, hang, or lie.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from pellucid.api.common.v1 import media_pb2
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc, explanation_pb2, methods_pb2
from pellucid.api.preprocess.v1 import preprocess_pb2, preprocess_pb2_grpc
from pellucid.cards import Card
from pellucid.tensors import digest, encode

LABELS = ("dark", "grey", "bright")


def card(name: str = "shade", **more: Any) -> Card:
    """Three labels over a picture of one row, whose three values are its logits."""
    return Card.model_validate(
        {
            "name": name,
            "version": "1",
            "title": "Shade",
            "description": "",
            "modality": "photo",
            "labels": LABELS,
            "output": {"activation": "softmax"},
            "preprocess": {
                "kind": "image",
                "height": 1,
                "width": 3,
                "channels": 1,
                "layout": "CHW",
                "mean": [0],
                "std": [1],
            },
            **more,
        }
    )


class Preprocess(preprocess_pb2_grpc.PreprocessServiceServicer):
    """Makes `windows` of any file."""

    def __init__(self) -> None:
        self.windows: Sequence[Sequence[float]] = [(0, 1, 2)]
        self.fails: Exception | None = None
        self.hangs = False
        self.calls: list[preprocess_pb2.PreprocessRequest] = []
        self.seconds_left: float | None = None
        self.metadata: dict[str, Any] = {}

    async def Preprocess(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.calls.append(request)
        self.seconds_left = context.time_remaining()
        self.metadata = dict(context.invocation_metadata())
        if self.hangs:
            await asyncio.sleep(60)
        if self.fails:
            raise self.fails
        windows = []
        for place, values in enumerate(self.windows):
            array = np.array(values, np.float32).reshape(1, 1, 3)
            windows.append(
                media_pb2.Window(tensor=encode(array), digest=digest(array), start_seconds=place)
            )
        facts = media_pb2.MediaFacts(media_type="image/png")
        return preprocess_pb2.PreprocessResponse(windows=windows, facts=facts)

    async def GetLimits(self, request: Any, context: Any) -> Any:  # noqa: N802
        return preprocess_pb2.GetLimitsResponse(
            max_content_bytes=2_000,
            max_pixels=9,
            max_audio_seconds=8,
            image_media_types=["image/png"],
            audio_media_types=["audio/wav"],
        )


class Explain(explain_pb2_grpc.ExplainServiceServicer):
    """Has two methods, one of them available, and explains by telling what it was asked."""

    def __init__(self) -> None:
        self.knows = ["shade"]
        self.fails: Exception | None = None
        """What it refuses a plan or an explanation with."""
        self.lies_about_input = False
        self.version = "1"
        """Of the model that it explains."""
        self.hangs = ""
        """Event before which it stops for good."""
        self.asked: list[explain_pb2.ExplainRequest] = []
        self.planned: list[explain_pb2.PlanRequest] = []
        self.seconds_left: float | None = None
        self.metadata: dict[str, Any] = {}
        self.started = asyncio.Event()
        self.let_go = asyncio.Event()
        self.seconds: float | None = 0.5
        self.refuses: Exception | None = None

    async def ListMethods(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.refuses:
            raise self.refuses
        methods = [
            explain_pb2.MethodCapability(method="lime", available=True, title="LIME", paper="P"),
            explain_pb2.MethodCapability(
                method="grad_cam", available=False, unavailable_reason="no copy"
            ),
        ]
        models = [
            explain_pb2.ModelMethods(
                model=name,
                methods=methods,
                parity=explain_pb2.Parity(probes=3, passed=True),
                baselines=[methods_pb2.BASELINE_MEAN, methods_pb2.BASELINE_BLACK],
                segmentations=[explain_pb2.SegmentationCapability(segmentation="slic")],
            )
            for name in self.knows
        ]
        return explain_pb2.ListMethodsResponse(models=models)

    async def Plan(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.planned.append(request)
        if self.fails:
            raise self.fails
        plans = [
            explain_pb2.MethodPlan(
                method=method.WhichOneof("method"),
                model_calls=10,
                bytes_to_triton=100,
                seconds=self.seconds,
            )
            for method in request.methods
        ]
        return explain_pb2.PlanResponse(methods=plans)

    async def Explain(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.asked.append(request)
        self.seconds_left = context.time_remaining()
        self.metadata = dict(context.invocation_metadata())
        self.started.set()
        try:
            if self.fails:
                raise self.fails
            for event in self._events(request):
                if event.WhichOneof("event") == self.hangs:
                    await asyncio.sleep(60)
                yield event
        finally:
            self.let_go.set()

    def _events(self, request: Any) -> list[explain_pb2.ExplainResponse]:
        array = np.frombuffer(request.input.data, np.float32).reshape(1, 1, 3)
        said = "another" if self.lies_about_input else digest(array)
        target = explanation_pb2.ResolvedTarget(label="bright", score=2, baseline_score=0.5)
        receipt = explanation_pb2.Receipt(model_version=self.version, weights_digest="abc")
        found = explanation_pb2.Explanation(method="lime", receipt=receipt)
        failure = explanation_pb2.MethodFailure(method="grad_cam", reason="BACKEND_UNAVAILABLE")
        event = explain_pb2.ExplainResponse
        return [
            event(accepted=explain_pb2.Accepted(queue_position=2, input_digest=said)),
            event(targets=explanation_pb2.ResolvedTargets(targets=[target])),
            event(progress=explanation_pb2.Progress(method="lime")),
            event(partial=found),
            event(explanation=found),
            event(failure=failure),
            event(comparison=explanation_pb2.Comparison()),
        ]
