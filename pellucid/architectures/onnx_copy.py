"""ONNX graphs as differentiable torch modules, by onnx2torch."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pellucid.architectures.errors import UnsafeFile


def load_onnx(path: Path) -> Any:
    """Remake a graph in torch.

    Returns:
        A `torch.nn.Module` whose submodules are named after the graph's nodes.

    Raises:
        UnsafeFile: the graph cannot be read, or has an operator that onnx2torch does not know.
        ImportError: onnx2torch is not installed.
    """
    _do_without_torchvision()
    import onnx
    from onnx2torch import convert

    try:
        return convert(onnx.load_model(path))
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
