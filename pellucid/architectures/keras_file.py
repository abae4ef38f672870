"""Models in `.keras` files, loaded only where they consist of Keras' own layers.

Keras' safe mode refuses Lambda layers; classes that read files, wrap other frameworks or come from
other packages are refused here, before anything is made of the file.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pellucid.architectures.errors import UnsafeFile

_MODULES: Final = re.compile(
    r"builtins|keras(\.src)?(\.(layers|models|initializers|regularizers|constraints|activations"
    r"|dtype_policies|ops|backend|optimizers|losses|metrics)[\w.]*)?"
)
_REFUSED: Final = frozenset(
    [
        "Lambda",
        "TFSMLayer",
        "TorchModuleWrapper",
        "JaxLayer",
        "FlaxLayer",
        "StringLookup",
        "IntegerLookup",
        "TextVectorization",
        "HashedCrossing",
        "FeatureSpace",
    ]
)
"""They hold code, run other frameworks', or read files that they name."""
_PARTS: Final = frozenset({"config.json", "metadata.json", "model.weights.h5"})


def load_keras_file(path: Path) -> Any:
    """Load a whole model.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        UnsafeFile: the file holds other things than Keras' own layers, or is no model of Keras 3.
    """
    import h5py
    import keras

    with keras_errors(path):
        with zipfile.ZipFile(path) as archive:
            if bad := sorted(set(archive.namelist()) - _PARTS):
                raise UnsafeFile(f"{path.name} holds {bad[0]!r}, which no plain model has")
            check_config(path.name, json.loads(archive.read("config.json")))
            with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as weights:
                check_weights(path.name, weights)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


@contextmanager
def keras_errors(path: Path) -> Iterator[None]:
    """Refuse a file that cannot be loaded, whatever Keras raises of it.

    Raises:
        UnsafeFile: instead of any other error.
    """
    try:
        yield
    except UnsafeFile:
        raise
    except Exception as error:
        raise UnsafeFile(f"{path.name} is no model that Keras loads safely: {error}") from error


def check_config(name: str, config: Any) -> None:
    """Refuse the configuration of a model that is not only made of Keras' own layers.

    Args:
        name: of the file, for the error.
        config: of a model, as Keras writes it.

    Raises:
        UnsafeFile: it names a class that holds code or comes from elsewhere.
    """
    for part in _objects(config):
        kind = str(part["class_name"])
        module, registered = part.get("module"), part.get("registered_name")
        if kind.rpartition(">")[2] in _REFUSED:
            raise UnsafeFile(
                f"{name} has a {kind} layer, which can hold code: use Keras' own layers instead"
            )
        custom = ">" in kind or (registered and ">" in str(registered))
        if custom or (module is not None and not _MODULES.fullmatch(str(module))):
            raise UnsafeFile(f"{name} needs {kind} of {module}: only Keras' own layers are loaded")


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    if isinstance(config, dict) and "class_name" in config:
        yield config
    children = config.values() if isinstance(config, dict) else config
    if isinstance(config, dict | list):
        for child in children:
            yield from _objects(child)


def check_weights(name: str, group: Any) -> None:
    """Refuse weights that lie in other files.

    Args:
        name: of the file, for the error.
        group: of an open `h5py.File`, or the file itself.

    Raises:
        UnsafeFile: a link or a data set leads out of the file.
    """
    import h5py

    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise UnsafeFile(f"{name}: weights {key!r} lie in another place")
        found = group[key]
        if isinstance(found, h5py.Group):
            check_weights(name, found)
        elif found.external or found.is_virtual:
            raise UnsafeFile(f"{name}: weights {key!r} lie in another file")
