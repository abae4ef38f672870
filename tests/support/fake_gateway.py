"""A gateway without models behind it, over real gRPC: its responses are made up."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_status import rpc_status

from pellucid.api.explain.v1 import explain_pb2, explanation_pb2
from pellucid.api.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from pellucid.errors import PellucidError
from pellucid.status import to_status
from tests.support.gateway_responses import (
    METHODS,
    explained_input,
    explanation,
    failure,
    model,
    prediction,
    progress,
    targets,
)


class FakeGateway(gateway_pb2_grpc.GatewayServiceServicer):
    """Serves an X-ray model and a speech model with made-up maps; keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.timeouts: list[float | None] = []
        self.errors: list[PellucidError | grpc.StatusCode] = []
        """Each ends one call before anything is sent."""
        self.breaks_after: dict[str, PellucidError | grpc.StatusCode] = {}
        """By method: ends an explanation after its partial map."""
        self.models = [
            model("xray", "chest_xray", ("image/png", "image/jpeg")),
            model("speech", "speech", ("audio/wav", "audio/flac")),
        ]
        self.limits = gateway_pb2.Limits(max_content_bytes=20 << 20, max_methods=16)
        self.cancelled = False
        self.endless = False
        self.zero: frozenset[str] = frozenset()
        self.failing: frozenset[str] = frozenset()

    def GetCapabilities(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._receive(request, context)
        chosen = [m for m in self.models if request.media_type in ("", *m.media_types)]
        return gateway_pb2.GetCapabilitiesResponse(models=chosen, limits=self.limits)

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._receive(request, context)
        sound = request.model == "speech"
        return gateway_pb2.ClassifyResponse(prediction=prediction(request.model, sound))

    def FindSimilar(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._receive(request, context)
        cases = [
            gateway_pb2.SimilarCase(
                id=f"case_{n}.png",
                labels=["other"],
                distance=n + 0.5,
                thumbnail_png=b"png"[: 3 * n],
            )
            for n in range(request.count)
        ]
        return gateway_pb2.FindSimilarResponse(
            prediction=prediction(request.model, request.model == "speech"),
            window_index=request.window,
            cases=cases,
            index=gateway_pb2.CaseIndex(cases=1_200, typical_distance=0.75),
        )

    def PlanExplain(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._receive(request, context)
        plans = [
            explain_pb2.MethodPlan(method=name, model_calls=10, bytes_to_triton=1000)
            for name in names(request)
        ]
        return gateway_pb2.PlanExplainResponse(
            methods=plans, model_calls=10 * len(plans), bytes_to_triton=1000 * len(plans)
        )

    def Explain(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self._receive(request, context)
        context.add_callback(self._ended)
        for event in events(request, self):
            yield event
            if event.WhichOneof("event") == "partial":
                error = self.breaks_after.get(event.partial.method)
                if error is not None:
                    self._abort(error, context)
        while self.endless and context.is_active():
            yield progress("lime", 1)

    def _ended(self) -> None:
        self.cancelled = True

    def _receive(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.timeouts.append(context.time_remaining())
        if self.errors:
            self._abort(self.errors.pop(0), context)

    def _abort(self, error: PellucidError | grpc.StatusCode, context: Any) -> None:
        if isinstance(error, grpc.StatusCode):
            context.abort(error, "as the test wanted")
        context.abort_with_status(rpc_status.to_status(to_status(error)))


@contextmanager
def serving(gateway: FakeGateway, credentials: Any = None) -> Iterator[str]:
    """Serve it on a free port of this machine; yields its address."""
    options = [("grpc.max_receive_message_length", 32 << 20)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(gateway, server)
    if credentials is None:
        port = server.add_insecure_port("localhost:0")
    else:
        port = server.add_secure_port("localhost:0", credentials)
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(0).wait()


def names(request: Any) -> list[str]:
    """Methods that a request names, all that are available if none."""
    named = [method.WhichOneof("method") for method in request.methods]
    return named or [name for name in METHODS if name != "grad_cam"]


def events(request: Any, gateway: FakeGateway) -> Iterator[gateway_pb2.ExplainResponse]:
    """A whole explanation."""
    sound = request.model == "speech"
    methods = names(request)
    yield gateway_pb2.ExplainResponse(prediction=explained_input(request.model, sound))
    yield targets()
    for name in methods:
        if name in gateway.failing:
            yield failure(name)
            continue
        yield progress(name, 5)
        found = explanation(name, sound, zero=name in gateway.zero)
        if name == "extension":
            found.receipt.method.CopyFrom(request.methods[methods.index(name)])
        yield gateway_pb2.ExplainResponse(partial=found)
        yield progress(name, 10)
        yield gateway_pb2.ExplainResponse(explanation=found)
    if len(methods) > 1:
        pairs = [
            explanation_pb2.Agreement(
                method_a=a, method_b=b, label="other", rank_correlation=-0.25, top_overlap=0.5
            )
            for place, a in enumerate(methods)
            for b in methods[place + 1 :]
        ]
        yield gateway_pb2.ExplainResponse(comparison=explanation_pb2.Comparison(agreements=pairs))
