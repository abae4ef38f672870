"""Generate `pellucid/api` from the contracts; with `--check`, say whether it is up to date.

The proto root and the Python root have the same folders, so the generated imports work as they are.
"""

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc_tools

PROTOS = Path(__file__).parent
ROOT = PROTOS.parent
GENERATED = Path("pellucid") / "api"


def generate(target: Path) -> None:
    """Write the generated package below `target`."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTOS}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet:{target}",
            *sources,
        ],
        check=True,
        cwd=PROTOS,
        # The mypy plugins lie beside the interpreter, which need not be on the path.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    services = {source for source in sources if "\nservice " in (PROTOS / source).read_text()}
    for source in set(sources) - services:  # protoc writes an empty module for these
        for name in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
            (target / source.replace(".proto", name)).unlink(missing_ok=True)
    for folder in {path.parent for path in (target / GENERATED).rglob("*.py")}:
        while folder != target / "pellucid":
            (folder / "__init__.py").touch()
            folder = folder.parent


def files(root: Path) -> set[Path]:
    """Generated files below `root`, relative to it."""
    found = {path.relative_to(root) for path in (root / GENERATED).rglob("*.py*")}
    return {path for path in found if path.suffix in {".py", ".pyi"}}


def check() -> int:
    """Return 1 and name the files where the committed code differs from the contracts."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        expected, present = files(fresh), files(ROOT)
        stale = expected ^ present | {
            path
            for path in expected & present
            if not filecmp.cmp(fresh / path, ROOT / path, shallow=False)
        }
    for path in sorted(stale):
        sys.stderr.write(f"{path} does not match the contracts; run `make proto`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(check())
    generate(ROOT)
