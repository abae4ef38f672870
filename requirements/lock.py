"""Pins every dependency anew, with hashes: `make lock`.

It needs the Python and the kind of machine that Pellucid runs on, and the package index that pip is
configured with; nothing of that index gets into the files.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
LOCK: Final = HERE / "lock.txt"
TORCH: Final = HERE / "torch.txt"
TRITON: Final = ROOT / "pellucid" / "embedded" / "triton_requirements.txt"

APART: Final = {"torch", "torchvision"}
"""Not in `lock.txt`: torch has a file of its own; torchvision is onnx2torch's for detectors alone,
and is no match for torch's CPU build."""

LOCK_HEADER: Final = """\
# Every version that the project is developed and tested with, and the hashes of its files; `make
# lock` writes it anew. It is complete but for torch: install it with --no-deps --require-hashes.
"""
TORCH_HEADER: Final = """\
# torch has no hash: its CPU build, which Pellucid is tested with, comes from an index of its own or
# from a folder (pip's --find-links), and each of them has another file under this version. It is
# installed after lock.txt, which holds all that it needs.
"""


def main() -> None:
    """Write the three lock files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-upgrade", action="store_true", help="keep versions that still fit")
    options = parser.parse_args()
    entries = [*read(_compile(upgrade=not options.no_upgrade))]
    # The extras name each other through pellucid itself, which is no release but this folder.
    hashed = [text for name, text in entries if name not in APART | {"pellucid"}]
    LOCK.write_text(LOCK_HEADER + "".join(hashed))
    (torch,) = (re.match(r"torch==[\d.]+", text) for name, text in entries if name == "torch")
    assert torch is not None
    TORCH.write_text(f"{TORCH_HEADER}{torch[0]}\n")
    TRITON.write_text(_hash_pinned(TRITON.read_text()))


def _compile(*, upgrade: bool) -> str:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lock.txt"
        if LOCK.is_file():
            # Its versions are kept where they are not upgraded, and the hashes of those that stay.
            output.write_text(LOCK.read_text() + TORCH.read_text())
        subprocess.run(
            [
                *(sys.executable, "-m", "piptools", "compile", "--quiet", "--no-header"),
                *("--generate-hashes", "--allow-unsafe", "--extra=dev", "--strip-extras"),
                *("--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links"),
                *(["--upgrade"] if upgrade else []),
                *(f"--output-file={output}", "pyproject.toml"),
            ],
            check=True,
            cwd=ROOT,
        )
        return output.read_text()


def read(lock: str) -> Iterator[tuple[str, str]]:
    """Name and text of each requirement, with its hashes and comments."""
    for text in re.split(r"^(?=[A-Za-z])", lock, flags=re.MULTILINE):
        if found := re.match(r"[\w.-]+", text):
            # pip-compile ends with remarks of its own that begin in the first column.
            yield found[0], re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).rstrip("\n") + "\n"


def _hash_pinned(requirements: str) -> str:
    """The same pins, each with the hash of the one file that this machine would install."""
    header = "".join(re.findall(r"^#.*\n", requirements, flags=re.MULTILINE))
    pins = re.findall(r"^[\w.-]+==[\w.]+", requirements, flags=re.MULTILINE)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-"]
    done = subprocess.run(
        [*command, "--no-deps", "--ignore-installed", "--only-binary=:all:", *pins],
        check=True,
        stdout=subprocess.PIPE,
    )
    hashes = {
        item["metadata"]["name"].lower(): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in json.loads(done.stdout)["install"]
    }
    lines = (f"{pin} \\\n    --hash=sha256:{hashes[pin.partition('==')[0]]}\n" for pin in pins)
    return header + "".join(lines)


if __name__ == "__main__":
    main()
