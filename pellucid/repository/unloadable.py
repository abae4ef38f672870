"""What is loaded so that it fails: Triton's index then says why a model is not served."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pellucid.repository.folder import GRAPH

FAILURE_PARAMETER: Final = "pellucid_failure"
"""Triton parameter of a model that cannot be served: why, for the drop-in backend to say."""
WAITS: Final = "waits to be built"
"""Part of the reason of a model that is not built yet, and will be built and loaded by itself."""
BUILDING_S: Final = 10.0
"""When to ask again for such a model: in about the time that one takes to be built."""

Unloadable = tuple[str, str, dict[str, bytes]]
"""Name, configuration as JSON, and content by path in the folder: arguments of `load`."""


def failed_model(name: str, reason: str) -> Unloadable:
    """A model that cannot be built or read.

    The drop-in backend says the reason; ONNX Runtime says that this is no graph.
    """
    parameters = {FAILURE_PARAMETER: {"string_value": reason}}
    return _unloadable(name, reason, backend="onnxruntime", parameters=parameters)


def waiting_model(name: str) -> Unloadable:
    """A model that waits to be built.

    There is no backend of such a name: any Triton says so at once, and starts no process for it.
    """
    return _unloadable(name, WAITS, backend=WAITS, parameters={})


def _unloadable(name: str, content: str, backend: str, parameters: Mapping[str, Any]) -> Unloadable:
    config = {
        "name": name,
        "backend": backend,
        "input": [{"name": "input", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": [-1]}],
        "parameters": parameters,
    }
    return name, json.dumps(config), {f"1/{GRAPH}": content.encode()}
