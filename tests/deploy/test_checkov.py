"""What checkov, which knows other people's rules, thinks of the manifests."""

import copy
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import (
    EVERYTHING,
    MANIFESTS,
    OVERLAYS,
    Document,
    build,
    compose,
    kustomize,
    pod,
    python_tool,
)

COMPOSED = {"edge": ("edge",), "everything": EVERYTHING}
CONFIGURATION = MANIFESTS / "checkov.yaml"
pytestmark = [
    pytest.mark.skipif(kustomize() is None, reason="there is no kustomize: `make tools`"),
    pytest.mark.skipif(
        python_tool("checkov") is None, reason="there is no checkov: `make tools` installs it"
    ),
]


def failed(folder: Path, *options: str) -> dict[str, list[str]]:
    """What fails in a folder's files: resources, by check."""
    command = [str(python_tool("checkov")), "--directory", str(folder), "--output", "json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    found: dict[str, list[str]] = {}
    for one in report["results"]["failed_checks"]:
        place = f"{Path(one['file_path']).name} {one['resource']}"
        found.setdefault(one["check_id"], []).append(place)
    return found


def write(path: Path, documents: Sequence[Document]) -> None:
    path.write_text(yaml.safe_dump_all(documents))


def test_nothing_is_found_but_what_is_explained(tmp_path: Path) -> None:
    for name in OVERLAYS:
        write(tmp_path / f"{name}.yaml", build(MANIFESTS / "overlays" / name))
    for name, components in COMPOSED.items():
        (tmp_path / name).mkdir()
        write(tmp_path / f"{name}.yaml", compose(tmp_path / name, components))
    assert failed(tmp_path, "--config-file", str(CONFIGURATION)) == {}


def test_each_explanation_is_needed_and_what_is_wrong_is_found(
    everything: list[Document], tmp_path: Path
) -> None:
    documents = copy.deepcopy(everything)
    pod(documents, "triton")["securityContext"].update(runAsUser=0, runAsNonRoot=False)
    pod(documents, "explain")["containers"][0]["securityContext"].update(privileged=True)
    write(tmp_path / "mutated.yaml", documents)
    found = failed(tmp_path, "--framework", "kubernetes", "--skip-download")
    explained = set(yaml.safe_load(CONFIGURATION.read_text())["skip-check"])
    assert explained < set(found)
    where = {one.rpartition(".")[2] for check in set(found) - explained for one in found[check]}
    assert {"triton", "explain"} <= where
