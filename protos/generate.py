"""Generate `pellucid/api` from the contracts; with `--check`, say whether it is up to date.

The proto root and the Python root have the same folders, so the generated imports work as they are.
From the generated code come, last, the files that `derived` writes.
"""

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorSet

PROTOS = Path(__file__).parent
ROOT = PROTOS.parent
GENERATED = Path("pellucid") / "api"


def generate(target: Path) -> None:
    """Write the generated package below `target`."""
    sources = _protoc(
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
    )
    services = {source for source in sources if "\nservice " in (PROTOS / source).read_text()}
    for source in set(sources) - services:  # protoc writes an empty module for these
        for name in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
            (target / source.replace(".proto", name)).unlink(missing_ok=True)
    for folder in {path.parent for path in (target / GENERATED).rglob("*.py")}:
        while folder != target / "pellucid":
            (folder / "__init__.py").touch()
            folder = folder.parent


def derived() -> dict[Path, str]:
    """Files that follow from the generated package of this tree: text by path below `ROOT`."""
    sys.path.insert(0, str(ROOT))
    from derived import texts  # imports the generated package, which `generate` may just have made

    return texts(comments())


def comments() -> dict[str, str]:
    """What the contracts say of each message, on one line, by its full name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "descriptors"
        _protoc(f"--descriptor_set_out={path}", "--include_source_info")
        described = FileDescriptorSet.FromString(path.read_bytes())
    message_field = 4  # of FileDescriptorProto
    return {
        f"{file.package}.{file.message_type[place.path[1]].name}": " ".join(
            place.leading_comments.split()
        )
        for file in described.file
        for place in file.source_code_info.location
        if len(place.path) == 2 and place.path[0] == message_field
    }


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
    stale |= {path for path, text in derived().items() if not _holds(ROOT / path, text)}
    for path in sorted(stale):
        sys.stderr.write(f"{path} does not match the contracts; run `make proto`\n")
    return 1 if stale else 0


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _protoc(*outputs: str) -> list[str]:
    """Run the compiler on every contract; return their paths below the proto root."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{well_known}"]
    subprocess.run(
        [*compiler, *outputs, *sources],
        check=True,
        cwd=PROTOS,
        # The mypy plugins lie beside the interpreter, which need not be on the path.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    return sources


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(check())
    generate(ROOT)
    for path, text in derived().items():
        (ROOT / path).write_text(text, encoding="utf-8")
