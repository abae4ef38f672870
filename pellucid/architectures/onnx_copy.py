"""ONNX graphs as differentiable torch modules, by onnx2torch."""

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Final

from pellucid.architectures.errors import UnsafeFile

_OPSET: Final = 17
"""Operators of later versions are not all known to onnx2torch, ReduceMean for one."""
_importing = Lock()


def load_onnx(path: Path) -> Any:
    """Remake a graph in torch.

    Returns:
        A `torch.nn.Module` whose submodules are named after the graph's nodes.

    Raises:
        UnsafeFile: the graph cannot be read, or has an operator that onnx2torch does not know.
        ImportError: onnx2torch is not installed.
    """
    import onnx
    from onnx.version_converter import convert_version

    convert = _onnx2torch()
    try:
        graph = onnx.load_model(path)
        versions = {each.domain: each.version for each in graph.opset_import}
        if versions.get("", 0) > _OPSET:
            graph = convert_version(graph, _OPSET)
        return convert(graph)
    except Exception as error:
        # Of an operator without a counterpart; the converters raise whatever they like.
        raise UnsafeFile(f"{path.name} cannot be remade in torch: {error}") from error


def _onnx2torch() -> Callable[[Any], Any]:
    """Import onnx2torch without torchvision.

    It imports torchvision for two operators of detectors, which no classifier has; torchvision
    exists for torch's CUDA build only, and with the CPU build its import fails. So an empty module
    stands in, only for as long as the import takes: nothing else is to think torchvision is there.
    """

    def roi_align(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("operators of detectors need torchvision")

    operators, package = ModuleType("torchvision.ops"), ModuleType("torchvision")
    vars(operators)["roi_align"] = roi_align
    vars(package)["ops"] = operators
    stand_ins = {"torchvision": package, "torchvision.ops": operators}
    with _importing:
        hidden = {name: sys.modules.pop(name) for name in stand_ins if name in sys.modules}
        sys.modules |= stand_ins
        try:
            from onnx2torch import convert
        finally:
            for name in stand_ins:
                del sys.modules[name]
            sys.modules |= hidden
    found: Callable[[Any], Any] = convert
    return found
