"""Whether what KEDA scales is there, by metrics that there are, and no faster than work ends."""

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Final

from prometheus_client import REGISTRY

from deploy.dashboards.definitions import DASHBOARDS
from explain_service.settings import ExplainSettings
from tests.support.manifests import Document, of_kind, setting, triton_option

_SUFFIXES: Final = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count")}


def known_metrics() -> set[str]:
    """The series that the services have, and those of Triton that the dashboards show.

    A live system answers the dashboards' queries in `system/test_watching.py`.
    """
    for package in ("explain_service", "gateway", "pellucid.serving", "preprocess_service"):
        import_module(f"{package}.metrics")  # which adds its own to the registry
    known = {
        family.name + suffix
        for family in REGISTRY.collect()
        for suffix in _SUFFIXES.get(family.type, ())
    }
    queries = [
        query for page in DASHBOARDS for panel in page.panels for query in panel.queries.values()
    ]
    return known | set(re.findall(r"\bnv_\w+", " ".join(queries)))


def queries(documents: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """Each ScaledObject's name, and the query by which it scales."""
    for name, one in of_kind(documents, "ScaledObject").items():
        for trigger in one["spec"]["triggers"]:
            yield name, trigger["metadata"]["query"]


def scaling_problems(documents: Sequence[Document]) -> Iterator[str]:
    """What does not fit."""
    for name, query in queries(documents):
        named = set(re.findall(r"\b(?:pellucid|grpc|nv)_\w+", query))
        for metric in sorted(named - known_metrics()):
            yield f"{name}: is scaled by {metric}, which there is not"
        (namespace,) = of_kind(documents, "Namespace")
        if query.count(f'{{namespace="{namespace}"}}') != query.count("{"):
            yield f"{name}: is scaled by what another namespace does"
    for name, one in of_kind(documents, "ScaledObject").items():
        yield from _target(documents, name, one["spec"])


def _target(documents: Sequence[Document], name: str, spec: Any) -> Iterator[str]:
    deployments = of_kind(documents, "Deployment")
    target = spec["scaleTargetRef"]["name"]
    if target not in deployments:
        yield f"{name}: scales {target}, which there is not"
        return
    if "replicas" in deployments[target]["spec"]:
        yield f"{target}: has a number of pods of its own, beside the autoscaler's"
    if not 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]:
        yield f"{name}: scales from {spec['minReplicaCount']} to {spec['maxReplicaCount']}"
    behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    longest = float(setting(documents, "explain", "MAX_DEADLINE_S") or _default("max_deadline_s"))
    waits = behaviour["scaleDown"]["stabilizationWindowSeconds"]
    if waits < longest:
        yield f"{name}: ends a pod after {waits} s, explanations take up to {longest}"
    for trigger in spec["triggers"]:
        if trigger["metadata"].get("ignoreNullValues") != "false":
            yield f"{name}: takes missing data for idleness"
        workers = float(setting(documents, "explain", "WORKERS") or _default("workers"))
        if name == "explain" and float(trigger["metadata"]["threshold"]) != workers:
            yield f"{name}: computes {workers} at once, is scaled as if it were another number"
    if target == "triton":
        grace = float(triton_option(documents, "grpc-max-connection-age-grace") or 0) / 1000
        timeout = _default("triton_call_timeout_s")
        if not triton_option(documents, "grpc-max-connection-age") or grace < timeout:
            yield "triton: clients do not find its new pods, or lose calls to the old"


def _default(name: str) -> float:
    return float(ExplainSettings.model_fields[name].default)
