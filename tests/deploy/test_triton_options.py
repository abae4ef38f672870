"""The real Triton with the options of the manifests, those of mTLS and scaling among them."""

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pellucid.embedded.environment import build_environment
from pellucid.embedded.ports import LOOPBACK, resolve_ports
from pellucid.serving.channels import open_triton_channel
from pellucid.serving.settings import TritonSettings
from tests.support.authority import Authority
from tests.support.child import guarded
from tests.support.manifests import (
    Document,
    container,
    environment,
    kustomize,
    ports,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(
    kustomize() is None, reason="there is no kustomize: `make tools` installs it"
)


RELEASES = {"2.51.0": "24.10"}
"""Of NVIDIA's images, by the version of Triton in them."""


@dataclass(frozen=True)
class Running:
    """A Triton that has started."""

    authority: Authority
    folder: Path
    ports: dict[str, int]
    pod_id: str

    def status(self, path: str, **headers: str) -> int:
        """What its HTTP answers."""
        url = f"http://{LOOPBACK}:{self.ports['http']}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    async def is_ready(self, settings: TritonSettings) -> bool:
        """What our services ask, over gRPC."""
        target = f"{LOOPBACK}:{self.ports['grpc']}"
        async with open_triton_channel(target, settings) as channel:
            stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            answer = await stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=10)
            return bool(answer.ready)


@pytest.fixture(scope="module")
def triton(
    everything: list[Document], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("triton")
    (folder / "models").mkdir()
    authority = Authority(folder, "authority")
    own = authority.issue("triton")
    own.certificate.rename(folder / "tls.crt")
    own.key.rename(folder / "tls.key")
    authority.certificate.rename(folder / "ca.crt")
    declared = ports(everything, "triton")
    free = resolve_ports({name: (LOOPBACK, 0) for name in declared})
    running = Running(authority, folder, free, str(uuid4()))
    arguments = " ".join(container(everything, "triton")["args"])
    for name, port in declared.items():
        option = "metrics-port" if name == "metrics" else f"{name}-port"
        arguments = arguments.replace(f"--{option}={port}", f"--{option}={free[name]}")
    arguments = arguments.replace("$(POD_UID)", running.pod_id)
    arguments = arguments.replace("=/tls/", f"={folder}/").replace("=/models", f"={folder}/models")
    built = build_environment()
    log = folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            guarded([str(built.binary), *arguments.split()]),
            env=built.variables(),
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):

        def has_started() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return running.status("/v2/health/ready") == 200
            except OSError:
                return False

        try:
            wait_until(has_started)
            yield running
        finally:
            process.terminate()


def settings(documents: list[Document], triton: Running, service: str) -> TritonSettings:
    """A service's settings of TLS, as its ConfigMap has them."""
    prefix = f"PELLUCID_{service.upper()}_"
    given = {
        name.removeprefix(prefix).lower(): str(value).replace("/tls/", f"{triton.folder}/")
        for name, value in environment(documents, service).items()
        if str(value).startswith("/tls/")
    }
    return TritonSettings.model_validate(given)


@pytest.mark.parametrize("service", ["gateway", "explain"])
async def test_our_services_are_answered(
    everything: list[Document], triton: Running, service: str
) -> None:
    assert await triton.is_ready(settings(everything, triton, service))


async def test_the_image_for_gpus_has_the_same_version(
    everything: list[Document], triton: Running
) -> None:
    trusted = settings(everything, triton, "gateway")
    async with open_triton_channel(f"{LOOPBACK}:{triton.ports['grpc']}", trusted) as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        found = await stub.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=10)
    release = RELEASES[found.version]
    image = container(everything, "triton")["image"]
    assert image == f"nvcr.io/nvidia/tritonserver:{release}-py3"


@pytest.mark.parametrize("missing", ["everything", "its certificate"])
async def test_without_a_certificate_nobody_is(triton: Running, missing: str) -> None:
    ca = None if missing == "everything" else triton.folder / "ca.crt"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await triton.is_ready(TritonSettings(triton_ca=ca))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_probes_are_answered_and_nothing_else_is(
    everything: list[Document], triton: Running
) -> None:
    own = container(everything, "triton")
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert triton.status(own[kind]["httpGet"]["path"]) == 200
    for path in ("/v2", "/v2/models/x", "/v2/models/x/config", "/v2/models/stats", "/v2/logging"):
        assert triton.status(path) == 403
    for path in ("/v2/systemsharedmemory/status", "/v2/trace/setting"):
        assert triton.status(path) == 403
    assert triton.status("/v2", **{"pellucid-pod": triton.pod_id}) == 200
    assert {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}} in own[
        "env"
    ]
