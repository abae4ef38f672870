"""What a `.keras` file may name, before Keras makes anything of it."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pellucid.architectures.errors import UnsafeFile
from pellucid.architectures.keras_file import check_config, check_weights


def layer(name: str, module: str | None = "keras.layers", **facts: Any) -> dict[str, Any]:
    part = {"module": module, "class_name": name, "config": {}, "registered_name": None} | facts
    return {"module": "keras", "class_name": "Sequential", "config": {"layers": [part]}}


@pytest.mark.parametrize("name", ["Conv2D", "Dense", "MultiHeadAttention", "Rescaling"])
def test_keras_own_layers_are_taken(name: str) -> None:
    check_config("network.keras", layer(name))


@pytest.mark.parametrize("name", ["Lambda", "TFSMLayer", "TorchModuleWrapper", "StringLookup"])
def test_layers_that_hold_code_or_read_files_are_refused(name: str) -> None:
    with pytest.raises(UnsafeFile, match=f"{name} layer"):
        check_config("network.keras", layer(name))


@pytest.mark.parametrize(
    "config",
    [
        layer("system", "os"),
        layer("get_file", "keras.utils"),
        layer("get_file", "keras.src.utils.file_utils"),
        layer("Mine", None, registered_name="package>Mine"),
        layer("package>Mine"),
    ],
)
def test_classes_from_elsewhere_are_refused(config: Any) -> None:
    with pytest.raises(UnsafeFile, match="only Keras' own layers"):
        check_config("network.keras", config)


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/other")])
def test_weights_behind_a_link_are_refused(tmp_path: Path, link: Any) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_group("layers")["dense"] = link
        with pytest.raises(UnsafeFile, match="another place"):
            check_weights("network.keras", file)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(16))
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_dataset("plain", data=np.zeros(4))
        check_weights("network.keras", file)
        file.create_dataset("far", (4,), "f4", external=[(str(tmp_path / "other"), 0, 16)])
        with pytest.raises(UnsafeFile, match="another file"):
            check_weights("network.keras", file)
