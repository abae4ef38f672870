"""Questions to an explain service, and its streams sorted by kind of message."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest

from pellucid import tensors
from pellucid.api.explain.v1 import explain_pb2 as pb
from pellucid.api.explain.v1 import explanation_pb2
from pellucid.api.explain.v1.methods_pb2 import (
    ExplainOptions,
    GradCam,
    Grid,
    IntegratedGradients,
    KernelShap,
    Lime,
    Method,
    Occlusion,
    PartitionShap,
    Segmentation,
)
from pellucid.errors import PellucidError
from pellucid.status import from_rpc_error
from tests.integration.explain.networks import Network
from tests.models import LinearModel

GRID = Segmentation(grid=Grid(rows=4, columns=4))
METHODS = (
    Method(lime=Lime(samples=200, ridge=0)),
    Method(kernel_shap=KernelShap(samples=200)),
    Method(partition_shap=PartitionShap(evaluations=300)),
    Method(occlusion=Occlusion()),
)
GRADIENTS = (
    Method(grad_cam=GradCam()),
    Method(integrated_gradients=IntegratedGradients(steps=20)),
)
Stub = Any
Floats = np.typing.NDArray[np.float32]


@dataclass
class Answer:
    """A stream, sorted by kind of message."""

    kinds: list[str] = field(default_factory=list)
    targets: pb.ResolvedTargets = field(default_factory=pb.ResolvedTargets)
    progress: list[explanation_pb2.Progress] = field(default_factory=list)
    partials: list[explanation_pb2.Explanation] = field(default_factory=list)
    explanations: list[explanation_pb2.Explanation] = field(default_factory=list)
    comparison: explanation_pb2.Comparison = field(default_factory=explanation_pb2.Comparison)

    @property
    def maps(self) -> list[Floats]:
        return [tensors.decode(found.map, "map") for found in self.explanations]


def request(
    model: LinearModel | Network, image: Floats, methods: Sequence[Method] = METHODS, **options: Any
) -> pb.ExplainRequest:
    options.setdefault("segmentation", GRID)
    return pb.ExplainRequest(
        model=model.card.name,
        input=tensors.encode(image),
        methods=methods,
        options=ExplainOptions(**options),
    )


async def explain(stub: Stub, asked: pb.ExplainRequest, timeout: float = 60) -> Answer:
    answer = Answer()
    async for message in stub.Explain(asked, timeout=timeout):
        kind = message.WhichOneof("event")
        answer.kinds.append(kind)
        match kind:
            case "targets":
                answer.targets = message.targets
            case "progress":
                answer.progress.append(message.progress)
            case "partial":
                answer.partials.append(message.partial)
            case "explanation":
                answer.explanations.append(message.explanation)
            case "comparison":
                answer.comparison = message.comparison
    return answer


async def refused(stub: Stub, asked: pb.ExplainRequest) -> PellucidError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await explain(stub, asked)
    error = from_rpc_error(caught.value, "explain service")
    assert error is not None
    return error


def picture(model: LinearModel | Network, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random(model.card.preprocess.shape, np.float32)
