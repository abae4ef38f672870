"""The pods of the podman overlay: begun, replaced, crashed and ended as a cluster would do it.

Podman has no Services: a headless one is stood in for by giving each pod of a network the Service's
name as an alias. It has no probes either: `wait_until_ready` asks what they would ask.
"""

import copy
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from pellucid.embedded.health import HEALTH_SERVICES, is_serving, is_triton_ready
from tests.support.manifests import SETTINGS, Document, of_kind, settings_map

NETWORK: Final = "pellucid-test"
HEALTH_PORT: Final = 8081
START_S: Final = 300


def podman(*arguments: str, check: bool = True) -> str:
    """What a podman command prints."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"podman {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def is_available(images: Sequence[str]) -> bool:
    """Whether podman is installed and has these images."""
    try:
        return all(
            subprocess.run(["podman", "image", "exists", image], check=False).returncode == 0
            for image in images
        )
    except FileNotFoundError:
        return False


class Cluster:
    """Pods, by the names `SERVICE-NUMBER`; a context manager that removes them all."""

    def __init__(self, documents: Sequence[Document], folder: Path) -> None:
        """Describe it: an overlay's documents, and a folder for those that podman is given."""
        self._deployments = of_kind(documents, "Deployment")
        self._settings = {service: settings_map(documents, service) for service in SETTINGS}
        self._folder = folder
        self.images: dict[str, str] = {}
        """Another image instead of a document's, by the document's; for pods begun from now on."""

    def __enter__(self) -> "Cluster":
        """Begin every pod, those that others need first."""
        podman("network", "create", NETWORK)
        for service in ("triton", "preprocess", "explain", "gateway"):
            for pod in self.pods(service):
                self.begin(pod)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the pods, what they wrote and their network."""
        for service in self._deployments:
            for pod in self.pods(service):
                self.remove(pod)
        podman("network", "rm", "--force", NETWORK, check=False)

    def needed_images(self) -> list[str]:
        """Names of all images that the documents want."""
        templates = (one["spec"]["template"]["spec"] for one in self._deployments.values())
        return sorted({part["image"] for spec in templates for part in _containers(spec)})

    def pods(self, service: str) -> list[str]:
        """Names of a service's pods."""
        count = self._deployments[service]["spec"].get("replicas", 1)
        return [f"{service}-{number}" for number in range(count)]

    def begin(self, pod: str) -> None:
        """Start a pod; it is found under its service's name once this returns."""
        service = _service(pod)
        path = self._folder / f"{pod}.yaml"
        documents = [self._pod(pod)]
        if service in self._settings:
            documents.append(self._settings[service])
        path.write_text(yaml.safe_dump_all(documents))
        podman("kube", "play", "--network", NETWORK, str(path))
        infra = podman("pod", "inspect", pod, "--format", "{{.InfraContainerID}}")
        podman("network", "disconnect", NETWORK, infra)
        podman("network", "connect", "--alias", service, "--alias", pod, NETWORK, infra)

    def stop(self, pod: str) -> None:
        """Ask a pod to end, as a rollout does, and wait for as long as its manifest grants."""
        grace = self._template(pod)["terminationGracePeriodSeconds"]
        # Not the pod, whose network would go at once.
        podman("stop", "--time", str(grace), self.container(pod))

    def remove(self, pod: str) -> None:
        """Remove a pod, and what it wrote; nothing if there is none."""
        podman("pod", "rm", "--force", "--time", "0", pod, check=False)
        for volume in self._template(pod)["volumes"]:
            podman("volume", "rm", "--force", f"{pod}-{volume['name']}", check=False)

    def replace(self, pod: str) -> None:
        """End a pod and begin it anew, and wait until it is ready."""
        self.stop(pod)
        self.remove(pod)
        self.begin(pod)
        self.wait_until_ready(pod)

    def crash(self, pod: str) -> None:
        """Kill a pod's process; what is to be always there comes back by itself."""
        pid = int(podman("inspect", self.container(pod), "--format", "{{.State.Pid}}"))
        os.kill(pid, signal.SIGKILL)

    def restarts(self, pod: str) -> int:
        """How often a pod's process was started again."""
        return int(podman("inspect", self.container(pod), "--format", "{{.RestartCount}}"))

    def container(self, pod: str) -> str:
        """Name of the container of a pod's process."""
        return f"{pod}-{_service(pod)}"

    def address(self, pod: str) -> str:
        """IP address of a pod."""
        infra = podman("pod", "inspect", pod, "--format", "{{.InfraContainerID}}")
        networks = json.loads(
            podman("inspect", infra, "--format", "{{json .NetworkSettings.Networks}}")
        )
        return str(networks[NETWORK]["IPAddress"])

    def target(self, service: str, port: int) -> str:
        """A gRPC target of all pods of a service, over which a client balances."""
        return "ipv4:" + ",".join(f"{self.address(pod)}:{port}" for pod in self.pods(service))

    def is_ready(self, pod: str) -> bool:
        """What the readiness probe would find."""
        address, service = self.address(pod), _service(pod)
        if service == "triton":
            return is_triton_ready(f"{address}:8001")
        return is_serving(f"{address}:{HEALTH_PORT}", HEALTH_SERVICES[service])

    def wait_until_ready(self, *pods: str) -> None:
        """Wait for these pods; for all where none is named.

        Raises:
            AssertionError: one is not ready in time; its log is in the message.
        """
        ends = time.monotonic() + START_S
        for pod in pods or [pod for service in self._deployments for pod in self.pods(service)]:
            while not self.is_ready(pod):
                if time.monotonic() > ends:
                    log = podman("logs", "--tail", "30", self.container(pod), check=False)
                    raise AssertionError(f"{pod} is not ready:\n{log}")
                time.sleep(0.5)

    def _template(self, pod: str) -> Any:
        return self._deployments[_service(pod)]["spec"]["template"]["spec"]

    def _pod(self, pod: str) -> Document:
        """A pod of its Deployment, whose volumes no other pod has: podman's are known by name."""
        spec = copy.deepcopy(self._template(pod))
        # Podman's own /dev/shm serves; of a volume there it would make a folder that is root's.
        spec["volumes"] = [v for v in spec["volumes"] if v["emptyDir"].get("medium") != "Memory"]
        kept = {volume["name"] for volume in spec["volumes"]}
        for container in _containers(spec):
            container["image"] = self.images.get(container["image"], container["image"])
            # Podman would publish them on the host, where two pods cannot have the same.
            container.pop("ports", None)
            mounts = [mount for mount in container["volumeMounts"] if mount["name"] in kept]
            container["volumeMounts"] = [m | {"name": f"{pod}-{m['name']}"} for m in mounts]
        for volume in spec["volumes"]:
            volume["name"] = f"{pod}-{volume['name']}"
        labels = self._deployments[_service(pod)]["spec"]["template"]["metadata"]["labels"]
        metadata = {"name": pod, "labels": labels}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            # Not `Always`: podman would start the init container again and again.
            "spec": spec | {"restartPolicy": "OnFailure"},
        }


def _service(pod: str) -> str:
    return pod.rpartition("-")[0]


def _containers(spec: Any) -> Iterator[Any]:
    yield from spec.get("initContainers", [])
    yield from spec["containers"]
