"""The manifests fit the services, the schemas of Kubernetes and the restricted Pod Security."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.manifests import ROOT, Document, build, kustomize, of_kind, problems

OVERLAYS = sorted(
    path.parent for path in (ROOT / "deploy/k8s/overlays").glob("*/kustomization.yaml")
)
VERSIONS = ("1.37", "1.34")
"""The current Kubernetes, and the oldest that is supported."""

PARTS = ("overlays/cpu", "components/monitoring")

pytestmark = pytest.mark.skipif(
    kustomize() is None, reason="there is no kustomize: `make tools` installs it"
)


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda path: path.name)
def documents(request: pytest.FixtureRequest) -> list[Document]:
    return build(request.param)


def test_nothing_is_wrong_with_an_overlay(documents: list[Document]) -> None:
    assert problems(documents) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid(documents: list[Document], version: str) -> None:
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_predictions_go_before_explanations_and_those_before_the_bulk(
    documents: list[Document],
) -> None:
    values = {name: one["value"] for name, one in of_kind(documents, "PriorityClass").items()}
    ranked = sorted(values, key=lambda name: -values[name])
    assert ranked == ["pellucid-predict", "pellucid-explain", "pellucid-bulk"]


def test_the_namespace_enforces_restricted_pods(documents: list[Document]) -> None:
    labels = of_kind(documents, "Namespace")["pellucid"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_prometheus_is_let_to_the_metrics_of_every_pod(tmp_path: Path) -> None:
    # Kustomize wants relative paths.
    places = {
        name: os.path.relpath(ROOT / "deploy/k8s" / name, tmp_path.resolve()) for name in PARTS
    }
    overlay = {"resources": [places["overlays/cpu"]], "components": [places[PARTS[1]]]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    documents = build(tmp_path)
    assert problems(documents) == []
    (scraped,) = of_kind(documents, "PodMonitor").values()
    (endpoint,) = scraped["spec"]["podMetricsEndpoints"]
    (rule,) = policy(documents, "metrics")["ingress"]
    allowed = {port["port"] for port in rule["ports"]}
    deployments = of_kind(documents, "Deployment")
    for part in (scraped["spec"]["selector"], policy(documents, "metrics")["podSelector"]):
        (expression,) = part["matchExpressions"]
        assert set(expression["values"]) == set(deployments)
    for name in deployments:
        ports = {port["name"]: port for port in pod(documents, name)["containers"][0]["ports"]}
        assert ports[endpoint["port"]]["containerPort"] in allowed


def pod(documents: list[Document], name: str) -> Any:
    return of_kind(documents, "Deployment")[name]["spec"]["template"]["spec"]


def data(documents: list[Document], name: str) -> Any:
    return of_kind(documents, "ConfigMap")[name]["data"]


def policy(documents: list[Document], name: str) -> Any:
    return of_kind(documents, "NetworkPolicy")[name]["spec"]


MUTATIONS: dict[str, tuple[Callable[[list[Document]], Any], str]] = {
    "a dropped probe": (
        lambda d: pod(d, "explain")["containers"][0].pop("readinessProbe"),
        "no readinessProbe",
    ),
    "a probe of another service": (
        lambda d: pod(d, "explain")["containers"][0]["startupProbe"]["grpc"].update(service="x"),
        "startupProbe asks for 'x'",
    ),
    "liveness by what is behind": (
        lambda d: pod(d, "gateway")["containers"][0]["livenessProbe"]["grpc"].update(
            service="pellucid.api.gateway.v1.GatewayService"
        ),
        "livenessProbe asks for",
    ),
    "a root user": (
        lambda d: pod(d, "triton")["securityContext"].update(runAsUser=0),
        "may run as root",
    ),
    "a privileged init container": (
        lambda d: pod(d, "triton")["initContainers"][0]["securityContext"].pop("capabilities"),
        "triton/models: keeps capabilities",
    ),
    "a writable root": (
        lambda d: pod(d, "preprocess")["containers"][0]["securityContext"].update(
            readOnlyRootFilesystem=False
        ),
        "may write into its image",
    ),
    "a host path": (
        lambda d: pod(d, "triton")["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "no allowed kind",
    ),
    "a wrong port of a Service": (
        lambda d: of_kind(d, "Service")["explain"]["spec"]["ports"][0].update(port=50054),
        "has 50054 for 50053",
    ),
    "a wrong port of a container": (
        lambda d: pod(d, "gateway")["containers"][0]["ports"][0].update(containerPort=1),
        "declares",
    ),
    "a balanced address": (
        lambda d: of_kind(d, "Service")["explain"]["spec"].pop("clusterIP"),
        "not headless",
    ),
    "a misspelt setting": (
        lambda d: data(d, "gateway").update(PELLUCID_GATEWAY_TRITON_URI="x"),
        "no setting PELLUCID_GATEWAY_TRITON_URI",
    ),
    "a setting out of range": (
        lambda d: data(d, "explain").update(PELLUCID_EXPLAIN_PORT="70000"),
        "less than or equal to 65535",
    ),
    "service links": (
        lambda d: pod(d, "gateway").pop("enableServiceLinks"),
        "variables for every Service",
    ),
    "a token": (
        lambda d: pod(d, "gateway").pop("automountServiceAccountToken"),
        "token of the API server",
    ),
    "no limit of memory": (
        lambda d: pod(d, "explain")["containers"][0]["resources"].pop("limits"),
        "no limit of memory",
    ),
    "a grace that is too short": (
        lambda d: pod(d, "explain").update(terminationGracePeriodSeconds=30),
        "is killed after 30 s",
    ),
    "a missing way out": (
        lambda d: policy(d, "gateway")["egress"].pop(),
        "which may not leave",
    ),
    "a missing way in": (
        lambda d: policy(d, "triton")["ingress"].pop(0),
        "which may not enter",
    ),
    "a way that nobody needs": (
        lambda d: policy(d, "preprocess")["egress"].append(
            {
                "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "triton"}}}],
                "ports": [{"port": 8001}],
            }
        ),
        "which nobody calls",
    ),
    "no denial": (
        lambda d: policy(d, "default-deny").update(policyTypes=["Ingress"]),
        "is not denied",
    ),
    "no budget": (
        lambda d: d.remove(of_kind(d, "PodDisruptionBudget")["explain"]),
        "no PodDisruptionBudget",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str) -> None:
    mutate, says = MUTATIONS[name]
    documents = copy.deepcopy(build(OVERLAYS[0]))
    mutate(documents)
    found = problems(documents)
    assert any(says in one for one in found), found
