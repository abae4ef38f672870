"""A client of an explain service, which sorts its streams by kind of message."""

from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest

from pellucid import tensors
from pellucid.api.explain.v1 import explain_pb2 as pb
from pellucid.api.explain.v1 import explanation_pb2
from pellucid.errors import PellucidError
from pellucid.status import from_rpc_error

Stub = Any
Floats = np.typing.NDArray[np.float32]


@dataclass
class Answer:
    """A stream, sorted by kind of message."""

    kinds: list[str] = field(default_factory=list)
    accepted: pb.Accepted = field(default_factory=pb.Accepted)
    targets: explanation_pb2.ResolvedTargets = field(
        default_factory=explanation_pb2.ResolvedTargets
    )
    progress: list[explanation_pb2.Progress] = field(default_factory=list)
    partials: list[explanation_pb2.Explanation] = field(default_factory=list)
    explanations: list[explanation_pb2.Explanation] = field(default_factory=list)
    failures: list[explanation_pb2.MethodFailure] = field(default_factory=list)
    comparison: explanation_pb2.Comparison = field(default_factory=explanation_pb2.Comparison)

    @property
    def maps(self) -> list[Floats]:
        return [tensors.decode(found.map, "map") for found in self.explanations]

    def take(self, message: pb.ExplainResponse) -> None:
        """Sort in one message."""
        kind = message.WhichOneof("event")
        assert kind is not None
        self.kinds.append(kind)
        found = getattr(message, kind)
        match kind:
            case "progress":
                self.progress.append(found)
            case "partial":
                self.partials.append(found)
            case "explanation":
                self.explanations.append(found)
            case "failure":
                self.failures.append(found)
            case _:
                setattr(self, kind, found)


async def explain(stub: Stub, asked: pb.ExplainRequest, timeout: float = 60) -> Answer:
    answer = Answer()
    async for message in stub.Explain(asked, timeout=timeout):
        answer.take(message)
    return answer


async def explain_until_error(stub: Stub, asked: pb.ExplainRequest) -> tuple[Answer, PellucidError]:
    """What comes of a stream that ends with an error, and that error."""
    answer = Answer()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for message in stub.Explain(asked, timeout=60):
            answer.take(message)
    error = from_rpc_error(caught.value, "explain service")
    assert error is not None
    return answer, error


async def refused(stub: Stub, asked: pb.ExplainRequest) -> PellucidError:
    """The error of a request that is refused before anything else is said."""
    answer, error = await explain_until_error(stub, asked)
    assert not answer.kinds
    return error


def measure(found: explanation_pb2.Explanation, name: str) -> float:
    """The measure of this name, which there has to be."""
    return {measure.name: measure.value for measure in found.trust.measures}[name]
