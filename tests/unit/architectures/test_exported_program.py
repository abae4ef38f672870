"""What a `.pt2` archive may hold, before torch makes anything of it."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pellucid.architectures.errors import UnsafeFile
from pellucid.architectures.exported_program import read_program


def archive(folder: Path, files: dict[str, Any]) -> Path:
    """An archive as `torch.export.save` writes it, with other contents."""
    path = folder / "network.pt2"
    with zipfile.ZipFile(path, "w") as made:
        for name, content in files.items():
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            made.writestr(f"network/{name}", text)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "data/weights/model.pt",
        "data/constants/model.pt",
        "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0",
        "data/aotinductor/model/run.so",
        "models/other.json",
    ],
)
def test_parts_that_would_be_unpickled_or_run_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeFile, match=name):
        read_program(archive(tmp_path, {"models/model.json": {}, name: b""}))


def test_a_pickled_tensor_is_refused(tmp_path: Path) -> None:
    config = {"config": {"fc.weight": {"path_name": "weight_0", "use_pickle": True}}}
    files = {"data/weights/model_weights_config.json": config}
    with pytest.raises(UnsafeFile, match="pickled"):
        read_program(archive(tmp_path, files))


def test_a_reference_out_of_the_archive_is_refused(tmp_path: Path) -> None:
    config = {"config": {"a": {"path_name": "../constants/opaque_obj_0", "use_pickle": False}}}
    files = {"data/constants/model_constants_config.json": config}
    with pytest.raises(UnsafeFile, match="no tensor"):
        read_program(archive(tmp_path, files))


@pytest.mark.parametrize(
    "target",
    [
        "torch.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.mine.custom.default",
        "torch.hub.load",
        "_operator.attrgetter",
        "#extension:op",
    ],
)
def test_other_operators_than_torchs_own_are_refused(tmp_path: Path, target: str) -> None:
    program = {"graph_module": {"graph": {"nodes": [{"target": target, "inputs": []}]}}}
    with pytest.raises(UnsafeFile, match="uses"):
        read_program(archive(tmp_path, {"models/model.json": program}))


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "s0.func",
        "open(s0)",
        "s0[0]",
        "exec(1)",
        "Symbol('os')",
        "Symbol('s0', cls=exec)",
    ],
)
def test_a_size_that_is_code_is_refused(tmp_path: Path, expression: str) -> None:
    program = {"sizes": [{"as_expr": {"expr_str": expression}}]}
    with pytest.raises(UnsafeFile, match="no plain expression"):
        read_program(archive(tmp_path, {"models/model.json": program}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_part_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"models/model.json": {}})
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("network/models/model.json", "{}")
    with pytest.raises(UnsafeFile, match="twice"):
        read_program(path)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.pt2"
    path.write_bytes(b"no archive")
    with pytest.raises(UnsafeFile, match="no exported program"):
        read_program(path)
