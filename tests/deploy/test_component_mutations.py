"""What a mistake in the manifests of the components looks like, and that each is noticed."""

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


def triton_args(documents: list[Document]) -> list[str]:
    found: list[str] = container(documents, "triton")["args"]
    return found


def scaled(documents: list[Document], name: str) -> Any:
    return of_kind(documents, "ScaledObject")[name]["spec"]


def certificate(documents: list[Document], name: str) -> Any:
    return of_kind(documents, "Certificate")[name]["spec"]


def secret(documents: list[Document], name: str) -> Any:
    """The Secret with a service's certificate, as its pod has it."""
    (found,) = [one["secret"] for one in pod(documents, name)["volumes"] if one["name"] == "tls"]
    return found


def mount(documents: list[Document], name: str) -> Any:
    """Where one of Envoy's files is mounted."""
    mounts = container(documents, "edge")["volumeMounts"]
    (found,) = [one for one in mounts if one["mountPath"] == f"/etc/envoy/{name}"]
    return found


def in_file(name: str, old: str, new: str) -> Callable[[list[Document]], None]:
    """Replace the first of a text in one of Envoy's files."""

    def mutate(documents: list[Document]) -> None:
        maps = of_kind(documents, "ConfigMap")
        (found,) = [one["data"] for key, one in maps.items() if key.startswith("edge")]
        assert old in found[name]
        found[name] = found[name].replace(old, new, 1)

    return mutate


def replace_argument(documents: list[Document], old: str, new: str) -> None:
    args = triton_args(documents)
    place = next(number for number, one in enumerate(args) if old in one)
    args[place] = args[place].replace(old, new)


MUTATIONS: dict[str, tuple[Callable[[list[Document]], Any], str]] = {
    "another collector for Triton's traces": (
        lambda d: replace_argument(d, "otel-collector", "another"),
        "traces are sent to several collectors",
    ),
    "a collector that nobody may call": (
        lambda d: policy(d, "traces")["egress"].clear(),
        "gateway calls collector:4318, which may not leave",
    ),
    "quotas that are counted at another port": (
        lambda d: environment(d, "gateway").update(
            PELLUCID_GATEWAY_QUOTA_STORE="redis://redis:6380"
        ),
        "redis: listens on",
    ),
    "a quota that cannot be read": (
        lambda d: environment(d, "gateway").update(PELLUCID_GATEWAY_QUOTA="many"),
        "is no quota",
    ),
    "another limit of GPUs than what is requested": (
        lambda d: container(d, "triton")["resources"]["requests"].pop("nvidia.com/gpu"),
        "requests other GPUs",
    ),
    "no certificate of a service": (
        lambda d: [
            environment(d, "preprocess").pop(f"PELLUCID_PREPROCESS_TLS_{key}")
            for key in ("CERTIFICATE", "KEY", "CLIENT_CA")
        ],
        "gateway calls preprocess in TLS, which speaks the other",
    ),
    "no authority of clients": (
        lambda d: environment(d, "explain").pop("PELLUCID_EXPLAIN_TLS_CLIENT_CA"),
        "explain: TLS_CLIENT_CA is not set",
    ),
    "no authority of Triton": (
        lambda d: environment(d, "explain").pop("PELLUCID_EXPLAIN_TRITON_CA"),
        "explain calls triton in plain text",
    ),
    "no certificate of a client": (
        lambda d: environment(d, "gateway").pop("PELLUCID_GATEWAY_PEER_CERTIFICATE"),
        "gateway: PEER_CERTIFICATE is not set",
    ),
    "a key where the certificate belongs": (
        lambda d: environment(d, "gateway").update(PELLUCID_GATEWAY_TLS_CERTIFICATE="/tls/tls.key"),
        "is /tls/tls.key, which is not tls.crt",
    ),
    "a Secret of another service": (
        lambda d: secret(d, "explain").update(secretName="gateway-tls"),
        "which is not tls.crt of explain-tls",
    ),
    "a Secret that everybody reads": (
        lambda d: secret(d, "explain").update(defaultMode=0o444),
        "which is not tls.crt of explain-tls",
    ),
    "a Triton that asks for no certificate": (
        lambda d: triton_args(d).remove("--grpc-use-ssl-mutual=true"),
        "triton: wants no certificate",
    ),
    "a probe that has no certificate": (
        lambda d: (
            container(d, "triton")["readinessProbe"].pop("httpGet"),
            container(d, "triton")["readinessProbe"].update(grpc={"port": 8001}),
        ),
        "triton: its readinessProbe asks for",
    ),
    "a way to the plain port of Triton": (
        lambda d: policy(d, "triton")["ingress"][0]["ports"].append({"port": 8000}),
        "gateway may enter to triton:8000, which nobody calls",
    ),
    "a certificate in another name": (
        lambda d: certificate(d, "explain")["dnsNames"].remove("explain"),
        "gateway calls explain, whose certificate has another name",
    ),
    "a certificate that is not for servers": (
        lambda d: certificate(d, "triton").update(usages=["client auth"]),
        "triton: its certificate is not for servers",
    ),
    "a certificate that is not for clients": (
        lambda d: certificate(d, "edge").update(usages=["server auth"]),
        "edge: its certificate is not for clients",
    ),
    "a certificate that is renewed too late": (
        lambda d: certificate(d, "gateway").update(renewBefore="24h"),
        "renewed 24 h before the end",
    ),
    "an issuer that is not there": (
        lambda d: d.remove(of_kind(d, "Issuer")["pellucid"]),
        "its issuer is not there",
    ),
    "an autoscaler's Deployment with replicas": (
        lambda d: of_kind(d, "Deployment")["explain"]["spec"].update(replicas=2),
        "explain: has a number of pods of its own",
    ),
    "a metric that there is not": (
        lambda d: scaled(d, "explain")["triggers"][0]["metadata"].update(
            query='sum(pellucid_queue_length{namespace="pellucid"})'
        ),
        "pellucid_queue_length, which there is not",
    ),
    "a metric of all namespaces": (
        lambda d: scaled(d, "triton")["triggers"][0]["metadata"].update(
            query='sum(nv_inference_pending_request_count{model="x"})'
        ),
        "by what another namespace does",
    ),
    "pods that end before their explanations": (
        lambda d: scaled(d, "explain")["advanced"]["horizontalPodAutoscalerConfig"]["behavior"][
            "scaleDown"
        ].update(stabilizationWindowSeconds=60),
        "ends a pod after 60 s",
    ),
    "another number of workers than is scaled by": (
        lambda d: environment(d, "explain").update(PELLUCID_EXPLAIN_WORKERS="4"),
        "computes 4.0 at once",
    ),
    "no data taken for idleness": (
        lambda d: scaled(d, "triton")["triggers"][0]["metadata"].pop("ignoreNullValues"),
        "missing data for idleness",
    ),
    "connections to Triton that last": (
        lambda d: triton_args(d).remove("--grpc-max-connection-age=300000"),
        "do not find its new pods",
    ),
    "Envoy's wrong port of the gateway": (
        in_file("clusters-mtls.yaml", "port_value: 50050", "port_value: 50051"),
        "the gateway listens on [50050, 8081]",
    ),
    "Envoy's own wrong port": (
        in_file("listener-tls.yaml", "port_value: 50050", "port_value: 50051"),
        "edge: listens on",
    ),
    "Envoy in plain text": (
        lambda d: mount(d, "clusters.yaml").update(subPath="clusters.yaml"),
        "edge calls gateway in plain text",
    ),
    "an admin interface that all reach": (
        in_file("envoy.yaml", "address: 127.0.0.1", "address: 0.0.0.0"),
        "admin interface is not on loopback",
    ),
    "a call that has no route": (
        in_file("routes.yaml", "name: FindSimilar", "name: Similar"),
        "the contract has",
    ),
    "Envoy's own time-out": (
        in_file("routes.yaml", "gateway-explain, timeout: 930s", "gateway-explain, timeout: 15s"),
        "Explain is cut after 15s",
    ),
    "a time-out of silence": (
        in_file("listener-tls.yaml", "stream_idle_timeout: 930s", "stream_idle_timeout: 300s"),
        "silent for 300.0 s is cut",
    ),
    "explanations that take turns": (
        in_file("clusters-mtls.yaml", "LEAST_REQUEST", "ROUND_ROBIN"),
        "Explain is balanced by ROUND_ROBIN",
    ),
    "the health of another service": (
        in_file("clusters-mtls.yaml", "service_name: pellucid", "service_name: x"),
        "the health of another service",
    ),
    "pings that a gateway takes for abuse": (
        in_file("clusters-mtls.yaml", "interval: 60s", "interval: 10s"),
        "pings more often",
    ),
    "quotas that take the edge for a client": (
        lambda d: environment(d, "gateway").pop("PELLUCID_GATEWAY_CLIENT_HEADER"),
        "quotas take it for one client",
    ),
    "addresses that clients choose": (
        in_file("listener-tls.yaml", "use_remote_address: true", "use_remote_address: false"),
        "clients choose what address they have",
    ),
    "a client's address in the log": (
        in_file("listener-tls.yaml", "%UPSTREAM_HOST%", "%DOWNSTREAM_REMOTE_ADDRESS%"),
        "logs DOWNSTREAM_REMOTE_ADDRESS",
    ),
    "a smaller request than the gateway takes": (
        in_file("listener-tls.yaml", "max_request_bytes: 50331653", "max_request_bytes: 4194304"),
        "the largest request is not",
    ),
    "an edge that ends with its calls": (
        lambda d: container(d, "edge")["lifecycle"]["preStop"]["sleep"].update(seconds=5),
        "ends after 5 s",
    ),
    "an edge that reaches no gateway": (
        lambda d: policy(d, "edge")["egress"].pop(),
        "edge calls gateway:50050, which may not leave",
    ),
    "gateways that the edge does not reach": (
        lambda d: d.remove(of_kind(d, "NetworkPolicy")["gateway-from-edge"]),
        "edge calls gateway:8081, which may not enter",
    ),
    "a public that is led to the metrics": (
        lambda d: of_kind(d, "Service")["edge"]["spec"]["ports"][0].update(targetPort="metrics"),
        "leads the public to metrics",
    ),
    "files that are not mounted": (
        lambda d: mount(d, "certificate.yaml").update(mountPath="/etc/envoy/cert.yaml"),
        "/etc/envoy/certificate.yaml is not mounted",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(everything: list[Document], name: str) -> None:
    mutate, says = MUTATIONS[name]
    found = problems_after(mutate, everything)
    assert any(says in one for one in found), found
