"""What the system consists of: the command, the variables and the health of each service."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pellucid.client.connection import Tls
from pellucid.embedded.environment import TritonEnvironment
from pellucid.embedded.probes import is_serving, is_triton_ready
from pellucid.embedded.process import Command
from pellucid.embedded.settings import ServiceName, SystemSettings

_MODULES: Mapping[str, str] = {
    "preprocess": "preprocess_service",
    "explain": "explain_service",
    "gateway": "gateway",
}
HEALTH_SERVICES: Mapping[str, str] = {
    "preprocess": "pellucid.api.preprocess.v1.PreprocessService",
    "explain": "pellucid.api.explain.v1.ExplainService",
    "gateway": "pellucid.api.gateway.v1.GatewayService",
}
"""What each service is called in `grpc.health.v1`; Triton has its own health."""


@dataclass(frozen=True)
class ServicePlan:
    """One service, ready to be started."""

    name: ServiceName
    command: Command
    url: str
    metrics_url: str
    is_healthy: Callable[[], bool]
    """Blocks for a moment; False also when nobody answers."""
    tls: Tls | None = None
    """How to reach a service that speaks TLS; None for plain text."""
    leftovers: str | None = None
    """Glob of shared memory that a killed process would leave in `/dev/shm`."""

    @property
    def health_service(self) -> str:
        """Name to ask `grpc.health.v1` for; empty for Triton."""
        return HEALTH_SERVICES.get(self.name, "")


def wanted_ports(settings: SystemSettings) -> dict[str, int]:
    """Ports by purpose; 0 stands for any free one."""
    purposes = []
    for name in settings.services:
        purposes += [name, f"{name}_metrics"]
    if "triton" in settings.services:
        purposes.append("triton_http")
    wanted = dict.fromkeys(purposes, 0)
    if "gateway" in wanted:
        wanted["gateway"] = settings.gateway_port
    return wanted | settings.ports


def plan_services(
    settings: SystemSettings, environment: TritonEnvironment | None, ports: Mapping[str, int]
) -> list[ServicePlan]:
    """Plan every service that the settings name, in the order of the settings.

    Args:
        settings: of the system.
        environment: Triton's; needed only if Triton is among the services.
        ports: every port of `wanted_ports`, resolved.
    """
    plans = []
    for name in settings.services:
        if name != "triton":
            plans.append(_plan_python(settings, name, ports))
        elif environment is not None:
            plans.append(_plan_triton(settings, environment, ports))
    return plans


def _plan_triton(
    settings: SystemSettings, environment: TritonEnvironment, ports: Mapping[str, int]
) -> ServicePlan:
    url = f"{settings.host}:{ports['triton']}"
    prefix = f"pellucid_{os.getpid()}_{ports['triton']}_"
    arguments = (
        str(environment.binary),
        f"--model-repository={settings.repository.absolute()}",
        f"--backend-directory={environment.backends}",
        "--model-control-mode=explicit",
        # Configurations are complete; completing them would start one more stub a model.
        "--disable-auto-complete-config",
        # One model that does not load must not make the others look dead.
        "--strict-readiness=false",
        f"--grpc-address={settings.host}",
        f"--grpc-port={ports['triton']}",
        f"--http-address={settings.host}",
        f"--http-port={ports['triton_http']}",
        f"--metrics-address={settings.host}",
        f"--metrics-port={ports['triton_metrics']}",
        "--allow-gpu-metrics=false",
        f"--exit-timeout-secs={max(1, int(settings.stop_grace_s) - 2)}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
    )
    return ServicePlan(
        name="triton",
        command=Command(arguments, environment.variables()),
        url=url,
        metrics_url=f"http://{settings.host}:{ports['triton_metrics']}/metrics",
        is_healthy=lambda: is_triton_ready(url),
        leftovers=f"{prefix}*",
    )


def _plan_python(
    settings: SystemSettings, name: ServiceName, ports: Mapping[str, int]
) -> ServicePlan:
    url = f"{settings.host}:{ports[name]}"
    variables = _variables(settings, name, ports)
    encrypted = variables.get(f"{name.upper()}_TLS_CERTIFICATE")
    tls = (settings.tls or Tls()) if encrypted else None
    return ServicePlan(
        name=name,
        command=Command((sys.executable, "-m", _MODULES[name]), variables),
        url=url,
        metrics_url=f"http://{settings.host}:{ports[f'{name}_metrics']}/metrics",
        is_healthy=lambda: is_serving(url, HEALTH_SERVICES[name], tls),
        tls=tls,
    )


def _variables(
    settings: SystemSettings, name: ServiceName, ports: Mapping[str, int]
) -> dict[str, str]:
    values = {
        "HOST": settings.host,
        "PORT": str(ports[name]),
        "METRICS_PORT": str(ports[f"{name}_metrics"]),
    }
    peers = {"TRITON_URL": "triton"}
    if name == "gateway":
        peers |= {"PREPROCESS_URL": "preprocess", "EXPLAIN_URL": "explain"}
    if name != "preprocess":
        values |= {
            variable: f"{settings.host}:{ports[peer]}"
            for variable, peer in peers.items()
            if peer in ports
        }
    if name == "explain":
        values["MODEL_REPOSITORY"] = str(settings.repository.absolute())
    prefixed = {f"{name.upper()}_{key}": value for key, value in values.items()}
    return {**os.environ, "PYTHONUNBUFFERED": "1", **settings.variables, **prefixed}


def remove_leftovers(plan: ServicePlan) -> None:
    """Remove the shared memory of a process that is gone."""
    if plan.leftovers:
        for path in Path("/dev/shm").glob(plan.leftovers):
            path.unlink(missing_ok=True)
