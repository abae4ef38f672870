"""The lock files are good on every machine, and complete with their hashes."""

import re
from pathlib import Path

import pytest

from pellucid.embedded.environment import LOCK as TRITON

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def requirements(path: Path) -> list[str]:
    """Requirements of a file, each with its hashes in one line."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.strip().startswith("#")]


@pytest.mark.parametrize("path", [REQUIREMENTS / "lock.txt", TRITON], ids=lambda path: path.name)
def test_every_locked_requirement_is_an_exact_version_with_hashes(path: Path) -> None:
    entry = re.compile(r"[\w.-]+==\S+( +--hash=sha256:[0-9a-f]{64})+ *")
    assert requirements(path)
    assert [line for line in requirements(path) if not entry.fullmatch(line)] == []


def test_torch_alone_has_no_hash_and_is_no_build_of_one_machine() -> None:
    (torch,) = requirements(REQUIREMENTS / "torch.txt")
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", torch)
    named = {line.partition("==")[0] for line in requirements(REQUIREMENTS / "lock.txt")}
    assert "torch" not in named
    assert {"filelock", "sympy", "typing-extensions"} <= named  # what torch needs is locked
