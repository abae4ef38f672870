"""A user's model: checked, built and compared beside the repository, then moved into it."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from pellucid.api.explain.v1 import explain_pb2
from pellucid.architectures.errors import UnsafeFile
from pellucid.architectures.weights import WeightsMismatch
from pellucid.cards import MASKED_SUFFIX, Architecture, Card, first_error
from pellucid.parity import compare, probes
from pellucid.repository.build import build_model
from pellucid.repository.errors import ModelNotBuilt, RepositoryError
from pellucid.repository.folder import ModelFolder, model_folders, source_file
from pellucid.repository.foreign import bring
from pellucid.repository.foreign_graphs import ends_in_probabilities
from pellucid.repository.graphs import read_graph
from pellucid.repository.networks import Network, last_convolution, network_of
from pellucid.tensors import FloatArray

_STAGING: Final = ".adding-"
_ATTENTION: Final = frozenset({"Softmax", "Attention"})


class ModelRefused(RepositoryError):
    """A user's model cannot be added; the message says why, and what would do."""


@dataclass(frozen=True)
class AddedModel:
    """A model that was added, or verified."""

    card: Card
    parity: explain_pb2.Parity | None
    """Of the served graph with the network; None where there is no network to compare with."""
    notes: tuple[str, ...] = ()
    """What was found or filled in, and what is not available, in words."""


def add_model(file: Path, card: Path, repository: Path) -> AddedModel:
    """Put a user's model into a repository, complete, or leave the repository as it is.

    Args:
        file: see `pellucid.repository.foreign.bring`.
        card: `card.yaml` of the model. Without an `architecture`, one is written.
        repository: of the models; any Triton that follows it loads the model.

    Raises:
        ModelRefused: file, card and network do not fit together, or the file is not safe to load.
        OSError: something cannot be read or written.
    """
    stated = _read_card(card)
    place = repository / stated.name
    for taken in (place, place.with_name(place.name + MASKED_SUFFIX)):
        if taken.exists():
            raise ModelRefused(
                f"{taken} is there already: choose another name in the card, or remove it first"
            )
    repository.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=repository))
    try:
        added = _staged(file, card, stated, staging / stated.name)
        # Triton may be watching: the classifier's folder, which it starts from, comes last.
        folder = ModelFolder.read(staging / stated.name)
        folder.masked_config.parent.rename(repository / folder.masked_config.parent.name)
        folder.path.rename(place)
    except (ModelNotBuilt, UnsafeFile, WeightsMismatch) as error:
        raise ModelRefused(str(error)) from error
    finally:
        shutil.rmtree(staging)
    return added


def verify_model(
    path: Path, served: Callable[[FloatArray], FloatArray] | None = None
) -> AddedModel:
    """Build what is stale of a model, and compare what is served with its network.

    Args:
        path: the model's folder.
        served: gets the logits from a Triton; by default they are those of `model.onnx`.

    Raises:
        ModelRefused: it cannot be built, or the two differ by more than the card allows.
    """
    try:
        build_model(path)
        folder = ModelFolder.read(path)
        architecture = folder.card.architecture
        if architecture is None:
            return AddedModel(folder.card, None, ("nothing to compare with: no architecture",))
        network, notes = _network(architecture, folder.weights)
        parity, more = _compared(folder, network, served)
        return AddedModel(folder.card, parity, (*notes, *more))
    except (ModelNotBuilt, UnsafeFile, WeightsMismatch) as error:
        raise ModelRefused(str(error)) from error


def remove_model(name: str, repository: Path) -> None:
    """Remove a model and its masked graph; a Triton that follows the repository unloads both.

    Raises:
        ModelRefused: there is no such model, or an ensemble is made of it.
    """
    path = repository / name
    if not (path / "card.yaml").is_file():
        raise ModelRefused(f"{repository} has no model {name!r}")
    if ensembles := _ensembles_of(name, repository):
        raise ModelRefused(
            f"{name} is a member of {', '.join(ensembles)}: remove {ensembles[0]} first"
        )
    masked = path.with_name(name + MASKED_SUFFIX)
    # First the one that the other belongs to.
    for folder in (path, masked):
        if folder.is_dir():
            gone = Path(tempfile.mkdtemp(prefix=_STAGING, dir=repository))
            folder.rename(gone / folder.name)
            shutil.rmtree(gone)


def _ensembles_of(name: str, repository: Path) -> list[str]:
    found = []
    for path in model_folders(repository):
        # A card that cannot be read names no members.
        with suppress(ModelRefused):
            if name in _read_card(path / "card.yaml").members:
                found.append(path.name)
    return found


def _staged(file: Path, card: Path, stated: Card, path: Path) -> AddedModel:
    """The complete folder of a model, beside its masked graph."""
    if not stated.version.isdecimal():
        raise ModelRefused(f"version names a folder of Triton's: a number, not {stated.version!r}")
    version = path / stated.version
    version.mkdir(parents=True)
    architecture = bring(file, stated, version)
    network, notes = _network(architecture, version / source_file(architecture))
    if network is not None:
        _check_network(network, stated)
    _write_card(card, path, architecture)
    build_model(path)
    folder = ModelFolder.read(path)
    graph = read_graph(folder.graph)
    if ends_in_probabilities(graph):
        raise ModelRefused(
            f"{file.name} ends in a softmax or sigmoid; Pellucid applies the card's activation "
            "itself, so export the network without its last activation"
        )
    parity, more = _compared(folder, network)
    notes += more
    if network is not None and not more:
        architecture = _with_layers(architecture, network, graph, notes)
        _write_card(card, path, architecture)
        build_model(path)
    return AddedModel(ModelFolder.read(path).card, parity, tuple(notes))


def _network(architecture: Architecture, path: Path) -> tuple[Network | None, list[str]]:
    """The network to compare with; none, and a note, where ONNX cannot be remade in torch.

    Raises:
        ModelRefused: nothing builds the card's architecture.
        UnsafeFile, WeightsMismatch: see `load_network`.
    """
    try:
        return network_of(architecture, path), []
    except UnsafeFile as error:
        if architecture.framework != "onnx":
            raise
        # The card names the architecture all the same, so that the explain service says why.
        return None, [f"no gradient methods: {error}"]
    except ValueError as error:
        raise ModelRefused(f"architecture: {error}") from error


def _check_network(network: Network, card: Card) -> None:
    inputs = probes(card)
    try:
        logits = network.logits(inputs)
    except Exception as error:
        # Frameworks raise what they like for an input of another shape.
        raise ModelRefused(
            f"the network does not take what the card's contract makes, "
            f"{[len(inputs), *card.preprocess.shape]}: {error}"
        ) from error
    if logits.shape != (len(inputs), card.logits):
        raise ModelRefused(
            f"the network answers {list(logits.shape)} to {len(inputs)} inputs; labels and "
            f"activation of the card need {[len(inputs), card.logits]}"
        )


def _with_layers(
    architecture: Architecture, network: Network, graph: Any, notes: list[str]
) -> Architecture:
    """The architecture with layers for Grad-CAM: the card's, else the last convolution."""
    if "grad_cam_layers" in architecture.model_fields_set:
        return architecture
    layer = last_convolution(network)
    if layer is None:
        notes.append("no Grad-CAM: the network has no convolution; the card may name a layer")
    elif any(node.op_type in _ATTENTION for node in graph.graph.node):
        notes.append(
            "no Grad-CAM: attention follows the last convolution, so its places say little; the "
            "card may name a layer whose output is tokens"
        )
    else:
        notes.append(f"Grad-CAM uses the last convolution, {layer}")
        return architecture.model_copy(update={"grad_cam_layers": (layer,)})
    return architecture


def _compared(
    folder: ModelFolder,
    network: Network | None,
    served: Callable[[FloatArray], FloatArray] | None = None,
) -> tuple[explain_pb2.Parity | None, list[str]]:
    """How what is served agrees with a network; a copy in torch may differ, with a note."""
    if network is None:
        return None, []
    parity = compare(folder.card, served or _onnx_runtime(folder.graph), network.logits)
    if parity.passed:
        return parity, []
    differ = (
        f"scores differ by {parity.max_score_difference:.2g}, more than the "
        f"{parity.tolerance:.2g} that the card allows"
    )
    if network.framework != "onnx":
        raise ModelRefused(f"the served graph does not answer as the network does: {differ}")
    return parity, [f"no gradient methods: the copy in torch is another network: {differ}"]


def _onnx_runtime(graph: Path) -> Callable[[FloatArray], FloatArray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])

    def run(inputs: FloatArray) -> FloatArray:
        found: FloatArray = session.run(["logits"], {"input": inputs})[0]
        return found

    return run


def _read_card(path: Path) -> Card:
    try:
        return Card.read(path)
    except ValidationError as error:
        raise ModelRefused(f"{path.name}: {first_error(error)}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelRefused(f"{path.name} is not valid YAML") from error


def _write_card(source: Path, path: Path, architecture: Architecture) -> None:
    """The user's card as it is where it says everything, else with its architecture."""
    text = source.read_text(encoding="utf-8")
    facts = yaml.safe_load(text)
    wanted = architecture.model_dump(mode="json", exclude_unset=True)
    if facts.get("architecture") != wanted:
        facts["architecture"] = wanted
        text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=100)
    (path / "card.yaml").write_text(text, encoding="utf-8")
