"""The real Envoy with the manifests' files, before gateways of a test."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from pellucid.embedded.ports import LOOPBACK, resolve_ports
from tests.support import envoy_configuration
from tests.support.child import guarded
from tests.support.manifests import Document, container, python_tool
from tests.support.waiting import wait_until

MISSING: Final = "there is no envoy: `make tools` installs it"
CERTIFICATES: Final = "/tls/"


def is_installed() -> bool:
    """Whether there is one."""
    return python_tool("envoy") is not None


@dataclass(frozen=True)
class Upstream:
    """A gateway of a test."""

    port: int
    health_port: int


@dataclass
class Envoy:
    """A running one."""

    folder: Path
    """Where its files are."""
    ports: Mapping[str, int]
    """Of its listeners, by the names of the Deployment's ports."""
    admin_port: int
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        """Its log is among its files."""
        self.log = self.folder / "log"

    @property
    def url(self) -> str:
        """Where clients call."""
        return f"{LOOPBACK}:{self.ports['grpc']}"

    def page(self, port: str, path: str) -> str:
        """What is answered over HTTP at one of its ports.

        Raises:
            OSError: nothing, or an error.
        """
        return _get(self.ports[port], path)

    def healthy(self) -> int:
        """How many gateways every cluster takes for healthy."""
        found: Any = json.loads(_get(self.admin_port, "/clusters?format=json"))
        counts = (
            sum(
                "failed_active_health_check" not in host["health_status"]
                and host["health_status"]["eds_health_status"] == "HEALTHY"
                for host in one.get("host_statuses", [])
            )
            for one in found["cluster_statuses"]
            if one["name"] != "admin"
        )
        return int(min(counts))

    def calls(self) -> list[dict[str, Any]]:
        """The lines of its access log."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [one for one in map(json.loads, lines) if one["message"] == "call"]


@contextmanager
def running(
    documents: Sequence[Document],
    upstreams: Sequence[Upstream],
    folder: Path,
    secrets: Mapping[str, Path] | None = None,
) -> Iterator[Envoy]:
    """Start Envoy, and wait until it takes all gateways for healthy.

    Its files are the manifests' but for ports, which are free ones, for the gateways' addresses,
    and for folders.

    Args:
        documents: of an overlay with the component `edge`.
        upstreams: instead of those that the gateway's name leads to.
        folder: for its files and its log.
        secrets: folders of certificates, by the names of their mounts in `/tls`.
    """
    read = envoy_configuration.files(documents)
    public = envoy_configuration.public_listener(read)
    listeners = (*read["envoy.yaml"]["static_resources"]["listeners"], public)
    names = [one["name"] for one in listeners]
    free = resolve_ports({name: (LOOPBACK, 0) for name in (*names, "admin")})
    for one in listeners:
        one["address"]["socket_address"] = _place(free[one["name"]])
    _set_admin(read["envoy.yaml"], free["admin"])
    for one in envoy_configuration.clusters(read):
        one["load_assignment"]["endpoints"] = [{"lb_endpoints": [*map(_endpoint, upstreams)]}]
    for name, content in read.items():
        text = yaml.safe_dump(content).replace(envoy_configuration.FOLDER, f"{folder}/")
        for mount, place in (secrets or {}).items():
            text = text.replace(f"{CERTIFICATES}{mount}", str(place))
        (folder / name).write_text(text)
    envoy = Envoy(folder, {"grpc": free["public"], **free}, free["admin"])
    options = [a.replace(envoy_configuration.FOLDER, f"{folder}/") for a in _arguments(documents)]
    command = guarded([str(python_tool("envoy")), *options])
    with (
        envoy.log.open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            wait_until(lambda: _is_ready(envoy, process), within_s=30)
            wait_until(lambda: envoy.healthy() == len(upstreams), within_s=30)
            # Nothing that it refused and went on without.
            assert '"level":"warning"' not in envoy.log.read_text(), envoy.log.read_text()
            yield envoy
        finally:
            process.terminate()


def swap(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files as kubelet does those of a Secret: all at once, behind a link."""
    number = len(list(folder.glob("..version*"))) if folder.exists() else 0
    version = folder / f"..version{number}"
    version.mkdir(parents=True)
    for name, content in files.items():
        (version / name).write_bytes(content)
        if not number:
            (folder / name).symlink_to(Path("..data", name))
    link = folder / "..data_new"
    link.symlink_to(version.name)
    link.rename(folder / "..data")


def _is_ready(envoy: Envoy, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, envoy.log.read_text()
    try:
        return "LIVE" in envoy.page("health", "/ready")
    except OSError:
        return False


def _arguments(documents: Sequence[Document]) -> list[str]:
    return list(container(documents, "edge")["args"])


def _set_admin(bootstrap: Any, port: int) -> None:
    bootstrap["admin"]["address"]["socket_address"] = _place(port)
    (cluster,) = bootstrap["static_resources"]["clusters"]
    (group,) = cluster["load_assignment"]["endpoints"]
    group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] = _place(port)


def _place(port: int) -> dict[str, Any]:
    return {"address": LOOPBACK, "port_value": port}


def _endpoint(upstream: Upstream) -> dict[str, Any]:
    address = {"socket_address": _place(upstream.port)}
    health = {"port_value": upstream.health_port}
    return {"endpoint": {"address": address, "health_check_config": health}}


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())
