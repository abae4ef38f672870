"""Triton's environment: what the machine has to bring."""

from pathlib import Path

import pytest

from pellucid.embedded.environment import LOCK, libpython, requirements
from pellucid.embedded.errors import MissingPrerequisite


def test_a_missing_libpython_is_said_with_its_remedy(tmp_path: Path) -> None:
    variables = {"LIBDIR": str(tmp_path), "INSTSONAME": "libpython3.11.a", "MULTIARCH": ""}
    with pytest.raises(MissingPrerequisite, match=r"apt install libpython3\.11"):
        libpython(variables, str(tmp_path))


def test_every_requirement_of_triton_is_installed_with_its_hashes() -> None:
    entries = requirements(LOCK.read_text())
    assert {name.partition("==")[0] for name in entries} >= {"nvidia-pytriton", "openvino", "numpy"}
    for requirement, entry in entries.items():
        assert entry.startswith(f"{requirement} ")
        assert "--hash=sha256:" in entry
