"""A user's own file, made into what a version folder holds: weights, a network, or a graph.

Nothing in the file is run before it has been checked, and what is written can be loaded by the
same rules.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pellucid.architectures.errors import UnsafeFile
from pellucid.architectures.networks import load_network
from pellucid.cards import Architecture, Card
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.folder import NETWORKS, WEIGHTS

_BUILDER: Final = (
    "these are weights without a network: name a builder under `architecture` in the card, or "
    "bring the network itself ({})"
)


def bring(file: Path, card: Card, version: Path) -> Architecture:
    """Write a user's file into a version folder.

    Args:
        file: a torch `state_dict` (`.pt`, `.pth`, `.bin`, `.ckpt`, `.safetensors`), a `.pt2`,
            `.keras`, `.h5` or `.onnx` file, or the folder of a SavedModel.
        card: of the model; its architecture names the builder that weights fit.
        version: the folder, which exists.

    Returns:
        What the file is of; the layers are the card's.

    Raises:
        ModelNotBuilt: the file is of no known format, or card and file do not fit together.
        UnsafeFile: it could run code, or is damaged.
    """
    kind = "saved_model" if file.is_dir() else file.suffix.lower()
    if kind not in _KINDS:
        known = ", ".join(name for name in _KINDS if name.startswith("."))
        raise ModelNotBuilt(
            f"{file.name} is of no known format: bring one of {known}, or a SavedModel's folder"
        )
    framework = _KINDS[kind](file, card, version)
    stated = card.architecture
    if stated is not None and stated.framework != framework:
        raise ModelNotBuilt(f"{file.name} is of {framework}, the card says {stated.framework}")
    return stated or Architecture.model_validate({"framework": framework})


def _state_dict(file: Path, card: Card, version: Path) -> str:
    import pickle

    import torch

    _builder(card, "torch", "`torch.export.save`, .pt2")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeFile(
            f"{file.name} holds pickled code, which is not run: save "
            "`model.state_dict()`, or the network with `torch.export.save`"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise UnsafeFile(f"{file.name} is no file of torch: {error}") from error
    tensors = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(tensors, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in tensors.values()
    ):
        raise ModelNotBuilt(f"{file.name} is no `state_dict`: a mapping of names to tensors")
    _save({key: value.float().numpy() for key, value in tensors.items()}, version)
    return "torch"


def _safetensors(file: Path, card: Card, version: Path) -> str:
    from safetensors import SafetensorError

    from pellucid.architectures.weights import load_arrays

    _builder(card, "", ".pt2, .keras or .onnx")
    assert card.architecture is not None  # it has a builder
    try:
        if card.architecture.framework == "torch":
            from safetensors.torch import load_file

            arrays: Mapping[str, Any] = {k: v.float().numpy() for k, v in load_file(file).items()}
        else:
            arrays = load_arrays(file)
    except (SafetensorError, OSError, TypeError) as error:
        raise UnsafeFile(f"{file.name} is no file of safetensors: {error}") from error
    _save(arrays, version)
    return card.architecture.framework


def _program(file: Path, card: Card, version: Path) -> str:
    return _whole(file, card, version, "torch")


def _keras(file: Path, card: Card, version: Path) -> str:
    return _whole(file, card, version, "keras")


def _whole(file: Path, card: Card, version: Path, framework: str) -> str:
    """Take a file that is the network itself over as it is."""
    if card.architecture is not None and card.architecture.builder is not None:
        raise ModelNotBuilt(
            f"{file.name} is a network of its own: leave `builder` out of the card, or bring "
            f"the weights that fit {card.architecture.builder}"
        )
    # Here, so that an error names the user's file.
    load_network(Architecture.model_validate({"framework": framework}), file)
    shutil.copyfile(file, version / NETWORKS[framework])
    return framework


def _h5(file: Path, card: Card, version: Path) -> str:
    from pellucid.architectures.keras_h5 import load_h5_model, load_h5_weights

    if card.architecture is None or card.architecture.builder is None:
        load_h5_model(file).save(version / NETWORKS["keras"])
        return "keras"
    _builder(card, "keras", ".keras")
    try:
        model = load_h5_weights(card.architecture, file)
    except ValueError as error:
        raise ModelNotBuilt(f"architecture: {error}") from error
    _save({weight.path: np.asarray(weight) for weight in model.weights}, version)
    return "keras"


def _onnx(file: Path, card: Card, version: Path) -> str:
    from pellucid.repository.foreign_graphs import served_graph

    (version / NETWORKS["onnx"]).write_bytes(served_graph(file, card).SerializeToString())
    return "onnx"


def _saved_model(file: Path, card: Card, version: Path) -> str:
    from pellucid.repository.saved_models import to_onnx

    converted = version / "converted.onnx"
    to_onnx(file, converted)
    try:
        return _onnx(converted, card, version)
    finally:
        converted.unlink()


def _builder(card: Card, framework: str, instead: str) -> None:
    architecture = card.architecture
    if architecture is None or architecture.builder is None:
        raise ModelNotBuilt(_BUILDER.format(instead))
    if framework and architecture.framework != framework:
        raise ModelNotBuilt(f"the file is of {framework}, the card says {architecture.framework}")


def _save(arrays: Mapping[str, Any], version: Path) -> None:
    """Write weights as they are: the user's precision is not ours to halve."""
    from pellucid.architectures.weights import is_stored, write_arrays

    kept = {
        key: np.ascontiguousarray(array, np.float32)
        for key, array in arrays.items()
        if is_stored(key)
    }
    write_arrays(kept, version / WEIGHTS)


_KINDS: Final[Mapping[str, Callable[[Path, Card, Path], str]]] = {
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), _state_dict),
    ".safetensors": _safetensors,
    ".pt2": _program,
    ".keras": _keras,
    **dict.fromkeys((".h5", ".hdf5"), _h5),
    ".onnx": _onnx,
    "saved_model": _saved_model,
}
