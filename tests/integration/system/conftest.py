"""One whole system for all tests of this folder: Triton and the three services, for real."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.system import EmbeddedSystem
from tests.support.known_models import binary_model, planted_patch_model, planted_tone_model
from tests.support.trace_collector import TraceCollector, collecting


@pytest.fixture(scope="session")
def system_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model repository of the system."""
    return tmp_path_factory.mktemp("system_repository")


@pytest.fixture(scope="session")
def system_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State folder of the system."""
    return tmp_path_factory.mktemp("system_state")


@pytest.fixture(scope="session")
def traces() -> Iterator[TraceCollector]:
    """Where the system sends its traces."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def system(
    system_repository: Path, system_state: Path, traces: TraceCollector
) -> Iterator[EmbeddedSystem]:
    """A system that serves a picture, a sound and a single-logit model."""
    for make in (planted_patch_model, planted_tone_model, binary_model):
        make(system_repository)
    settings = SystemSettings(
        repository=system_repository,
        state_dir=system_state,
        gateway_port=0,
        traces=traces.endpoint,
    )
    with EmbeddedSystem(settings) as running:
        yield running


@pytest.fixture(scope="session")
def gateway(system: EmbeddedSystem) -> Iterator[Any]:
    """A stub of the system's gateway, with gRPC's own limits."""
    with grpc.insecure_channel(system.gateway_url) as channel:
        yield gateway_pb2_grpc.GatewayServiceStub(channel)
