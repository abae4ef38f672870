"""What `pip install pellucid` brings: the client, its command, and the few packages they import."""

import os
import re
import subprocess
import sys
import tomllib
from email.message import Message
from email.parser import Parser
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = PROJECT["tool"]["hatch"]["build"]["only-include"]
CLIENT = {
    "googleapis-common-protos",
    "grpcio",
    "grpcio-status",
    "numpy",
    "protobuf",
    "typing-extensions",
}

RUN = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Missing())
{code}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", str(folder)], cwd=ROOT, check=True)
    (built,) = folder.glob("pellucid-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder of packages with the wheel in it; to install a wheel is to unpack it."""
    folder = wheel.parent / "site-packages"
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Message:
    (path,) = installed.glob("pellucid-*.dist-info/METADATA")
    return Parser().parsestr(path.read_text(encoding="utf-8"))


def requirements(metadata: Message, extra: str = "") -> list[Requirement]:
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": extra})]


def closure(names: set[str]) -> set[str]:
    """Distributions that these bring, themselves included."""
    found: set[str] = set()
    pending = {canonicalize_name(name) for name in names}
    while pending:
        name = pending.pop()
        found.add(name)
        needed = [Requirement(line) for line in requires(name) or []]
        pending |= {
            canonicalize_name(one.name)
            for one in needed
            if one.marker is None or one.marker.evaluate({"extra": ""})
        } - found
    return found


def run(installed: Path, distributions: set[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code where the wheel and these distributions are installed, and no others."""
    missing = {
        module
        for module, names in packages_distributions().items()
        if not distributions & {canonicalize_name(name) for name in names}
    } - {"pellucid"}
    return subprocess.run(
        [sys.executable, "-c", RUN.format(missing=missing, code=code)],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )


def test_the_wheel_has_the_client_and_no_server(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {
        "pellucid"
    }
    inside = {path.name for path in (installed / "pellucid").iterdir()}
    assert inside == {Path(path).name for path in SHIPPED}
    assert not inside & {"embedded", "serving", "export", "cards.py", "contracts", "architectures"}


def test_the_wheel_has_the_files_that_are_no_code(installed: Path) -> None:
    assert (installed / "pellucid" / "py.typed").is_file()
    assert (installed / "pellucid" / "rendering" / "page.html.j2").is_file()


def test_an_install_brings_six_packages(metadata: Message) -> None:
    named = {canonicalize_name(one.name) for one in requirements(metadata)}
    assert named == CLIENT
    assert closure(named) == CLIENT


def test_the_client_runs_on_python_3_10_and_pins_nothing(metadata: Message) -> None:
    assert metadata["Requires-Python"] == ">=3.10"
    assert [str(one) for one in requirements(metadata) if "==" in str(one.specifier)] == []


def test_the_bounds_are_those_of_the_generated_code(metadata: Message) -> None:
    needed = {one.name: one.specifier for one in requirements(metadata)}
    stub = (ROOT / "pellucid" / "api" / "gateway" / "v1" / "gateway_pb2_grpc.py").read_text()
    code = (ROOT / "pellucid" / "api" / "gateway" / "v1" / "gateway_pb2.py").read_text()
    (grpc,) = re.findall(r"GRPC_GENERATED_VERSION = '(.+)'", stub)
    (protobuf,) = re.findall(r"Protobuf Python Version: (.+)", code)
    assert f">={grpc}" in str(needed["grpcio"])
    assert f">={protobuf}" in str(needed["protobuf"])


def test_the_client_imports_with_nothing_else_around(installed: Path) -> None:
    done = run(installed, CLIENT, "import pellucid.client; print(pellucid.client.__file__)")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(installed))


def test_the_command_names_the_extra_that_it_lacks(installed: Path) -> None:
    done = run(installed, CLIENT, "from pellucid.__main__ import main; main()")
    assert done.returncode == 1
    assert "pip install 'pellucid[cli]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "Classify files"),
        (["up"], 5, "runs from a checkout of Pellucid"),
        (["train", "any"], 5, "trained in a checkout of Pellucid"),
    ],
)
def test_the_command_comes_with_its_extra(
    installed: Path, metadata: Message, arguments: list[str], code: int, words: str
) -> None:
    brought = closure({one.name for one in requirements(metadata, "cli")})
    script = f"import sys; sys.argv[1:] = {arguments}; from pellucid.__main__ import main; main()"
    done = run(installed, brought, script)
    assert done.returncode == code
    assert words in done.stdout + done.stderr


def test_pictures_come_with_their_extra(installed: Path, metadata: Message) -> None:
    brought = closure({one.name for one in requirements(metadata, "rendering")})
    assert "typer" not in brought
    done = run(installed, brought, "import pellucid.rendering")
    assert (done.returncode, done.stderr) == (0, "")


def test_everything_shipped_is_python_3_10() -> None:
    """Of syntax and of the standard library, as its types say."""
    shipped = [ROOT / path for path in SHIPPED if not path.endswith(("py.typed", "api"))]
    # What is not shipped, and imported where it is there, may be newer.
    options = ["--python-version", "3.10", "--follow-imports", "silent"]
    command = [sys.executable, "-m", "mypy", *options, *map(str, shipped)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
