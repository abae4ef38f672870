"""ONNX graphs as differentiable torch modules, by onnx2torch."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pellucid.architectures.errors import UnsafeFile

_NEWEST_OPSET: Final = 17
"""Of ONNX, that onnx2torch knows all the common operators of."""


def load_onnx(path: Path) -> Any:
    """Remake a graph in torch.

    Returns:
        A `torch.nn.Module` whose submodules are named after the graph's nodes.

    Raises:
        UnsafeFile: the graph cannot be read, or has an operator that onnx2torch does not know.
        ImportError: onnx2torch is not installed.
    """
    _do_without_torchvision()
    import onnx.version_converter
    from onnx2torch import convert

    try:
        graph = onnx.load_model(path)
        if any(one.domain == "" and one.version > _NEWEST_OPSET for one in graph.opset_import):
            graph = onnx.version_converter.convert_version(graph, _NEWEST_OPSET)
        return convert(graph)
    except Exception as error:
        # Of an operator without a counterpart; the converters raise whatever they like.
        raise UnsafeFile(f"{path.name} cannot be remade in torch: {error}") from error


def _do_without_torchvision() -> None:
    """Let onnx2torch be imported without torchvision.

    Only two operators of detectors need it, which no classifier has; its build has to match
    torch's to the letter.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:

        def roi_align(*_: Any, **__: Any) -> Any:
            raise NotImplementedError("operators of detectors need torchvision")

        operators = ModuleType("torchvision.ops")
        operators.roi_align = roi_align  # type: ignore[attr-defined]
        package = ModuleType("torchvision")
        package.ops = operators  # type: ignore[attr-defined]
        sys.modules |= {"torchvision": package, "torchvision.ops": operators}
