"""The images in pods, as the podman overlay has them: `make cluster-test`.

In the order of this file: what is crashed, replaced or ended by one test is there again for the
next.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pellucid.client import Client, Explanation, KernelShap, MethodProgress
from tests.support import prometheus
from tests.support.cluster import Cluster, is_available, podman
from tests.support.manifests import ROOT, build, kustomize
from tests.support.waiting import wait_until

MODEL = "pneumonia_mnist_cnn"
FILM = ROOT / "samples/radiograph_opacity.png"
LONG = KernelShap(samples=20_000)
PATIENCE_S = 300

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif("CLUSTER_TEST" not in os.environ, reason="run by `make cluster-test`"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert kustomize() is not None, "there is no kustomize: `make tools` installs it"
    documents = build(ROOT / "deploy/k8s/overlays/podman")
    cluster = Cluster(documents, tmp_path_factory.mktemp("pods"))
    missing = "podman has not all images: `make images` builds them"
    assert is_available(cluster.needed_images()), missing
    with cluster as pods:
        pods.wait_until_ready()
        yield pods


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster.target("gateway", 50050), plaintext=True) as client:
        yield client


def explained_version(client: Client) -> str:
    result = client.explain_all(FILM.read_bytes(), MODEL, methods=[KernelShap(samples=64)])
    return result.explanations[0].receipt.model_version


def test_the_command_explains_from_outside_by_every_method(
    cluster: Cluster, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "pellucid", "explain", str(FILM), f"--model={MODEL}"]
    where = [f"--url={cluster.target('gateway', 50050)}", "--plaintext", f"--out={tmp_path}"]
    done = subprocess.run([*command, *where], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("*.png"))) >= 6


@pytest.mark.parametrize("service", ["gateway", "preprocess", "explain", "triton"])
def test_no_process_is_roots_or_writes_into_its_image(cluster: Cluster, service: str) -> None:
    for pod in cluster.pods(service):
        container = cluster.container(pod)
        facts = json.loads(podman("inspect", container))[0]
        assert facts["HostConfig"]["ReadonlyRootfs"]
        assert facts["EffectiveCaps"] in (None, [])
        users = podman("top", container, "user").splitlines()[1:]
        assert set(users) == {"10001"}


def test_calls_are_spread_over_the_gateways_and_the_explain_services(
    cluster: Cluster, client: Client
) -> None:
    for _ in range(6):
        explained_version(client)
    for service in ("gateway", "explain"):
        for pod in cluster.pods(service):
            assert handled(cluster, pod, "Explain") > 0, pod


def handled(cluster: Cluster, pod: str, method: str) -> float:
    with urllib.request.urlopen(f"http://{cluster.address(pod)}:9090/metrics") as page:
        lines = page.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("grpc_server_handled_total") and f'grpc_method="{method}"' in line
    )


@pytest.mark.parametrize("service", ["gateway", "preprocess", "explain", "triton"])
def test_what_crashes_comes_back_and_is_used_again(
    cluster: Cluster, client: Client, service: str
) -> None:
    pod = cluster.pods(service)[0]
    cluster.crash(pod)
    wait_until(lambda: cluster.restarts(pod) > 0 and cluster.is_ready(pod), within_s=300)
    wait_until(lambda: answers(client), within_s=PATIENCE_S)


def answers(client: Client) -> bool:
    try:
        return bool(explained_version(client))
    except Exception:  # whatever is away, it comes back
        return False


def test_explanations_go_on_while_one_of_two_is_away(cluster: Cluster, client: Client) -> None:
    cluster.stop("explain-1")
    try:
        assert [explained_version(client) for _ in range(4)] == ["1"] * 4
    finally:
        cluster.remove("explain-1")
        cluster.begin("explain-1")
        cluster.wait_until_ready("explain-1")


def test_a_pod_that_is_ended_gives_the_maps_that_it_has(cluster: Cluster, client: Client) -> None:
    stopping = [
        threading.Thread(target=cluster.stop, args=[pod]) for pod in cluster.pods("explain")
    ]
    maps: list[Explanation] = []
    for event in client.explain(FILM.read_bytes(), "pneumonia_resnet18", methods=[LONG]):
        if isinstance(event, MethodProgress) and event.calls_done > 500:
            for thread in stopping:
                if thread.ident is None:
                    thread.start()
        if isinstance(event, Explanation):
            maps.append(event)
    for thread in stopping:
        thread.join()
    for pod in cluster.pods("explain"):
        cluster.remove(pod)
        cluster.begin(pod)
    cluster.wait_until_ready(*cluster.pods("explain"))
    (only,) = maps
    assert only.truncated
    assert 500 < only.receipt.model_calls < 20_000


@pytest.mark.skipif(not prometheus.is_installed(), reason=prometheus.MISSING)
def test_prometheus_sums_over_the_replicas(cluster: Cluster, tmp_path: Path) -> None:
    pods = [*cluster.pods("gateway"), *cluster.pods("explain")]
    services = [*pods, *cluster.pods("preprocess")]
    targets = {pod: f"{cluster.address(pod)}:9090" for pod in services}
    targets["triton-0"] = f"{cluster.address('triton-0')}:8002"
    with prometheus.running(targets, tmp_path) as scraped:
        wait_until(lambda: scraped.value("sum(up)") == len(targets), within_s=PATIENCE_S)
        total = sum(handled(cluster, pod, "Explain") for pod in pods)
        query = 'sum(grpc_server_handled_total{grpc_method="Explain"})'
        wait_until(lambda: scraped.value(query) == total, within_s=PATIENCE_S)
        assert scraped.value("sum(nv_inference_request_success)") > 0


def test_a_new_version_of_a_model_is_rolled_out(
    cluster: Cluster, client: Client, tmp_path: Path
) -> None:
    assert explained_version(client) == "1"
    (models,) = (image for image in cluster.needed_images() if "/models:" in image)
    cluster.images[models] = new_models(models, tmp_path)
    for service in ("triton", "explain"):
        for pod in cluster.pods(service):
            cluster.replace(pod)
    wait_until(lambda: answers(client), within_s=PATIENCE_S)
    assert explained_version(client) == "2"


def new_models(old: str, folder: Path) -> str:
    """An image of the models in which one has a second version."""
    repository = folder / "models"
    shutil.copytree(ROOT / "triton_repo" / MODEL, repository / MODEL)
    (repository / MODEL / "1").rename(repository / MODEL / "2")
    card = repository / MODEL / "card.yaml"
    facts = yaml.safe_load(card.read_text(encoding="utf-8")) | {"version": "2"}
    card.write_text(yaml.safe_dump(facts), encoding="utf-8")
    build = [sys.executable, "-m", "pellucid", "model", "build", f"--repository={repository}"]
    subprocess.run(build, check=True, cwd=ROOT)
    (folder / "Dockerfile").write_text(
        f"FROM {old}\nUSER 0\nRUN rm -r /models/{MODEL} /models/{MODEL}_masked\n"
        "COPY models/ /models/\nUSER 10001:10001\n"
    )
    image = "pellucid/models:test-version-2"
    podman("build", "--tag", image, str(folder))
    return image
