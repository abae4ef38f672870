"""A model's folder: where everything is, and what its graphs must have been built from."""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from pellucid.cards import MASKED_SUFFIX, Architecture, Card, first_error
from pellucid.repository.errors import ModelNotBuilt

CONFIG: Final = "config.pbtxt"
GRAPH: Final = "model.onnx"
WEIGHTS: Final = "weights.safetensors"
DETECTOR: Final = "detector.safetensors"
NETWORKS: Final = {"torch": "network.pt2", "keras": "network.keras", "onnx": GRAPH}
"""File of a network that no builder makes, by framework."""
_EXPORTER: Final = "2"
"""Part of every source digest: a change of how graphs are built makes the old ones stale."""


@dataclass(frozen=True)
class ModelFolder:
    """Paths of one model, and what its graphs must have been built from.

    Everything is of the version that the card names. A version folder with `weights.safetensors`,
    `network.pt2` or `network.keras` has its `model.onnx` built; one without must bring it.
    """

    path: Path
    card: Card

    @classmethod
    def read(cls, path: Path) -> "ModelFolder":
        """Read a folder's card.

        Raises:
            ModelNotBuilt: the folder has no valid card, neither weights nor a graph, weights
                without an architecture, or members that do not go together.
        """
        folder = cls._read(path)
        folder._check()
        return folder

    @classmethod
    def _read(cls, path: Path) -> "ModelFolder":
        try:
            return cls(path, Card.read(path / "card.yaml"))
        except ValidationError as error:
            # Without its values: clients see the reason, and a card may be a link to any file.
            raise ModelNotBuilt(f"{path.name}/card.yaml: {first_error(error)}") from error
        except OSError as error:
            raise ModelNotBuilt(f"{path.name}/card.yaml: {error.strerror}") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            raise ModelNotBuilt(f"{path.name}/card.yaml is not valid YAML{where}") from error
        except ValueError as error:
            raise ModelNotBuilt(f"{path.name}/card.yaml is not in UTF-8") from error

    def _check(self) -> None:
        name, version = self.path.name, self.card.version
        if self.card.name != name:
            raise ModelNotBuilt(f"{name}/card.yaml is of a model called {self.card.name!r}")
        if not version.isascii() or not version.isdecimal() or version.startswith("0"):
            raise ModelNotBuilt(
                f"{name}/card.yaml: version names a folder of Triton's, so it must be a number "
                f"from 1 up, not {version!r}"
            )
        if self.card.members:
            self._check_members()
            return
        if not self.weights.is_file() and not self.graph.is_file():
            raise ModelNotBuilt(f"{name}/{version} has neither {self.weights.name} nor {GRAPH}")
        if self.builds and self.card.architecture is None:
            raise ModelNotBuilt(f"{name}/card.yaml has weights but names no architecture")
        if self.builds and self.card.detector is not None:
            self._check_detector(self.card.detector.digest)

    def _check_detector(self, digest: str) -> None:
        if not self.detector.is_file():
            raise ModelNotBuilt(f"{self.path.name}/{self.card.version} has no {DETECTOR}")
        if file_digest(self.detector) != digest:
            raise ModelNotBuilt(
                f"{self.path.name}/{self.card.version}/{DETECTOR} is not the file that the card's "
                "threshold was chosen for: fit the detector again"
            )

    def _check_members(self) -> None:
        for member in self.members:
            found, whole = member.card, f"{self.card.name}: member {member.card.name}"
            for field in ("labels", "output", "preprocess"):
                if getattr(found, field) != getattr(self.card, field):
                    raise ModelNotBuilt(f"{whole} has another {field} than the ensemble")
            if not found.is_calibrated:
                raise ModelNotBuilt(
                    f"{whole} has no calibration for every label, so its scores cannot be averaged"
                )

    @property
    def members(self) -> "tuple[ModelFolder, ...]":
        """Folders of an ensemble's members, beside its own; empty for other models.

        Raises:
            ModelNotBuilt: a member cannot be read.
        """
        found = []
        for name in self.card.members:
            try:
                member = ModelFolder._read(self.path.with_name(name))
                # Before its own members are read, which might name this ensemble.
                if member.card.members:
                    raise ModelNotBuilt("it is an ensemble itself: name its members instead")
                member._check()
            except ModelNotBuilt as error:
                raise ModelNotBuilt(f"{self.card.name}: member {name}: {error}") from error
            found.append(member)
        return tuple(found)

    @property
    def weights(self) -> Path:
        """The committed weights, or the network with its weights."""
        return self.path / self.card.version / source_file(self.card.architecture)

    @property
    def detector(self) -> Path:
        """The arrays of the card's detector, where it has one."""
        return self.path / self.card.version / DETECTOR

    @property
    def graph(self) -> Path:
        """The classifier's graph."""
        return self.path / self.card.version / GRAPH

    @property
    def config(self) -> Path:
        """The classifier's configuration."""
        return self.path / CONFIG

    @property
    def masked_graph(self) -> Path:
        """The graph that expands masks."""
        return self._masked / self.card.version / GRAPH

    @property
    def masked_config(self) -> Path:
        """The configuration of the graph that expands masks."""
        return self._masked / CONFIG

    @property
    def _masked(self) -> Path:
        return self.path.with_name(self.path.name + MASKED_SUFFIX)

    @property
    def builds(self) -> bool:
        """Whether the classifier's graph is built: from weights, or from its members."""
        return bool(self.card.members) or (self.weights != self.graph and self.weights.is_file())

    @property
    def sources(self) -> tuple[Path, ...]:
        """Files with all that is learned: weights, a network or a graph; of an ensemble, each's.

        Raises:
            ModelNotBuilt: a member cannot be read.
        """
        if self.card.members:
            return tuple(path for member in self.members for path in member.sources)
        return (self.weights if self.builds else self.graph,)

    def weights_digest(self) -> str:
        """SHA-256 of the weights, or of the graph where there are none; hexadecimal.

        Of an ensemble, SHA-256 of its members' digests, a line each. The detector's file is no part
        of it: another one changes no score and no map, so receipts stay true. The card names that
        file by a digest of its own.
        """
        if self.card.members:
            lines = "\n".join(member.weights_digest() for member in self.members)
            return hashlib.sha256(lines.encode()).hexdigest()
        (source,) = self.sources
        return file_digest(source)

    def source(self, weights_digest: str) -> str:
        """Digest of everything that decides what the graphs compute."""
        architecture = self.card.architecture
        facts: dict[str, Any] = {
            "exporter": _EXPORTER,
            "weights": weights_digest,
            "architecture": architecture
            and architecture.model_dump(include={"framework", "builder", "arguments"}),
            "shape": self.card.preprocess.shape,
            "layout": self.card.preprocess.layout,
            "detector": self.card.detector and self.card.detector.digest,
        }
        if self.card.features:
            facts["features"] = True
        if self.card.members:
            # Only then: no other model's digest shall change for it.
            facts["members"] = [
                [member.source(member.weights_digest()), member.card.calibration.model_dump()]
                for member in self.members
                if member.card.calibration
            ]
            facts["activation"] = self.card.output.activation
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def source_file(architecture: Architecture | None) -> str:
    """Name of the file in a version folder that everything else is made of."""
    if architecture is None or architecture.builder is not None:
        return WEIGHTS
    return NETWORKS[architecture.framework]


def file_digest(path: Path) -> str:
    """SHA-256 of a file; hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_folders(
    repository: Path, allowed: Collection[str] | None = None, first: Collection[str] = ()
) -> Iterator[Path]:
    """Folders of a repository that have a card, by name.

    Args:
        repository: of the models.
        allowed: names of the models; all where None.
        first: names of those that come before the others.
    """
    found = sorted(card.parent for card in repository.glob("*/card.yaml"))
    for path in sorted(found, key=lambda path: path.name not in first):
        if allowed is None or path.name in allowed:
            yield path


def names_of(text: str | None) -> frozenset[str] | None:
    """Names of models out of a list with commas; None, which stands for all, where it is empty."""
    names = frozenset(name.strip() for name in (text or "").split(",") if name.strip())
    return names or None
