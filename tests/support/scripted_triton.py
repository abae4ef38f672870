"""A Triton that says what a test wants: real gRPC, with models that answer their own inputs.

It is there for what a real one cannot be made to do on demand: to change between two calls, to
answer as another version, to fall silent. Its messages are those of Triton 2.51.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pellucid.cards import (
    CARD_PARAMETER,
    DIGEST_PARAMETER,
    MASKED_SUFFIX,
    PRECISION_PARAMETER,
    ROLE_PARAMETER,
    Card,
)

READY = "READY"


@dataclass
class Graph:
    """One version of a model."""

    parameters: Mapping[str, str]
    width: int = 3
    """Of its answers: so many values of each input are its logits, and its features; the size of
    the first is its distance from the training data. Both are answered where they are asked for."""
    max_batch: int = 16
    state: str = READY
    reason: str = ""
    says: dict[str, str] = field(default_factory=dict)
    """Parameters of its answers."""
    answers_as: str = ""
    """Version that its answers name; by default its own."""


class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves `graphs`, by name and version, on a free port, and counts what it is asked."""

    def __init__(self) -> None:
        self.graphs: dict[str, dict[str, Graph]] = {}
        self.calls: Counter[str] = Counter()
        self.fails: grpc.StatusCode | None = None
        """Of every call."""
        self.failures_left = 0
        """Inferences that are answered UNAVAILABLE before one is answered."""
        self.holds = asyncio.Event()
        """Cleared, what is asked waits."""
        self.holds.set()
        self.inferred: list[service_pb2.ModelInferRequest] = []
        self._server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self.holds.set()
        await self._server.stop(None)

    def load(
        self,
        card: Card,
        version: str = "1",
        *,
        digest: str = "abc",
        precision: str = "float32",
        masked_digest: str | None = "",
        max_batch: int = 16,
    ) -> Graph:
        """Serve a version and no other; its masked graph has the same weights, others, or is not
        there (None)."""
        common = {
            CARD_PARAMETER: card.to_json(),
            PRECISION_PARAMETER: precision,
        }
        own = {**common, DIGEST_PARAMETER: digest, ROLE_PARAMETER: "classifier"}
        found = Graph(own, card.logits, max_batch)
        self.graphs[card.name] = {version: found}
        self.graphs.pop(card.name + MASKED_SUFFIX, None)
        if masked_digest is not None:
            other = {
                **common,
                DIGEST_PARAMETER: masked_digest or digest,
                ROLE_PARAMETER: "masked",
            }
            self.graphs[card.name + MASKED_SUFFIX] = {version: Graph(other)}
        return found

    def unload(self, name: str) -> None:
        """As Triton does it: the model stays in the index."""
        for graph in self.graphs[name].values():
            graph.state, graph.reason = "UNAVAILABLE", "unloaded"

    @property
    def metadata_calls(self) -> int:
        """Calls that are no inferences."""
        return self.calls.total() - self.calls["ModelInfer"]

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._count("RepositoryIndex", context)
        index = service_pb2.RepositoryIndexResponse()
        for name, versions in self.graphs.items():
            for version, graph in versions.items():
                index.models.add(name=name, version=version, state=graph.state, reason=graph.reason)
        return index

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._count("ModelConfig", context)
        graph = await self._find(request.name, request.version, context)
        answer = service_pb2.ModelConfigResponse()
        answer.config.max_batch_size = graph.max_batch
        for key, value in graph.parameters.items():
            answer.config.parameters[key].string_value = value
        return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._count("ModelInfer", context)
        if self.failures_left:
            self.failures_left -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        graph = await self._find(request.model_name, request.model_version, context)
        if request.inputs[0].shape[0] > graph.max_batch:
            said = f"inference request batch-size must be <= {graph.max_batch}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, said)
        self.inferred.append(request)
        values = np.frombuffer(request.raw_input_contents[0], np.float32)
        rows = values.reshape(request.inputs[0].shape[0], -1)[:, : graph.width]
        answer = service_pb2.ModelInferResponse(
            model_name=request.model_name,
            model_version=graph.answers_as or request.model_version,
            raw_output_contents=[np.ascontiguousarray(rows).tobytes()],
        )
        answer.outputs.add(name="logits", datatype="FP32", shape=rows.shape)
        if any(output.name == "distance" for output in request.outputs):
            distances = np.abs(rows[:, :1])
            answer.outputs.add(name="distance", datatype="FP32", shape=distances.shape)
            answer.raw_output_contents.append(distances.tobytes())
        if any(output.name == "features" for output in request.outputs):
            answer.outputs.add(name="features", datatype="FP32", shape=rows.shape)
            answer.raw_output_contents.append(np.ascontiguousarray(rows).tobytes())
        for key, value in graph.says.items():
            answer.parameters[key].string_param = value
        return answer

    async def _count(self, call: str, context: Any) -> None:
        self.calls[call] += 1
        await self.holds.wait()
        if self.fails is not None:
            await context.abort(self.fails, "scripted")

    async def _find(self, name: str, version: str, context: Any) -> Graph:
        versions = self.graphs.get(name)
        unknown = f"Request for unknown model: '{name}'"
        if versions is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{unknown} is not found")
        assert versions is not None
        if version not in versions:
            said = f"{unknown} version {version} is not found"
            await context.abort(grpc.StatusCode.NOT_FOUND, said)
        if versions[version].state != READY:
            said = f"{unknown} version {version} is not at ready state"
            await context.abort(grpc.StatusCode.UNAVAILABLE, said)
        return versions[version]


def one_address(tritons: Sequence[ScriptedTriton]) -> str:
    """An address behind which several answer in turn."""
    return "ipv4:" + ",".join(triton.url for triton in tritons)
