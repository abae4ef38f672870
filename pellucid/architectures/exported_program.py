"""Programs of `torch.export` in `.pt2` files, loaded only where nothing in them can run code.

`torch.export.load` unpickles without limits whatever an archive marks as pickled, evaluates its
symbolic expressions, and takes any attribute of torch for an operator. So an archive is read here
first, and one that holds more than tensors and plain operators is refused.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pellucid.architectures.errors import UnsafeFile

_FILES: Final = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/[\w.]+|models/model\.json"
    r"|data/weights/(model_weights_config\.json|weight_\d+)"
    r"|data/constants/(model_constants_config\.json|tensor_\d+)"
    r"|data/sample_inputs/model\.pt|extra/[\w.]*"
)
_SAMPLES: Final = "data/sample_inputs/model.pt"
_OPERATOR: Final = re.compile(
    r"torch\.ops\.aten\.[a-z]\w*\.\w+|torch\.sym_[a-z]+"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge)"
)
_TOUCHES_FILES: Final = re.compile(r"torch\.ops\.aten\.(from_file|save|load)\b.*")
_EXPRESSION: Final = re.compile(
    r"(?:[su]\d+|Symbol\('[su]\d+'(?:, [a-z]+=(?:True|False))*\)|Integer|Add|Mul|Mod|FloorDiv"
    r"|Max|Min|True|False|\d+|[-+*/(), <>=&|~])*"
)
"""Of sizes, as sympy writes them."""


def load_program(path: Path) -> Any:
    """Load an exported program as a module with the layers that it was exported from.

    Returns:
        A `torch.nn.Module`; its submodules have the names of the original network's.

    Raises:
        UnsafeFile: see `read_program`.
    """
    import torch

    return torch.export.unflatten(read_program(path))


def read_program(path: Path) -> Any:
    """Load an exported program.

    Returns:
        A `torch.export.ExportedProgram`.

    Raises:
        UnsafeFile: the archive holds pickled objects, other operators than torch's own, or is
            no exported program.
    """
    import torch

    _check(path)
    try:
        program = torch.export.load(path)
    except Exception as error:
        # The loader raises whatever a damaged archive leads it to.
        raise UnsafeFile(f"{path.name} is no program that this torch loads: {error}") from error
    # Compiled to Python where they are used; what they ask for stands in the contract.
    program._guards_code = []
    return program


def _check(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            files = {name.partition("/")[2]: name for name in archive.namelist()}
            if len(files) < len(archive.namelist()):
                # What is checked here has to be what torch's own reader takes.
                raise UnsafeFile(f"{path.name} holds a part twice: save it anew")
            if bad := [name for name in files if not _FILES.fullmatch(name)]:
                raise UnsafeFile(
                    f"{path.name} holds {bad[0]!r}, which may be pickled: save it with "
                    "`torch.export.save` of a current torch, without custom objects"
                )
            for name, stored in files.items():
                if name.endswith(".json"):
                    _check_json(path, name, json.loads(archive.read(stored)))
            _check_samples(path, archive.read(files[_SAMPLES]))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UnsafeFile(f"{path.name} is no exported program: {error}") from error


def _check_json(path: Path, name: str, content: Any) -> None:
    for key, value in _members(content):
        if key == "use_pickle" and value is not False:
            raise UnsafeFile(f"{path.name}: a tensor in {name} is pickled; export plain tensors")
        if key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value)):
            raise UnsafeFile(f"{path.name}: {name} refers to {value!r}, which is no tensor")
        if key == "target" and not _OPERATOR.fullmatch(str(value)):
            raise UnsafeFile(f"{path.name} uses {value!r}; only torch's own operators are loaded")
        if key == "target" and _TOUCHES_FILES.fullmatch(str(value)):
            raise UnsafeFile(f"{path.name} uses {value!r}, which touches files")
        if key == "expr_str" and not _EXPRESSION.fullmatch(str(value)):
            raise UnsafeFile(f"{path.name} has a size that is no plain expression: {value!r}")


def _check_samples(path: Path, content: bytes) -> None:
    import pickle

    import torch

    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise UnsafeFile(f"{path.name}: its sample inputs hold more than tensors") from error


def _members(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    if isinstance(content, dict):
        yield from content.items()
    children = content.values() if isinstance(content, dict) else content
    if isinstance(content, dict | list):
        for child in children:
            yield from _members(child)
