"""Figures of a card as people read them."""

from collections.abc import Mapping
from typing import Any, Final

_SHORT: Final = {"auc": "AUC", "macro_auc": "mean AUC", "f1": "F1"}


def is_table(value: Any) -> bool:
    """Whether it has figures below it, and is none itself."""
    return isinstance(value, Mapping) and "value" not in value


def text_of(value: Any) -> str:
    """The text of a figure, with its interval where it has one."""
    match value:
        case {"value": middle, "low": low, "high": high}:
            return f"{middle:.3f} ({low:.3f}\N{EN DASH}{high:.3f})"
        case float():
            return f"{value:.3f}"
        case [*parts]:
            return ", ".join(map(text_of, parts))
        case _:
            return " ".join(str(value).split())


def title_of(name: str) -> str:
    """The name of a figure or of a table."""
    return _SHORT.get(name, name.replace("_", " "))
