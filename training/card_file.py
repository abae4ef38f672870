"""A card's file: above a mark what people wrote, below it what was measured."""

from pathlib import Path
from typing import Any

import yaml

MARK = "# Measured by the training; the lines below are replaced by the next.\n"
_MARKS = "# Measured by "
"""How the mark began in all versions."""


def with_measured(by_hand: str, measured: dict[str, Any]) -> str:
    """The text of a card.

    Args:
        by_hand: YAML, kept as it is.
        measured: fields that go below it.
    """
    below = yaml.safe_dump(measured, sort_keys=False, default_flow_style=None, allow_unicode=True)
    return by_hand + MARK + below


def put_measured(path: Path, changes: dict[str, Any]) -> None:
    """Replace fields below the mark; what people wrote stays as it is.

    Args:
        path: of `card.yaml`.
        changes: fields; the others that were measured stay.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    marks = [number for number, line in enumerate(lines) if line.startswith(_MARKS)]
    at = marks[0] if marks else len(lines)
    measured = yaml.safe_load("".join(lines[at:])) or {}
    new = path.with_name("card.new")
    new.write_text(with_measured("".join(lines[:at]), measured | changes), encoding="utf-8")
    new.replace(path)
