"""What a mistake in the manifests of the services looks like, and that each is noticed."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.manifest_problems import problems_after
from tests.support.manifests import (
    Document,
    container,
    environment,
    kustomize,
    of_kind,
    pod,
    policy,
)

pytestmark = pytest.mark.skipif(
    kustomize() is None, reason="there is no kustomize: `make tools` installs it"
)

MUTATIONS: dict[str, tuple[Callable[[list[Document]], Any], str]] = {
    "less memory than waiting files may take": (
        lambda d: container(d, "preprocess")["resources"]["limits"].update(memory="2Gi"),
        "preprocess: may need",
    ),
    "more calls than memory": (
        lambda d: environment(d, "gateway").update(PELLUCID_GATEWAY_MAX_CONCURRENT_RPCS="64"),
        "gateway: may need",
    ),
    "a dropped probe": (
        lambda d: container(d, "explain").pop("readinessProbe"),
        "no readinessProbe",
    ),
    "a probe of another service": (
        lambda d: container(d, "explain")["startupProbe"]["grpc"].update(service="x"),
        "startupProbe asks for",
    ),
    "liveness by what is behind": (
        lambda d: container(d, "gateway")["livenessProbe"]["grpc"].update(
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
        lambda d: container(d, "preprocess")["securityContext"].update(
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
        lambda d: container(d, "gateway")["ports"][0].update(containerPort=1),
        "declares",
    ),
    "a balanced address": (
        lambda d: of_kind(d, "Service")["explain"]["spec"].pop("clusterIP"),
        "not headless",
    ),
    "another namespace": (
        lambda d: of_kind(d, "Service")["explain"]["metadata"].pop("namespace"),
        "in the namespace None",
    ),
    "a misspelt setting": (
        lambda d: environment(d, "gateway").update(PELLUCID_GATEWAY_TRITON_URI="x"),
        "no setting PELLUCID_GATEWAY_TRITON_URI",
    ),
    "a setting out of range": (
        lambda d: environment(d, "explain").update(PELLUCID_EXPLAIN_PORT="70000"),
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
        lambda d: container(d, "explain")["resources"].pop("limits"),
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
    "a label that the pods of the cluster's DNS lack": (
        lambda d: policy(d, "dns")["egress"][0]["to"][0]["podSelector"]["matchLabels"].update(
            {"app.kubernetes.io/part-of": "pellucid"}
        ),
        "gateway calls dns:53, which may not leave",
    ),
    "a label that clients lack": (
        lambda d: policy(d, "gateway")["ingress"][0]["from"][0]["podSelector"][
            "matchLabels"
        ].update({"app.kubernetes.io/part-of": "pellucid"}),
        "client calls gateway:50050, which may not enter",
    ),
    "a way in for everybody": (
        lambda d: policy(d, "gateway")["ingress"][0]["from"][0].pop("podSelector"),
        "stranger may enter to gateway:50050",
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
def test_a_mutation_is_noticed(everything: list[Document], name: str) -> None:
    mutate, says = MUTATIONS[name]
    found = problems_after(mutate, everything)
    assert any(says in one for one in found), found
