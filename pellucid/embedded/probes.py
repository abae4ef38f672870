"""Questions to running services: are you ready, what have you loaded."""

from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pellucid.client.connection import Tls

_TIMEOUT_S = 2.0
_LOAD_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class ModelState:
    """One entry of Triton's repository index."""

    name: str
    state: str
    """`READY`, `LOADING`, `UNAVAILABLE`...; empty for a model that was never loaded."""
    reason: str


def is_serving(
    url: str, service: str, tls: Tls | None = None, timeout_s: float = _TIMEOUT_S
) -> bool:
    """Whether `grpc.health.v1` says SERVING; False also when nobody answers."""
    request = health_pb2.HealthCheckRequest(service=service)
    with _open(url, tls) as channel:
        try:
            # The types of this stub leave its methods out.
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(request, timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def is_triton_ready(url: str, timeout_s: float = _TIMEOUT_S) -> bool:
    """Whether Triton takes requests; False also when nobody answers."""
    with grpc.insecure_channel(url, _options()) as channel:
        try:
            answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerReady(
                service_pb2.ServerReadyRequest(), timeout=timeout_s
            )
        except grpc.RpcError:
            return False
    return bool(answer.ready)


def model_states(url: str, timeout_s: float = _TIMEOUT_S) -> tuple[ModelState, ...]:
    """Triton's repository index by name; empty when nobody answers."""
    with grpc.insecure_channel(url, _options()) as channel:
        try:
            answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).RepositoryIndex(
                service_pb2.RepositoryIndexRequest(), timeout=timeout_s
            )
        except grpc.RpcError:
            return ()
    found = (ModelState(m.name, m.state, m.reason) for m in answer.models)
    return tuple(sorted(found, key=lambda model: model.name))


def load_model(
    url: str, name: str, config: str = "", timeout_s: float = _LOAD_TIMEOUT_S
) -> str | None:
    """Load one model.

    Args:
        url: `host:port` of Triton.
        name: of the model.
        config: configuration as JSON, instead of the one in its folder.
        timeout_s: longest wait.

    Returns:
        None, or why it did not load.
    """
    request = service_pb2.RepositoryModelLoadRequest(model_name=name)
    if config:
        request.parameters["config"].string_param = config
    with grpc.insecure_channel(url, _options()) as channel:
        try:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).RepositoryModelLoad(
                request, timeout=timeout_s
            )
        except grpc.RpcError as error:
            return _reason(error)
    return None


def unload_model(url: str, name: str, timeout_s: float = _LOAD_TIMEOUT_S) -> str | None:
    """Unload one model; returns None, or why not."""
    request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
    with grpc.insecure_channel(url, _options()) as channel:
        try:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).RepositoryModelUnload(
                request, timeout=timeout_s
            )
        except grpc.RpcError as error:
            return _reason(error)
    return None


def _reason(error: grpc.RpcError) -> str:
    return str(error.details()) if isinstance(error, grpc.Call) else str(error)


def _open(url: str, tls: Tls | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(url, _options())
    return grpc.secure_channel(url, tls.credentials(), _options())


def _options() -> list[tuple[str, int]]:
    # A channel of its own for every question: a shared one would back off while a service starts.
    return [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
