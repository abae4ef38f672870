"""What the documents tell people to type, open and import is there."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

from pellucid.cli import app, system
from pellucid.client.connection import DEFAULT_URL
from pellucid.embedded.settings import SystemSettings
from pellucid.repository.documents import stale

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "samples" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
TEXT = "\n".join(path.read_text() for path in DOCUMENTS)
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_make_target_exists() -> None:
    named = set(re.findall(r"(?:^|`)make ([\w-]+)", TEXT, re.MULTILINE))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_every_command_and_its_options_exist() -> None:
    calls = [re.match(r"(\w+)((?:[^\n#`]|\n {10,})*)", call) for call in TEXT.split("pellucid ")]
    named = [call.groups() for call in calls if call is not None and call[1] in COMMANDS]
    assert {name for name, _ in named} == set(COMMANDS)
    for name, rest in named:
        command = COMMANDS[name]
        if (sub := re.match(r" (\w+)", rest)) and sub[1] in getattr(command, "commands", {}):
            command = command.commands[sub[1]]
        parameters = command.params
        known = {option for one in parameters for option in (*one.opts, *one.secondary_opts)}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, f"pellucid {name}{rest}"


def test_every_example_in_python_imports_what_exists() -> None:
    examples = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    nodes = [node for example in examples for node in ast.walk(ast.parse(example))]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = import_module(str(node.module))
        assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_the_documented_port_is_the_default_everywhere() -> None:
    (port,) = set(re.findall(r"localhost:(\d+)", TEXT))
    assert f"localhost:{port}" == DEFAULT_URL
    assert SystemSettings().gateway_port == int(port)
    assert inspect.signature(system.up).parameters["port"].default == int(port)


def test_the_pages_of_the_models_are_those_of_their_cards() -> None:
    assert stale(ROOT / "triton_repo", ROOT / "docs") == []
