"""What the system consists of: the command, the variables and the health of each service."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pellucid.addresses import address
from pellucid.client.connection import Tls
from pellucid.embedded.environment import TritonEnvironment
from pellucid.embedded.errors import MissingPrerequisite
from pellucid.embedded.health import HEALTH_SERVICES, is_healthy, is_serving
from pellucid.embedded.ports import LOOPBACK
from pellucid.embedded.process import Command
from pellucid.embedded.prometheus import prometheus_command
from pellucid.embedded.settings import ServiceName, SystemSettings

_MODULES: Mapping[str, str] = {
    "preprocess": "preprocess_service",
    "explain": "explain_service",
    "gateway": "gateway",
}


@dataclass(frozen=True)
class ServicePlan:
    """One service, ready to be started."""

    name: ServiceName
    command: Command
    url: str
    metrics_url: str
    tls: Tls | None = None
    """How to reach a service that speaks TLS; None for plain text."""
    needs_children: bool = False
    """It does not start its own processes again when they die: then it has to be started again."""
    leftovers: str | None = None
    """Glob of shared memory that a killed process would leave in `/dev/shm`."""

    starts_with: str | None = None
    """Name in `grpc.health.v1` that is waited for too when it starts: the gateway's own health does
    not ask for the explain service, but who starts a system wants explanations."""

    def has_started(self) -> bool:
        """Whether it is ready; blocks for a moment; False also where there is no answer."""
        if not is_healthy(self.name, self.url, self.tls):
            return False
        return self.starts_with is None or is_serving(self.url, self.starts_with, self.tls)


def wanted_ports(settings: SystemSettings) -> dict[str, tuple[str, int]]:
    """Host and port by purpose; port 0 stands for any free one."""
    # Prometheus has its own metrics where it is asked.
    measured = [f"{name}_metrics" for name in settings.services if name != "prometheus"]
    wanted: dict[str, int] = dict.fromkeys([*settings.services, *measured], 0)
    if "gateway" in wanted:
        wanted["gateway"] = settings.gateway_port
    return {
        purpose: (_host(settings, purpose), port)
        for purpose, port in (wanted | settings.ports).items()
    }


def _host(settings: SystemSettings, purpose: str) -> str:
    # The gateway is the only door: whoever reaches Triton may load models into it, that is, code.
    return settings.host if purpose in ("gateway", "gateway_metrics") else LOOPBACK


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
        if name == "prometheus":
            plans.append(_plan_prometheus(settings, ports))
        elif name != "triton":
            plans.append(_plan_python(settings, name, ports))
        elif environment is not None:
            plans.append(_plan_triton(settings, environment, ports))
    return plans


def _plan_triton(
    settings: SystemSettings, environment: TritonEnvironment, ports: Mapping[str, int]
) -> ServicePlan:
    url = address(LOOPBACK, ports["triton"])
    prefix = f"pellucid_{os.getpid()}_{ports['triton']}_"
    arguments = (
        str(environment.binary),
        f"--model-repository={settings.repository.absolute()}",
        f"--backend-directory={environment.backends}",
        "--model-control-mode=explicit",
        # Configurations are complete; completing them would start one more stub a model.
        "--disable-auto-complete-config",
        # One model that does not load must not make the others count as dead.
        "--strict-readiness=false",
        "--allow-http=false",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={ports['triton']}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={ports['triton_metrics']}",
        "--allow-gpu-metrics=false",
        f"--exit-timeout-secs={max(1, int(settings.stop_grace_s) - 2)}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        *([] if settings.traces is None else _trace_arguments(settings.traces)),
    )
    return ServicePlan(
        name="triton",
        command=Command(arguments, environment.variables()),
        url=url,
        metrics_url=f"http://{address(LOOPBACK, ports['triton_metrics'])}/metrics",
        needs_children=True,  # the processes of its backends
        leftovers=f"{prefix}*",
    )


def _trace_arguments(endpoint: str) -> list[str]:
    """For Triton, which goes on with the traces of those who call it."""
    chosen = (
        "mode=opentelemetry",
        f"opentelemetry,url={endpoint}",
        "opentelemetry,resource=service.name=triton",
        "level=TIMESTAMPS",
        "rate=1",
    )
    return [f"--trace-config={one}" for one in chosen]


def _plan_prometheus(settings: SystemSettings, ports: Mapping[str, int]) -> ServicePlan:
    url = address(LOOPBACK, ports["prometheus"])
    targets: dict[str, str] = {
        name: address(_host(settings, f"{name}_metrics"), ports[f"{name}_metrics"])
        for name in settings.services
        if name != "prometheus"
    }
    folder = settings.state_dir.absolute() / "prometheus"
    return ServicePlan(
        name="prometheus",
        command=Command(prometheus_command(url, folder, targets), dict(os.environ)),
        url=url,
        metrics_url=f"http://{url}/metrics",
    )


def _plan_python(
    settings: SystemSettings, name: ServiceName, ports: Mapping[str, int]
) -> ServicePlan:
    url = address(_host(settings, name), ports[name])
    metrics = f"{name}_metrics"
    variables = _variables(settings, name, ports)
    tls = _tls(settings, name, variables)
    with_explain = name == "gateway" and "explain" in settings.services
    explains = f"{HEALTH_SERVICES[name]}/Explain" if with_explain else None
    return ServicePlan(
        name=name,
        command=Command((sys.executable, "-m", _MODULES[name]), variables),
        url=url,
        metrics_url=f"http://{address(_host(settings, metrics), ports[metrics])}/metrics",
        tls=tls,
        starts_with=explains,
    )


def _tls(settings: SystemSettings, name: ServiceName, variables: Mapping[str, str]) -> Tls | None:
    """How to ask a service for its health; a service that speaks TLS is known by its certificate.

    Raises:
        MissingPrerequisite: a file is not there, or the service wants a certificate of ours.
    """
    prefix = f"{_prefix(name)}TLS_"
    for key in ("CERTIFICATE", "KEY", "CLIENT_CA"):
        path = variables.get(prefix + key)
        if path and not Path(path).is_file():
            raise MissingPrerequisite(f"{prefix}{key} names {path}, which is no file")
    certificate = variables.get(f"{prefix}CERTIFICATE")
    if not certificate:
        return None
    tls = settings.tls or Tls(ca=Path(certificate))
    if variables.get(f"{prefix}CLIENT_CA") and tls.certificate is None:
        raise MissingPrerequisite(
            f"{prefix}CLIENT_CA is set: give --cert and --key, with which {name} is asked too"
        )
    return tls


def _prefix(name: ServiceName) -> str:
    """Of the names of a service's variables."""
    return f"PELLUCID_{name.upper()}_"


def _variables(
    settings: SystemSettings, name: ServiceName, ports: Mapping[str, int]
) -> dict[str, str]:
    values = {
        "HOST": _host(settings, name),
        "PORT": str(ports[name]),
        "METRICS_PORT": str(ports[f"{name}_metrics"]),
    }
    if settings.traces is not None:
        values["TRACES_ENDPOINT"] = settings.traces
    peers = {"TRITON_URL": "triton"}
    if name == "gateway":
        peers |= {"PREPROCESS_URL": "preprocess", "EXPLAIN_URL": "explain"}
    if name != "preprocess":
        values |= {
            variable: address(LOOPBACK, ports[peer])
            for variable, peer in peers.items()
            if peer in ports
        }
    if name == "explain":
        values["MODEL_REPOSITORY"] = str(settings.repository.absolute())
    prefixed = {f"{_prefix(name)}{key}": value for key, value in values.items()}
    # Services read their variables in any case: `pellucid_gateway_host` would overrule ours.
    given = {**os.environ, "PYTHONUNBUFFERED": "1", **settings.variables}
    if name == "gateway":
        given = {"PELLUCID_GATEWAY_INDEX_DIR": str(index_dir(settings.state_dir))} | given
    return {k: v for k, v in given.items() if k.upper() not in prefixed} | prefixed


def index_dir(state_dir: Path) -> Path:
    """Where the gateway of a system looks for indices of cases, unless it is told otherwise."""
    return state_dir.absolute() / "indices"


def remove_leftovers(plan: ServicePlan) -> None:
    """Remove the shared memory of a process that is gone."""
    if plan.leftovers:
        for path in Path("/dev/shm").glob(plan.leftovers):
            path.unlink(missing_ok=True)
