"""What follows from the parameters of methods: the client's classes and the table in the documents.

Both are written from the messages' comments and from the options at their fields, so that a range
or a default stands in `methods.proto` alone.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from google.protobuf.descriptor import Descriptor

from pellucid.api.explain.v1 import methods_pb2
from pellucid.parameters import Parameter, Value, parameters_of

CLASSES: Final = Path("pellucid") / "client" / "methods.py"
DOCUMENT: Final = Path("docs") / "methods.md"

_GROUPS: Final = (
    ("Method", "METHODS", "method", methods_pb2.Method.DESCRIPTOR),
    ("Segmentation", "SEGMENTATIONS", "segmentation", methods_pb2.Segmentation.DESCRIPTOR),
)
_PYTHON: Final = {"integer": "int", "number": "float", "boolean": "bool", "string": "str"}
_HEAD: Final = '''\
"""Methods and segmentations with their parameters; one that is None takes the server's default.

Written by protos/generate.py from methods.proto; change it there.
"""

from dataclasses import dataclass
from typing import ClassVar, Final
'''
_INTRODUCTION: Final = """\
# Methods and segmentations

Written by `make proto` from the options at the fields of
[`methods.proto`](../protos/pellucid/api/explain/v1/methods.proto); change them there. Which of
these a model can do, where they run and which numbers come with their maps is in the capabilities.
"""


def texts(comments: Mapping[str, str]) -> dict[Path, str]:
    """Every derived file, by its path below the root.

    Args:
        comments: what is said of each message, by its full name.
    """
    return {CLASSES: _classes(comments), DOCUMENT: _document(comments)}


def _members(group: Descriptor) -> Iterator[tuple[str, Descriptor]]:
    """Name and parameters of each choice of a group; extensions have no class of their own."""
    for field in group.fields:
        if field.message_type is not None and field.name != "extension":
            yield field.name, field.message_type


def _classes(comments: Mapping[str, str]) -> str:
    parts = [_HEAD]
    for alias, table, noun, group in _GROUPS:
        members = list(_members(group))
        parts += [_class(name, one, comments[one.full_name]) for name, one in members]
        kinds = "\n    | ".join(one.name for _, one in members)
        entries = "".join(f'    "{name}": {one.name},\n' for name, one in members)
        parts.append(
            f"\n\n{alias} = (\n    {kinds}\n)\n"
            f"\n{table}: Final[dict[str, type[{alias}]]] = {{\n{entries}}}\n"
            f'"""Every {noun} by name."""\n'
        )
    return "".join(parts)


def _class(name: str, message: Descriptor, comment: str) -> str:
    lines = [
        "\n",
        "@dataclass(frozen=True, kw_only=True)",
        f"class {message.name}:",
        _docstring(comment),
        "",
        f'    name: ClassVar[str] = "{name}"',
    ]
    for parameter in parameters_of(message):
        lines.append(f"    {parameter.name}: {_PYTHON[parameter.type]} | None = None")
        lines.append(_docstring(_sentence(parameter)))
    return "\n".join(lines) + "\n"


def _docstring(text: str) -> str:
    wrapped = textwrap.wrap(f'"""{text}"""', 96, break_long_words=False, break_on_hyphens=False)
    return textwrap.indent("\n".join(wrapped), "    ")


def _sentence(parameter: Parameter) -> str:
    """All of a parameter: `Perturbed inputs. 10 to 10,000 samples; by default 500.`, say."""
    default = f"by default {_plain(parameter.default)}" if parameter.default is not None else ""
    said = "; ".join(part for part in (_range(parameter), default) if part)
    return (
        f"{parameter.description} {said[:1].upper()}{said[1:]}." if said else parameter.description
    )


def _document(comments: Mapping[str, str]) -> str:
    parts = [_INTRODUCTION]
    for alias, _, _, group in _GROUPS:
        parts.append(f"\n## {alias}s\n")
        for name, message in _members(group):
            parts.append(f"\n### `{name}`\n\n{comments[message.full_name]}\n\n")
            parts.append("| parameter | type | range | default | |\n|---|---|---|---|---|\n")
            parts += [_row(parameter) for parameter in parameters_of(message)]
    return "".join(parts)


def _row(parameter: Parameter) -> str:
    default = "of the model" if parameter.default is None else _plain(parameter.default)
    cells = (f"`{parameter.name}`", parameter.type, _range(parameter), default)
    return f"| {' | '.join(cells)} | {parameter.description} |\n"


def _range(parameter: Parameter) -> str:
    if parameter.minimum is None or parameter.maximum is None:
        return ""
    return f"{parameter.minimum:,g} to {parameter.maximum:,g} {parameter.unit}".strip()


def _plain(value: Value) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:,g}" if is_number else json.dumps(value)
