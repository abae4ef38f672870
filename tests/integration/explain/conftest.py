"""The whole explain service in this process, in front of the shared Triton."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import InferenceServerClient

from explain_service.__main__ import serve
from explain_service.methods import METHODS, MethodRegistry
from explain_service.settings import ExplainSettings
from pellucid.api.explain.v1 import explain_pb2_grpc
from pellucid.cards import Card
from pellucid.embedded.system import EmbeddedTriton
from tests.integration.explain.networks import KERAS_NETWORK, TORCH_NETWORK, serving
from tests.support.known_models import LinearModel, write_linear

NAME = "pellucid.api.explain.v1.ExplainService"
Serve = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def explain_service(triton: EmbeddedTriton, repository: Path) -> Serve:
    """Starts a service with given methods and settings; clients have gRPC's default limits."""

    @asynccontextmanager
    async def start(registry: MethodRegistry = METHODS, **settings: object) -> AsyncIterator[Any]:
        chosen = ExplainSettings(
            triton_url=triton.triton_url,
            model_repository=repository,
            **settings,  # type: ignore[arg-type]
        )
        async with (
            serve(chosen, registry) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            await _ready(channel)
            yield explain_pb2_grpc.ExplainServiceStub(channel)

    return start


@pytest.fixture
async def stub(
    explain_service: Serve,
) -> AsyncIterator[Any]:
    """A client of a service with the default settings."""
    async with explain_service() as found:
        yield found


@pytest.fixture(scope="session")
def triton_client(triton: EmbeddedTriton) -> InferenceServerClient:
    return InferenceServerClient(triton.triton_url)


@pytest.fixture(scope="session")
def large(
    repository: Path, known: Mapping[str, LinearModel], triton_client: InferenceServerClient
) -> LinearModel:
    """A linear model over 224 by 224 pixels in colour, loaded into the running Triton."""
    card = Card.model_validate(
        {
            **known["linear"].card.model_dump(mode="json", exclude_defaults=True),
            "name": "large",
            "preprocess": {
                "kind": "image",
                "height": 224,
                "width": 224,
                "channels": 3,
                "layout": "CHW",
                "mean": [0.5, 0.5, 0.5],
                "std": [0.25, 0.25, 0.25],
            },
        }
    )
    weights = np.random.default_rng(3).normal(0, 1e-3, (3, 3, 224, 224)).astype(np.float32)
    model = write_linear(repository, card, weights, np.zeros(3, np.float32))
    for name in ("large", "large_masked"):
        triton_client.load_model(name)
    return model


@pytest.fixture(scope="module")
def served_pair(repository: Path, triton_client: InferenceServerClient) -> Iterator[Path]:
    """The repository with the pair of networks in it, loaded into the running Triton."""
    with serving(repository, triton_client, [TORCH_NETWORK, KERAS_NETWORK]):
        yield repository


async def _ready(channel: grpc.aio.Channel) -> None:
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service=NAME), timeout=60
    )
    async for answer in watch:
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            watch.cancel()  # else the server waits for it when it stops
            return
