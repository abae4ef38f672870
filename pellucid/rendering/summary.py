"""Everything of a response but the arrays, as plain data for JSON."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
from google.protobuf.any_pb2 import Any as AnyMessage

from pellucid.client.results import Result

_BINARY: Final = frozenset({"map", "segment_scores", "display_png", "thumbnail_png", "axes"})


def summary(result: Result) -> dict[str, Any]:
    """A whole explanation, without its arrays."""
    return {
        "prediction": plain(result.prediction),
        "window_index": result.input.window_index,
        "window": plain(result.input.window),
        "targets": plain(result.targets),
        "explanations": plain(result.explanations),
        "partials": plain(result.partials),
        "failures": plain(result.failures),
        "comparison": plain(result.comparison),
    }


def plain(value: Any) -> Any:
    """Dataclasses to dictionaries, without arrays; a method or segmentation keeps its name."""
    if is_dataclass(value) and not isinstance(value, type):
        kind = getattr(type(value), "name", None)
        named = {} if kind is None else {"name": kind}
        return named | {
            field.name: plain(getattr(value, field.name))
            for field in fields(value)
            if field.name not in _BINARY
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, AnyMessage):
        return {"name": "extension", "message": value.TypeName()}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value
