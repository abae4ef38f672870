"""What the images are made of: the locked packages, the copied code, the user."""

import json
import re
import subprocess
import sys
from importlib import metadata

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.docker.sbom import sbom
from pellucid.embedded.health import HEALTH_SERVICES
from tests.support.manifests import ROOT

DOCKERFILES = sorted((ROOT / "deploy/docker").glob("*.Dockerfile"))
APART = {"torch", "torchvision"}
"""From elsewhere, or left out: see `requirements/lock.py`."""


def subset(*extras: str) -> str:
    command = [sys.executable, str(ROOT / "requirements/subset.py"), *extras]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def names(requirements: str) -> set[str]:
    return {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", requirements, re.M)}


def needed(extra: str) -> set[str]:
    """What the metadata of the installed packages says that an extra needs."""
    found: set[tuple[str, frozenset[str]]] = set()
    todo = [("pellucid", frozenset([extra]))]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        if name == "torchvision":
            continue
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in (*extras, "")]
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {name for name, _ in found} - {"pellucid"}


@pytest.mark.parametrize("extra", ["gateway", "preprocess", "explain", "embedded"])
def test_an_image_gets_all_that_its_service_needs_and_little_else(extra: str) -> None:
    installed, wanted = names(subset(extra)), needed(extra) - APART
    assert wanted <= installed
    assert len(installed - wanted) <= len(wanted) / 10  # of the extras of other packages


def test_every_package_comes_with_hashes() -> None:
    for entry in re.split(r"^(?=\w)", subset("embedded"), flags=re.M)[1:]:
        assert "--hash=sha256:" in entry


def test_an_unknown_extra_is_named() -> None:
    command = [sys.executable, str(ROOT / "requirements/subset.py"), "gatway"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "gatway" in done.stderr


def test_the_bill_of_materials_names_packages_of_debian_and_of_python() -> None:
    debian = "libc6\t2.36-9\tamd64\ntzdata\t2026a-0\tall\n"
    text = sbom("gateway", "1.2.3", debian, [["grpcio", "1.81.1"]])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    assert {one["purl"] for one in found["components"]} == {
        "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=bookworm",
        "pkg:deb/debian/tzdata@2026a-0?arch=all&distro=bookworm",
        "pkg:pypi/grpcio@1.81.1",
    }
    assert found["metadata"]["component"]["version"] == "1.2.3"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_ends_as_no_root_and_without_a_compiler(path) -> None:
    last = re.split(r"^FROM ", path.read_text(), flags=re.M)[-1]
    assert re.findall(r"^USER (\S+)$", last, re.M)[-1] == "10001:10001"
    packages = " ".join(re.findall(r"apt-get install (.*)", last))
    assert not re.search("gcc|binutils|-dev|build-essential|python3-venv", packages)
    assert "org.opencontainers.image.version" in last


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_what_an_image_copies_is_let_into_the_build(path) -> None:
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    for line in re.findall(r"^COPY (?!--from)(.*)$", path.read_text(), re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(source == place or source.startswith(place) for place in let_in), source


def test_the_manifests_name_images_that_are_built_in_the_version_of_the_project() -> None:
    base = yaml.safe_load((ROOT / "deploy/k8s/base/kustomization.yaml").read_text())
    built = {f"pellucid/{path.stem}" for path in DOCKERFILES}
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version is not None
    for image in base["images"]:
        assert image["name"] in built
        assert image["newTag"] == version[1]


@pytest.mark.parametrize("service", sorted(HEALTH_SERVICES))
def test_an_image_runs_the_module_of_its_service(service: str) -> None:
    text = (ROOT / f"deploy/docker/{service}.Dockerfile").read_text()
    module = service if service == "gateway" else f"{service}_service"
    assert f'ENTRYPOINT ["python", "-m", "{module}"]' in text
    assert f"COPY {module}/ /app/{module}/" in text
