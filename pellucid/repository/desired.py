"""What a Triton should have loaded, read from a repository; and what it has, read from Triton."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from pellucid.cards import CARD_PARAMETER, MASKED_SUFFIX, PRECISION_PARAMETER, Card
from pellucid.repository.errors import RepositoryError
from pellucid.repository.folder import CONFIG, GRAPH, file_digest

GRAPH_DIGEST_PARAMETER: Final = "pellucid_graph_digest"
"""Triton parameter, set when a model is loaded: SHA-256 of its `model.onnx`."""
CONFIG_DIGEST_PARAMETER: Final = "pellucid_config_digest"
"""Triton parameter, set when a model is loaded: SHA-256 of the rest of its configuration."""


@dataclass(frozen=True)
class Identity:
    """What distinguishes one state of a model from another."""

    version: str
    graph_digest: str
    """Empty where somebody else has loaded the model."""
    config_digest: str

    @classmethod
    def of_loaded(cls, version: str, config: Any) -> Self:
        """Of what Triton has loaded, by its configuration."""
        parameters = config.parameters
        digests = (
            parameters[name].string_value if name in parameters else ""
            for name in (GRAPH_DIGEST_PARAMETER, CONFIG_DIGEST_PARAMETER)
        )
        return cls(version, *digests)

    def replaces(self, loaded: "Identity") -> bool:
        """Whether it is another graph under the version number that is loaded."""
        return self.version == loaded.version and self.graph_digest != loaded.graph_digest


@dataclass(frozen=True)
class DesiredModel:
    """One model as Triton should load it."""

    name: str
    identity: Identity
    config: str
    """JSON."""

    @classmethod
    def read(cls, folder: Path, automatic_precision: str) -> Self:
        """Read a complete folder.

        Args:
            folder: with `config.pbtxt` and a version folder with `model.onnx`.
            automatic_precision: what the engine computes in where the card leaves the choice.

        Raises:
            RepositoryError: it cannot be read.
        """
        try:
            config: Any = text_format.Parse(
                (folder / CONFIG).read_text(encoding="utf-8"), model_config_pb2.ModelConfig()
            )
            _set_precision(config, automatic_precision)
            version = _version(folder, config)
            digest = file_digest(folder / version / GRAPH)
        except (OSError, ValueError, text_format.ParseError, json_format.Error) as error:
            raise RepositoryError(f"its folder cannot be read: {error}") from error
        text = json_format.MessageToJson(config, preserving_proto_field_name=True)
        identity = Identity(version, digest, hashlib.sha256(text.encode()).hexdigest())
        config.parameters[GRAPH_DIGEST_PARAMETER].string_value = identity.graph_digest
        config.parameters[CONFIG_DIGEST_PARAMETER].string_value = identity.config_digest
        text = json_format.MessageToJson(config, preserving_proto_field_name=True)
        return cls(folder.name, identity, text)


def _set_precision(config: Any, automatic: str) -> None:
    """Write what the model will run in; a file that says it would be wrong with another engine."""
    if CARD_PARAMETER not in config.parameters:
        return
    card = Card.from_json(config.parameters[CARD_PARAMETER].string_value)
    accelerators = config.optimization.execution_accelerators.cpu_execution_accelerator
    if card.precision == "auto" and any(one.name == "openvino" for one in accelerators):
        config.parameters[PRECISION_PARAMETER].string_value = automatic


def _version(folder: Path, config: Any) -> str:
    """The version that Triton will serve: what the configuration says, else the highest."""
    if chosen := config.version_policy.specific.versions:
        return str(max(chosen))
    return max((path.parent.name for path in folder.glob(f"[1-9]*/{GRAPH}")), key=int)


def owner(name: str) -> str:
    """Name of the classifier that a graph belongs to: itself, or the one that it masks."""
    return name.removesuffix(MASKED_SUFFIX)


def complete_models(
    repository: Path, allowed: Collection[str] | None = None
) -> Mapping[str, list[str]]:
    """Folders that Triton can load, by classifier, which comes before its masked graph.

    A masked graph without its classifier's folder is left out.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(repository.glob(f"*/{CONFIG}")):
        name = path.parent.name
        has_graph = any(path.parent.glob(f"[1-9]*/{GRAPH}"))
        is_allowed = allowed is None or owner(name) in allowed
        if has_graph and is_allowed and (repository / owner(name)).is_dir():
            found.setdefault(owner(name), []).append(name)
    return {classifier: sorted(names, key=len) for classifier, names in found.items()}
