"""A model's folder: what is in it, what must be built, and the building."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import yaml

from pellucid.cards import MASKED_SUFFIX, Card
from pellucid.export.classifier import classifier_graph
from pellucid.export.config import classifier_config, masked_config
from pellucid.export.errors import ExportError
from pellucid.export.graphs import read_graph, set_source, source_of
from pellucid.export.masked import masked_graph

_EXPORTER = "1"
"""Part of every source digest: a change of how graphs are built makes the old ones stale."""


@dataclass(frozen=True)
class ModelFolder:
    """Paths of one model, and what its graphs must have been built from.

    A folder with `1/weights.safetensors` has its `1/model.onnx` built; one without must bring it.
    """

    path: Path
    card: Card

    @classmethod
    def read(cls, path: Path) -> "ModelFolder":
        """Read a folder's card.

        Raises:
            ExportError: the folder has no valid card, neither weights nor a graph, or weights
                without an architecture.
        """
        try:
            folder = cls(path, Card.read(path / "card.yaml"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ExportError(f"{path.name}/card.yaml: {error}") from error
        if folder.card.name != path.name:
            raise ExportError(f"{path.name}/card.yaml is of a model called {folder.card.name!r}")
        if not folder.weights.is_file() and not folder.model.is_file():
            raise ExportError(f"{path.name}/1 has neither weights.safetensors nor model.onnx")
        if folder.builds and folder.card.architecture is None:
            raise ExportError(f"{path.name}/card.yaml has weights but names no architecture")
        return folder

    @property
    def weights(self) -> Path:
        """The committed weights."""
        return self.path / "1" / "weights.safetensors"

    @property
    def model(self) -> Path:
        """The classifier's graph."""
        return self.path / "1" / "model.onnx"

    @property
    def masked(self) -> Path:
        """Folder of the graph that expands masks."""
        return self.path.with_name(self.path.name + MASKED_SUFFIX)

    @property
    def builds(self) -> bool:
        """Whether the classifier's graph is built from weights."""
        return self.weights.is_file()

    def weights_digest(self) -> str:
        """SHA-256 of the weights, or of the graph where there are none; hexadecimal."""
        source = self.weights if self.builds else self.model
        return hashlib.sha256(source.read_bytes()).hexdigest()

    def source(self, weights_digest: str) -> str:
        """Digest of everything that decides what the graphs compute."""
        architecture = self.card.architecture
        facts = {
            "exporter": _EXPORTER,
            "weights": weights_digest,
            "architecture": architecture
            and architecture.model_dump(include={"framework", "builder", "arguments"}),
            "shape": self.card.preprocess.shape,
            "layout": self.card.preprocess.layout,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def model_folders(repository: Path) -> Iterator[Path]:
    """Folders of a repository that have a card, by name."""
    yield from sorted(path.parent for path in repository.glob("*/card.yaml"))


def is_current(path: Path) -> bool:
    """Whether everything that `export_model` writes is there and made from what is there now.

    Raises:
        ExportError: the folder cannot be exported at all.
    """
    folder = ModelFolder.read(path)
    digest = folder.weights_digest()
    source = folder.source(digest)
    return (
        _has(path / "config.pbtxt", classifier_config(folder.card, digest))
        and _has(folder.masked / "config.pbtxt", masked_config(folder.card, digest))
        and (not folder.builds or _source_in(folder.model) == source)
        and _source_in(folder.masked / "1" / "model.onnx") == source
    )


def export_model(path: Path) -> None:
    """Build what Triton serves from a folder's card and weights.

    Writes `config.pbtxt` and `1/model.onnx` (unless the folder brings its own graph), and the
    sibling folder `<name>_masked` with the same two. Files are replaced in one step each.

    Args:
        path: folder with `card.yaml` and `1/weights.safetensors` or `1/model.onnx`.

    Raises:
        ExportError: the folder cannot be exported; the message says why.
    """
    folder = ModelFolder.read(path)
    card = folder.card
    digest = folder.weights_digest()
    source = folder.source(digest)
    if folder.builds and card.architecture is not None:
        graph = classifier_graph(card, card.architecture, folder.weights)
        set_source(graph, source)
    else:
        graph = read_graph(folder.model)
    _check(graph, card)
    masked = masked_graph(graph, card.preprocess.layout)
    set_source(masked, source)
    if folder.builds:
        _replace(folder.model, graph.SerializeToString())
    _replace(path / "config.pbtxt", classifier_config(card, digest).encode())
    _replace(folder.masked / "1" / "model.onnx", masked.SerializeToString())
    _replace(folder.masked / "config.pbtxt", masked_config(card, digest).encode())


def _check(graph: onnx.ModelProto, card: Card) -> None:
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim][1:]
        for value in (*graph.graph.input, *graph.graph.output)
    }
    for name, wanted in (("input", [*card.preprocess.shape]), ("logits", [card.logits])):
        if name not in shapes:
            raise ExportError(f"model.onnx of {card.name} has no `{name}`: {sorted(shapes)}")
        if shapes[name] != wanted:
            raise ExportError(
                f"`{name}` of model.onnx of {card.name} has the shape {shapes[name]}, "
                f"the card says {wanted}"
            )


def _has(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _source_in(path: Path) -> str | None:
    try:
        return source_of(read_graph(path))
    except ExportError:
        # Missing or damaged, it is not what would be written.
        return None


def _replace(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two systems may build the same repository at once.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
