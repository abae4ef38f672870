"""Triton's own Python environment: built once, shared by every system of this user.

The binary comes with the wheel of nvidia-pytriton. It needs numpy below 2, so it gets an
environment of its own, as it has an image of its own in production.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pellucid.embedded.errors import BuildFailed, MissingPrerequisite
from pellucid.lifecycle import Kind, LifecycleEvent, Listener, ignore

_HERE = Path(__file__).parent
LOCK = _HERE / "triton_requirements.txt"
"""Everything in the environment, with hashes."""
_BACKEND = _HERE / "backend" / "model.py"
_PRECISION = _HERE / "backend" / "automatic_precision.py"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_GLIBC = (2, 35)


@dataclass(frozen=True)
class TritonEnvironment:
    """A finished environment."""

    root: Path

    @property
    def _wheel(self) -> Path:
        return self.root / "lib" / f"python{_PYTHON}" / "site-packages"

    @property
    def binary(self) -> Path:
        """The tritonserver binary."""
        return self._wheel / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """What `--backend-directory` names: Triton's `python` and our `onnxruntime`."""
        return self.root / f"backends-{_digest(_BACKEND.read_bytes())}"

    def automatic_precision(self) -> str:
        """What OpenVINO computes in on this CPU where it is free to choose, e.g. `bfloat16`.

        Raises:
            BuildFailed: OpenVINO does not start.
        """
        python = str(self.root / "bin" / "python3")
        return _run([python, "-I", str(_PRECISION)], of="OpenVINO").strip()

    def variables(self) -> dict[str, str]:
        """Environment variables for the binary: this process', less what would lead it astray."""
        dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        libraries = [str(libpython().parent), str(self._wheel / "nvidia_pytriton.libs")]
        # The stub finds its packages through the python3 that it finds on PATH.
        return kept | {
            "PATH": _joined(str(self.root / "bin"), kept.get("PATH", os.defpath)),
            "LD_LIBRARY_PATH": _joined(*libraries, kept.get("LD_LIBRARY_PATH", "")),
            "CUDA_VISIBLE_DEVICES": "",
        }


def default_cache() -> Path:
    """Where environments are kept: `PELLUCID_CACHE`, or `pellucid` in the user's cache folder."""
    if chosen := os.environ.get("PELLUCID_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pellucid"


def build_environment(cache: Path | None = None, listener: Listener = ignore) -> TritonEnvironment:
    """Build Triton's environment, or find the finished one.

    Its folder carries a digest of everything that goes into it, so a new lock file makes a new
    environment beside the old one. Several processes may call this at once.

    Args:
        cache: folder of environments; `default_cache()` if absent.
        listener: receives what is installed.

    Raises:
        MissingPrerequisite: this machine cannot run the binary.
        BuildFailed: the installation failed.
    """
    _require_platform()
    libpython()
    cache = cache or default_cache()
    root = cache / f"triton-{_fingerprint()}"
    finished = root / "finished"
    environment = TritonEnvironment(root)
    if finished.is_file() and environment.backends.is_dir():
        return environment  # also where nobody may write
    with _exclusively(cache / f"{root.name}.lock"):
        if not finished.is_file():
            listener(LifecycleEvent(Kind.STEP, "environment", f"installing Triton into {root}"))
            shutil.rmtree(root, ignore_errors=True)
            _install(root, listener)
            finished.touch()
            listener(LifecycleEvent(Kind.DONE, "environment", "Triton is installed"))
        if not environment.backends.is_dir():
            _assemble(environment)
    return environment


def libpython(
    variables: Mapping[str, str | int | None] | None = None, prefix: str = sys.base_prefix
) -> Path:
    """The shared library of this Python, which Triton's stub is linked to.

    Args:
        variables: how the Python was built; those of this one where None.
        prefix: folder in which it is installed.

    Raises:
        MissingPrerequisite: there is none; the message says what brings it.
    """
    name = f"libpython{_PYTHON}.so.1.0"
    variables = sysconfig.get_config_vars() if variables is None else variables
    folder = str(variables.get("LIBDIR") or "/usr/lib")
    places = [
        Path(folder, str(variables.get("INSTSONAME") or name)),
        Path(folder, name),
        Path(folder, str(variables.get("MULTIARCH") or ""), name),
        Path(prefix, "lib", name),
    ]
    for place in places:
        if place.name == name and place.is_file():
            return place
    raise MissingPrerequisite(
        f"{name} is missing; on Debian or Ubuntu `apt install libpython{_PYTHON}` brings it, "
        "with pyenv install Python with PYTHON_CONFIGURE_OPTS=--enable-shared"
    )


def _require_platform() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise MissingPrerequisite("the embedded Triton needs Linux on x86-64")
    library, version = platform.libc_ver()
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if library == "glibc" and numbers < _GLIBC:
        raise MissingPrerequisite(
            f"the embedded Triton needs glibc 2.35 or newer, this machine has {version}: "
            "use Debian 12, Ubuntu 22.04 or a newer system"
        )


def _fingerprint() -> str:
    return _digest(LOCK.read_bytes(), sys.version.encode())


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


@contextmanager
def _exclusively(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(root: Path, listener: Listener) -> None:
    _run([sys.executable, "-m", "venv", str(root)])
    install = [str(root / "bin" / "python3"), "-m", "pip", "install", "--quiet", "--no-deps"]
    pinned = requirements(LOCK.read_text())
    # pip takes hashes from files only.
    single = root / "requirement.txt"
    for done, (requirement, hashed) in enumerate(pinned.items()):
        name = requirement.partition("==")[0]
        message = f"installing {requirement}"
        listener(LifecycleEvent(Kind.PROGRESS, "environment", message, done, len(pinned)))
        single.write_text(hashed)
        _run([*install, "--require-hashes", "-r", str(single)], of=name)


def requirements(lock: str) -> dict[str, str]:
    """Each `name==version` of a lock file, and its whole entry with the hashes."""
    entries = re.findall(r"^([\w.-]+==\S+)((?:.*\\\n)*.*\n?)", lock, flags=re.MULTILINE)
    return {requirement: requirement + rest for requirement, rest in entries}


def _run(command: list[str], of: str = "the environment") -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1])
        raise BuildFailed(f"setting up {of} failed: {reason}")
    return done.stdout


def _assemble(environment: TritonEnvironment) -> None:
    wheel = environment.binary.parents[1]
    stub = wheel / "python_backend_stubs" / _PYTHON
    if not stub.is_dir():
        raise MissingPrerequisite(f"Triton's wheel has no stub for Python {_PYTHON}: use 3.11")
    environment.binary.chmod(0o755)
    unfinished = environment.root / "backends.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    python, ours = unfinished / "python", unfinished / "onnxruntime"
    shutil.copytree(wheel / "backends" / "python", python)
    shutil.copytree(stub, python, dirs_exist_ok=True)
    (python / "triton_python_backend_stub").chmod(0o755)
    ours.mkdir()
    shutil.copy(_BACKEND, ours / "model.py")
    unfinished.rename(environment.backends)


def _joined(*parts: str) -> str:
    return os.pathsep.join(part for part in parts if part)
