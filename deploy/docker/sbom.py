"""What an image consists of, as CycloneDX: `python deploy/docker/sbom.py NAME IMAGE OUT`.

Python's packages are asked of each environment in the image, Debian's of `dpkg`. `ENGINE` is podman
or docker, as for `build.sh`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

_DEBIAN: Final = r"${Package}\t${Version}\t${Architecture}\n"
_PYTHON: Final = """
import glob, json
from importlib import metadata
places = glob.glob("/opt/**/site-packages", recursive=True)
print(json.dumps([[d.name, d.version] for d in metadata.distributions(path=places)]))
"""


def main() -> None:
    """Ask an image, and write the document."""
    name, image, out = sys.argv[1:]
    version = image.rpartition(":")[2]
    debian = _ask(image, "dpkg-query", "--show", f"--showformat={_DEBIAN}")
    # An image of models alone has no Python.
    python = (
        _ask(image, "sh", "-c", f"! command -v python3 > /dev/null || python3 -c '{_PYTHON}'")
        or "[]"
    )
    text = sbom(name, version, debian, json.loads(python))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(text + "\n", encoding="utf-8")


def sbom(name: str, version: str, debian: str, python: list[list[str]]) -> str:
    """The document.

    Args:
        name: of the image.
        version: its tag.
        debian: lines of `dpkg-query`: package, version and architecture, separated by tabs.
        python: names and versions of packages.
    """
    packages = [
        PackageURL("deb", "debian", package, number, {"arch": architecture, "distro": "bookworm"})
        for package, number, architecture in (line.split("\t") for line in debian.splitlines())
    ]
    packages += [PackageURL("pypi", None, package, number) for package, number in python]
    bom = Bom(
        components=[
            Component(
                type=ComponentType.LIBRARY,
                name=package.name,
                version=package.version,
                purl=package,
                bom_ref=package.to_string(),
            )
            for package in packages
        ]
    )
    bom.metadata.component = Component(
        type=ComponentType.CONTAINER, name=f"pellucid/{name}", version=version, bom_ref="image"
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)


def _ask(image: str, *command: str) -> str:
    engine = os.environ.get("ENGINE", "podman")
    entrypoint, *arguments = command
    run = [engine, "run", "--rm", "--network=none", f"--entrypoint={entrypoint}", image, *arguments]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
