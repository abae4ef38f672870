"""What is typed on the command line, to what the client takes."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import typer

from pellucid.client.methods import METHODS, SEGMENTATIONS, Method, Segmentation
from pellucid.client.options import AboveThreshold, Index, Label, Target, TopK


def parse_methods(text: str, parameters: Sequence[str]) -> list[Method]:
    """`lime,grad_cam`, with `lime.samples=500`, to methods.

    Args:
        text: names, separated by commas.
        parameters: each `METHOD.NAME=VALUE`.

    Raises:
        typer.BadParameter: a name or a value is wrong; the message says what is right.
    """
    wanted = [part.strip() for part in text.split(",")]
    for name in wanted:
        if name not in METHODS:
            raise typer.BadParameter(f"no method {name!r}; choose from: all, {', '.join(METHODS)}")
    values: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for parameter in parameters:
        method, name, value = _parameter(parameter, wanted)
        values[method][name] = value
    return [METHODS[name](**given) for name, given in values.items()]


def parse_target(text: str) -> Target:
    """`fake`, `label:fake`, `#1`, `top:2` or `threshold` to a target.

    Raises:
        typer.BadParameter: a number is missing.
    """
    if text == "threshold":
        return AboveThreshold()
    kind, colon, rest = text.partition(":")
    if colon and kind == "label":
        return Label(rest)
    if colon and kind == "top":
        return TopK(_number(rest, int, text))
    if text.startswith("#"):
        return Index(_number(text[1:], int, text))
    return Label(text)


def parse_segmentation(text: str) -> Segmentation:
    """`slic:60`, `grid:8x16`: values in the order of the parameters; or `slic:segments=60,...`.

    Raises:
        typer.BadParameter: a name or a value is wrong.
    """
    name, _, rest = text.partition(":")
    kind = SEGMENTATIONS.get(name)
    if kind is None:
        known = ", ".join(SEGMENTATIONS)
        raise typer.BadParameter(f"no segmentation {name!r}; choose from: {known}")
    if "=" in rest:
        return kind(**dict(_assignment(kind, pair) for pair in rest.split(",")))
    values = rest.split("x") if rest else []
    names = [field.name for field in fields(kind)]
    if len(values) > len(names):
        raise typer.BadParameter(f"{text!r}: {name} takes at most {'x'.join(names)}")
    return kind(**{one: _value(kind, one, v, text) for one, v in zip(names, values, strict=False)})


def _parameter(text: str, wanted: Sequence[str]) -> tuple[str, str, Any]:
    method, dot, rest = text.partition(".")
    if not dot or method not in METHODS:
        raise typer.BadParameter(f"{text!r} is not METHOD.NAME=VALUE, e.g. lime.samples=500")
    if method not in wanted:
        raise typer.BadParameter(f"{text!r}: {method} is not among --methods")
    return method, *_assignment(METHODS[method], rest)


def _assignment(kind: Any, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    known = [field.name for field in fields(kind)]
    if not equals or name not in known:
        raise typer.BadParameter(f"{text!r}: {kind.name} takes {', '.join(known)}")
    return name, _value(kind, name, value, text)


def _value(kind: Any, name: str, value: str, whole: str) -> Any:
    """A value of the type of a class's field; `whole` is what was typed."""
    plain = get_args(get_type_hints(kind)[name])[0]
    return _boolean(value) if plain is bool else _number(value, plain, whole)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise typer.BadParameter(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _number(text: str, kind: Any, whole: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        noun = "a whole number" if kind is int else "a number"
        raise typer.BadParameter(f"{whole!r}: {text!r} is not {noun}") from None
