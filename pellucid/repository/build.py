"""Building: from a folder's card and weights to everything that Triton loads."""

import os
from pathlib import Path
from typing import Final

import onnx

from pellucid.cards import DISTANCE, FEATURES, Card
from pellucid.repository.classifier import classifier_graph
from pellucid.repository.config import classifier_config, masked_config
from pellucid.repository.detector import MahalanobisDetector, add_distance
from pellucid.repository.ensemble import ensemble_graph
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.features import expose_features
from pellucid.repository.folder import ModelFolder
from pellucid.repository.graphs import (
    output_widths,
    read_graph,
    set_source,
    source_of,
    with_outputs,
)
from pellucid.repository.masked import masked_graph

_OUTPUTS: Final = ("logits", FEATURES, DISTANCE)
"""Of a classifier's graph; every one has the first."""


def is_current(path: Path) -> bool:
    """Whether everything that `build_model` writes is there and made from what is there now.

    Raises:
        ModelNotBuilt: the folder cannot be built at all.
    """
    folder = ModelFolder.read(path)
    digest = folder.weights_digest()
    if not _are_current(folder, folder.source(digest)):
        return False
    configs = _configs(folder, digest, read_graph(folder.graph))
    return all(_holds(path, content) for path, content in configs.items())


def build_model(path: Path, *, force: bool = False) -> None:
    """Build what Triton serves from a folder's card and weights.

    Writes `config.pbtxt` and `<version>/model.onnx` (unless the folder brings its own graph), and
    the sibling folder `<name>_masked` with the same two. Nothing is written that is there already,
    and graphs are built only where the weights, the architecture or the shape have changed.

    Args:
        path: folder with `card.yaml` and `<version>/weights.safetensors` or `<version>/model.onnx`;
            an ensemble's needs neither, and its members, beside it, are built with it.
        force: build graphs that are current, too.

    Raises:
        ModelNotBuilt: the folder cannot be built; the message says why.
    """
    folder = ModelFolder.read(path)
    digest = folder.weights_digest()
    source = folder.source(digest)
    if force or not _are_current(folder, source):
        graph, graphs = _graphs(folder, source)
    else:
        graph, graphs = read_graph(folder.graph), {}
        _check(graph, folder.card)
    _check_outputs(graph, folder.card)
    configs = _configs(folder, digest, graph)
    if not all(_holds(path, content) for path, content in graphs.items()):
        # Without a configuration a folder is not loaded: should the building end half way, no
        # graph is served under the digest of another.
        for config in configs:
            config.unlink(missing_ok=True)
    for path, content in (graphs | configs).items():
        _replace(path, content)


def _are_current(folder: ModelFolder, source: str) -> bool:
    graphs = (folder.graph, folder.masked_graph) if folder.builds else (folder.masked_graph,)
    return all(_source_in(graph) == source for graph in graphs)


def _graphs(folder: ModelFolder, source: str) -> tuple[onnx.ModelProto, dict[Path, bytes]]:
    """The classifier's graph, and the content of every graph that has to be written."""
    graph = _classifier(folder)
    _check(graph, folder.card)
    # An engine does not fuse over an output: with the features of the classifier the masked graph
    # also has its arithmetic. Nobody asks for them.
    plain = with_outputs(graph, ("logits", FEATURES))
    masked = masked_graph(plain, folder.card.preprocess.channel_axis)
    set_source(masked, source)
    built = {}
    if folder.builds:
        set_source(graph, source)
        built = {folder.graph: graph.SerializeToString()}
    return graph, built | {folder.masked_graph: masked.SerializeToString()}


def _classifier(folder: ModelFolder) -> onnx.ModelProto:
    card = folder.card
    if card.members:
        for member in folder.members:
            build_model(member.path)
        members = [(member.card, read_graph(member.graph)) for member in folder.members]
        return ensemble_graph(card, members)
    if not folder.builds or card.architecture is None:
        return read_graph(folder.graph)
    graph = classifier_graph(card, card.architecture, folder.weights)
    if card.gives_features:
        # Only then: an engine fuses a graph of one output further, and its masked graph alike.
        expose_features(graph)
    if card.detector is not None:
        detector = MahalanobisDetector.read(folder.detector)
        add_distance(graph, detector, card.preprocess.channel_axis)
    return graph


def _configs(folder: ModelFolder, digest: str, graph: onnx.ModelProto) -> dict[Path, bytes]:
    widths = output_widths(graph)
    # Whatever else a graph may have that somebody brings, nobody would ask for.
    outputs = {name: widths[name] for name in _OUTPUTS if name in widths}
    return {
        folder.config: classifier_config(folder.card, digest, outputs).encode(),
        folder.masked_config: masked_config(folder.card, digest).encode(),
    }


def _check(graph: onnx.ModelProto, card: Card) -> None:
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim][1:]
        for value in (*graph.graph.input, *graph.graph.output)
    }
    for name, wanted in (("input", [*card.preprocess.shape]), ("logits", [card.logits])):
        if name not in shapes:
            raise ModelNotBuilt(f"model.onnx of {card.name} has no `{name}`: {sorted(shapes)}")
        if shapes[name] != wanted:
            raise ModelNotBuilt(
                f"`{name}` of model.onnx of {card.name} has the shape {shapes[name]}, "
                f"the card says {wanted}"
            )


def _check_outputs(graph: onnx.ModelProto, card: Card) -> None:
    widths = output_widths(graph)
    if card.detector is not None and DISTANCE not in widths:
        raise ModelNotBuilt(f"the card of {card.name} has a detector, model.onnx has none")
    if card.gives_features and FEATURES not in widths:
        raise ModelNotBuilt(
            f"the card of {card.name} promises `{FEATURES}`, which model.onnx cannot give: its "
            "logits are not those of a dense layer"
        )


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _source_in(path: Path) -> str | None:
    try:
        return source_of(read_graph(path))
    except ModelNotBuilt:
        # Missing or damaged, it is not what would be written.
        return None


def _replace(path: Path, content: bytes) -> None:
    if _holds(path, content):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two systems may build the same repository at once.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
