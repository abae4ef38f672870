"""Whether running services are ready."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.request import ProxyHandler, build_opener

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pellucid.client.connection import Tls

HEALTH_SERVICES: Mapping[str, str] = {
    "preprocess": "pellucid.api.preprocess.v1.PreprocessService",
    "explain": "pellucid.api.explain.v1.ExplainService",
    "gateway": "pellucid.api.gateway.v1.GatewayService",
}
"""What each service is called in `grpc.health.v1`; Triton and Prometheus have their own health."""
_TIMEOUT_S = 2.0


def is_healthy(name: str, url: str, tls: Tls | None = None) -> bool:
    """Whether a service, of whatever kind, is ready; blocks for a moment.

    Args:
        name: of the service, as in `settings.ServiceName`.
        url: `host:port`.
        tls: how to reach it where it speaks TLS.
    """
    if name == "triton":
        return is_triton_ready(url)
    if name == "prometheus":
        return _is_page_there(f"http://{url}/-/ready")
    return is_serving(url, HEALTH_SERVICES[name], tls)


def is_serving(
    url: str, service: str, tls: Tls | None = None, timeout_s: float = _TIMEOUT_S
) -> bool:
    """Whether `grpc.health.v1` says SERVING; False also where there is no answer."""
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
    """Whether Triton takes requests; False also where there is no answer."""
    with _open(url) as channel:
        try:
            answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerReady(
                service_pb2.ServerReadyRequest(), timeout=timeout_s
            )
        except grpc.RpcError:
            return False
    return bool(answer.ready)


def _is_page_there(url: str, timeout_s: float = _TIMEOUT_S) -> bool:
    """Whether an HTTP server of this machine answers with 200; False also where there is none."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=timeout_s) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _open(url: str, tls: Tls | None = None) -> grpc.Channel:
    # A channel of its own for every check: a shared one would back off while a service starts.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if tls is None:
        return grpc.insecure_channel(url, options)
    return grpc.secure_channel(url, tls.credentials(), options)
