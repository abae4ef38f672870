"""What is wrong with a cluster's manifests, by what the services' code says."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from pellucid.embedded.health import HEALTH_SERVICES
from tests.support import envoy_configuration
from tests.support.manifest_calls import call_problems, stores
from tests.support.manifest_scaling import scaling_problems
from tests.support.manifest_tls import tls_problems
from tests.support.manifests import (
    NAME,
    SETTINGS,
    Document,
    container,
    environment,
    of_kind,
    pod,
    ports,
    setting,
    settings_map,
    triton_option,
)

_VOLUMES: Final = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}
"""Kinds that the restricted Pod Security Standard allows, of those that are used."""
_PROCESS_BYTES: Final = 300 << 20
"""Of a service that does nothing; measured (docs/operations.md)."""
_EVERYWHERE: Final = {"Namespace", "PriorityClass"}
"""Kinds that are in no namespace."""


def problems(documents: Sequence[Document]) -> list[str]:
    """Everything that does not fit, in words; empty where all does."""
    return [
        *_namespaces(documents),
        *_settings(documents),
        *_ports(documents),
        *_probes(documents),
        *_security(documents),
        *_lifetimes(documents),
        *_memory(documents),
        *call_problems(documents),
        *tls_problems(documents),
        *scaling_problems(documents),
        *envoy_configuration.problems(documents),
    ]


def problems_after(
    mutate: Callable[[list[Document]], Any], documents: Sequence[Document]
) -> list[str]:
    """Everything that does not fit once a copy of the documents was changed."""
    mutated = copy.deepcopy(list(documents))
    mutate(mutated)
    return problems(mutated)


def _namespaces(documents: Sequence[Document]) -> Iterator[str]:
    (namespace,) = of_kind(documents, "Namespace")
    for one in documents:
        found = one["metadata"].get("namespace")
        if one["kind"] not in _EVERYWHERE and found != namespace:
            yield f"{one['kind']} {one['metadata']['name']}: is in the namespace {found}"


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
        own = container(documents, service)
        name = settings_map(documents, service)["metadata"]["name"]
        if {"configMapRef": {"name": name}} not in own.get("envFrom", []):
            yield f"{service}: does not read its ConfigMap"
        for variable in own.get("env", []):
            if variable["name"].startswith("PELLUCID_") and variable["name"] not in known:
                yield f"{service}: there is no setting {variable['name']}"


def _ports(documents: Sequence[Document]) -> Iterator[str]:
    services = of_kind(documents, "Service")
    for name in of_kind(documents, "Deployment"):
        wanted, declared = _wanted_ports(documents, name), ports(documents, name)
        if declared != wanted:
            yield f"{name}: listens on {wanted}, declares {declared}"
        service = services[name]["spec"]
        if service["selector"].get(NAME) != name:
            yield f"{name}: its Service selects {service['selector']}"
        public = name == "edge"
        if not public and service.get("clusterIP") != "None":
            yield f"{name}: its Service is not headless"
        for port in service["ports"]:
            if port["targetPort"] not in declared:
                yield f"{name}: its Service leads to the port {port['targetPort']}"
            elif public:
                if port["targetPort"] != "grpc":
                    yield f"{name}: its Service leads the public to {port['targetPort']}"
            elif declared[port["targetPort"]] != port["port"]:
                yield f"{name}: its Service has {port['port']} for {declared[port['targetPort']]}"


def _wanted_ports(documents: Sequence[Document], name: str) -> dict[str, int]:
    if name == "edge":
        return envoy_configuration.listening(documents)
    if name == "redis":
        (port,) = [port for host, port in stores(documents) if host == name]
        return {"redis": port}
    if name in SETTINGS:
        names = {"grpc": "PORT", "health": "HEALTH_PORT", "metrics": "METRICS_PORT"}
        return {port: int(setting(documents, name, key) or 0) for port, key in names.items()}
    options = {"grpc": "grpc-port", "metrics": "metrics-port"}
    if triton_option(documents, "allow-http") == "true":
        options["http"] = "http-port"
    return {port: int(triton_option(documents, key) or 0) for port, key in options.items()}


def _probes(documents: Sequence[Document]) -> Iterator[str]:
    for name in of_kind(documents, "Deployment"):
        for kind, wanted in _wanted_probes(documents, name).items():
            found = container(documents, name).get(kind, {})
            asked = {
                way: found[way] for way in ("grpc", "httpGet", "tcpSocket", "exec") if way in found
            }
            if not asked:
                yield f"{name}: has no {kind}"
            elif asked != wanted:
                yield f"{name}: its {kind} asks for {asked}, not {wanted}"


def _wanted_probes(documents: Sequence[Document], name: str) -> dict[str, Document]:
    wanted = _wanted_ports(documents, name)
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    if name in SETTINGS:
        listens = {"grpc": {"port": wanted["health"]}}
        ready = {"grpc": listens["grpc"] | {"service": HEALTH_SERVICES[name]}}
        return dict.fromkeys(kinds, listens) | {"readinessProbe": ready}
    if name == "redis":
        return {kind: {"tcpSocket": {"port": wanted["redis"]}} for kind in kinds}
    if name == "triton" and "http" not in wanted:
        return {kind: {"grpc": {"port": wanted["grpc"]}} for kind in kinds}
    prefix, port = ("/v2/health", wanted["http"]) if name == "triton" else ("", wanted["health"])
    asked = {kind: f"{prefix}/ready" for kind in kinds} | {"livenessProbe": f"{prefix}/live"}
    return {kind: {"httpGet": {"path": path, "port": port}} for kind, path in asked.items()}


def _security(documents: Sequence[Document]) -> Iterator[str]:
    """What the restricted Pod Security Standard wants, and a little more."""
    for name in of_kind(documents, "Deployment"):
        own = pod(documents, name)
        security = own.get("securityContext", {})
        if not security.get("runAsNonRoot") or not security.get("runAsUser"):
            yield f"{name}: may run as root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: has no seccomp profile"
        if own.get("automountServiceAccountToken") is not False:
            yield f"{name}: gets a token of the API server"
        if own.get("enableServiceLinks") is not False:
            yield f"{name}: gets variables for every Service"
        if own.get("serviceAccountName") not in of_kind(documents, "ServiceAccount"):
            yield f"{name}: its ServiceAccount is not there"
        if own.get("priorityClassName") not in of_kind(documents, "PriorityClass"):
            yield f"{name}: its PriorityClass is not there"
        for volume in own.get("volumes", []):
            if not _VOLUMES & set(volume):
                yield f"{name}: the volume {volume['name']} is of no allowed kind"
        for one in (*own.get("initContainers", []), *own["containers"]):
            yield from _container_security(one, f"{name}/{one['name']}")


def _container_security(one: Document, where: str) -> Iterator[str]:
    own = one.get("securityContext", {})
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: may gain privileges"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{where}: keeps capabilities"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{where}: may write into its image"
    if own.get("privileged") or own.get("runAsUser") == 0:
        yield f"{where}: is privileged"
    resources = one.get("resources", {})
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    if not {"cpu", "memory"} <= set(requests):
        yield f"{where}: requests no cpu or memory"
    if "memory" not in limits:
        yield f"{where}: has no limit of memory"
    if requests.get("nvidia.com/gpu") != limits.get("nvidia.com/gpu"):
        yield f"{where}: requests other GPUs than its limit"


def _lifetimes(documents: Sequence[Document]) -> Iterator[str]:
    budgets = of_kind(documents, "PodDisruptionBudget")
    for name in of_kind(documents, "Deployment"):
        if name not in budgets:
            yield f"{name}: has no PodDisruptionBudget"
        if not pod(documents, name).get("topologySpreadConstraints"):
            yield f"{name}: its pods may all be on one machine"
        granted = pod(documents, name)["terminationGracePeriodSeconds"]
        needed = _needed_to_end(documents, name)
        if granted <= needed:
            yield f"{name}: is killed after {granted} s, needs {needed}"


def _memory(documents: Sequence[Document]) -> Iterator[str]:
    """Whether limits hold what the settings allow: each message with two copies on its way."""
    for service, needed in (
        ("gateway", _value(documents, "gateway", "max_concurrent_rpcs") * 2 * _request(documents)),
        (
            "preprocess",
            _value(documents, "preprocess", "workers")
            * _value(documents, "preprocess", "decode_memory_bytes")
            + _value(documents, "preprocess", "max_waiting")
            * _value(documents, "preprocess", "max_content_bytes"),
        ),
    ):
        limit = container(documents, service)["resources"]["limits"]["memory"]
        if int(limit.removesuffix("Gi")) << 30 < needed + _PROCESS_BYTES:
            yield f"{service}: may need {needed + _PROCESS_BYTES:.0f} bytes, is limited to {limit}"


def _request(documents: Sequence[Document]) -> float:
    return _value(documents, "gateway", "max_request_bytes")


def _value(documents: Sequence[Document], service: str, name: str) -> float:
    """A number among a service's settings, as its ConfigMap or its default has it."""
    given = setting(documents, service, name.upper())
    return float(SETTINGS[service].model_fields[name].default if given is None else given)


def _needed_to_end(documents: Sequence[Document], name: str) -> float:
    if name == "redis":
        return 0
    if name == "edge":
        return float(container(documents, name)["lifecycle"]["preStop"]["sleep"]["seconds"])
    if name == "triton":
        return float(triton_option(documents, "exit-timeout-secs") or 0)
    return sum(float(setting(documents, name, key) or 0) for key in ("DRAIN_S", "GRACE_S"))
