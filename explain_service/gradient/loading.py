"""From what Triton serves to a filled copy, or to the reason why there is none."""

import os
from functools import lru_cache
from pathlib import Path
from threading import Lock

from explain_service.gradient.model import GradientModel
from pellucid.architectures import BUILDERS
from pellucid.architectures.errors import UnsafeFile
from pellucid.architectures.weights import WeightsMismatch
from pellucid.cards import Card
from pellucid.repository.folder import file_digest, source_file
from pellucid.serving.served_model import ServedModel

_importing = Lock()
_prepared: set[str] = set()


class NoCopy(Exception):
    """A model has no copy; the message says why, to the caller."""


def find_weights(repository: Path, model: ServedModel) -> Path:
    """The file that a served model's weights came from.

    Raises:
        NoCopy: there is no architecture to fill, no such file, or it is not what is served.
    """
    architecture = model.card.architecture
    if model.card.members:
        raise NoCopy("it is an ensemble: gradient methods explain its members, one at a time")
    if architecture is None:
        raise NoCopy("the model's card names no architecture, so there is nothing to differentiate")
    if architecture.builder is not None and architecture.builder not in BUILDERS:
        raise NoCopy(f"no architecture is called {architecture.builder!r}")
    if not model.weights_digest:
        raise NoCopy("the served model does not say which weights it has")
    path = repository / model.card.name / model.version / source_file(architecture)
    try:
        status = path.stat()
    except OSError as error:
        place = path.relative_to(repository)
        raise NoCopy(f"the explain service does not find {place}") from error
    if _digest(path, status.st_mtime_ns, status.st_size) != model.weights_digest:
        raise NoCopy("the weights on disk are not those that are served: load the model again")
    return path


def load_copy(card: Card, weights: Path, *, chunk: int, threads: int) -> GradientModel:
    """Build the network of a card and fill it; imports its framework where it was not yet.

    Args:
        card: the model's.
        weights: from `find_weights`.
        chunk: inputs of 224 x 224 differentiated at once.
        threads: of one chunk; the first call for a framework decides.

    Raises:
        NoCopy: the framework is not installed, or network, card and weights do not fit together.
    """
    assert card.architecture is not None
    framework = card.architecture.framework
    inputs = _inputs_at_once(card, chunk)
    try:
        _prepare(framework, threads)
        if framework != "keras":
            from explain_service.gradient.torch_copy import TorchCopy

            return TorchCopy.load(card.architecture, weights, inputs)
        from explain_service.gradient.keras_copy import KerasCopy

        return KerasCopy.load(card.architecture, weights, inputs)
    except ImportError as error:
        raise NoCopy(f"the explain service runs without {error.name or framework}") from error
    except (ValueError, WeightsMismatch, UnsafeFile) as error:
        raise NoCopy(f"the copy cannot be built: {error}") from error


def _inputs_at_once(card: Card, chunk: int) -> int:
    """What fits into the memory of `chunk` inputs of 224 x 224, from 1 to 32."""
    rows, columns = card.preprocess.plane
    return min(max(chunk * 224 * 224 // (rows * columns), 1), 32)


def _prepare(framework: str, threads: int) -> None:
    with _importing:
        if framework in _prepared:
            return
        if framework != "keras":
            from explain_service.gradient import torch_copy

            torch_copy.prepare(threads)
        else:
            # Read when tensorflow is imported: it warns of missing accelerators otherwise.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            from explain_service.gradient import keras_copy

            keras_copy.prepare(threads)
        _prepared.add(framework)


@lru_cache(maxsize=64)
def _digest(path: Path, modified_ns: int, size: int) -> str:
    """SHA-256 of a file; its time and size are part of the key."""
    return file_digest(path)
