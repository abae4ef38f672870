"""What Triton says of the models in its repository.

The index has the versions of all graphs and whether they are ready; a configuration has the rest,
of ready graphs only, and is kept. Weights that are loaded again under the same version leave the
index as it was: whoever doubts a model has its configuration read again.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
from pydantic import ValidationError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pellucid.cards import (
    CARD_PARAMETER,
    DIGEST_PARAMETER,
    MASKED_SUFFIX,
    PRECISION_PARAMETER,
    ROLE_PARAMETER,
    Card,
    first_error,
)
from pellucid.repository.unloadable import BUILDING_S, WAITS
from pellucid.serving import metrics
from pellucid.serving.served_model import UNKNOWN_PRECISION, Entry, ServedModel, State
from pellucid.serving.triton import unanswered

_REASON_CHARACTERS: Final = 300
_FOLDERS: Final = re.compile(r"(?<![\w.])/(?:[^\s/\"']+/)+")
"""Of an absolute path."""
_GONE: Final = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)
"""Answers of a Triton that does not serve that version, or not at the moment."""

Graph: TypeAlias = tuple[str, str]
"""Name and version of what Triton serves: a classifier, or the graph that expands its masks."""
Version: TypeAlias = "service_pb2.RepositoryIndexResponse.ModelIndex"


@dataclass(frozen=True)
class _Configuration:
    """What Pellucid reads of one graph's configuration."""

    card: Card | None
    """None where it has none, or where `fault` says what is wrong with it."""
    fault: str
    is_masked: bool
    weights_digest: str
    precision: str
    max_batch: int


class TritonRepository:
    """The models of a Triton; for one event loop."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        """Ask over `channel`; each question waits `timeout_s` at most."""
        # The stubs have no types for grpc.aio.
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._timeout_s = timeout_s
        self._configurations: dict[Graph, _Configuration] = {}

    async def read(
        self, known: Mapping[str, Entry], doubted: Collection[str] = ()
    ) -> dict[str, Entry]:
        """All models of the repository, by name.

        Args:
            known: what was read before. It stands for a model that changes while it is read.
            doubted: models whose configuration is read again though it is known.

        Raises:
            BackendUnavailable: Triton does not answer.
        """
        versions = await self._index()
        ready = {
            name: str(max(int(each.version) for each in found if each.state == State.READY))
            for name, found in versions.items()
            if any(each.state == State.READY for each in found)
        }
        await self._read_configurations(set(ready.items()), doubted)
        entries = {}
        for name, found in sorted(versions.items()):
            if name.endswith(MASKED_SUFFIX):
                continue
            entry = (
                self._served(name, ready, versions, known)
                if name in ready
                else _waiting(name, found)
            )
            if entry is not None:
                entries[name] = entry
        return entries

    async def publish_engine(self) -> None:
        """Put the name and version of what serves the models into the metrics."""
        with suppress(grpc.RpcError):  # It may have just ended.
            found = await self._stub.ServerMetadata(
                service_pb2.ServerMetadataRequest(), timeout=self._timeout_s
            )
            metrics.ENGINE.info({"name": found.name, "version": found.version})

    async def _index(self) -> dict[str, list[Version]]:
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(), timeout=self._timeout_s
            )
        except grpc.aio.AioRpcError as error:
            raise unanswered() from error
        found = defaultdict(list)
        for version in index.models:
            found[version.name].append(version)
        return found

    async def _read_configurations(self, ready: set[Graph], doubted: Collection[str]) -> None:
        for gone in self._configurations.keys() - ready:
            del self._configurations[gone]
        for graph in sorted(ready):
            is_doubted = graph[0].removesuffix(MASKED_SUFFIX) in doubted
            if not is_doubted and graph in self._configurations:
                continue
            if (configuration := await self._read_configuration(graph)) is not None:
                self._configurations[graph] = configuration

    async def _read_configuration(self, graph: Graph) -> _Configuration | None:
        name, version = graph
        request = service_pb2.ModelConfigRequest(name=name, version=version)
        try:
            answer = await self._stub.ModelConfig(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() in _GONE:
                return None
            raise unanswered() from error
        parameters = {key: value.string_value for key, value in answer.config.parameters.items()}
        card, fault = _read_card(parameters.get(CARD_PARAMETER, ""), name)
        return _Configuration(
            card=card,
            fault=fault,
            is_masked=parameters.get(ROLE_PARAMETER) == "masked",
            weights_digest=parameters.get(DIGEST_PARAMETER, ""),
            precision=parameters.get(PRECISION_PARAMETER, UNKNOWN_PRECISION),
            max_batch=max(1, answer.config.max_batch_size),
        )

    def _served(
        self,
        name: str,
        ready: Mapping[str, str],
        versions: Mapping[str, Sequence[Version]],
        known: Mapping[str, Entry],
    ) -> Entry | None:
        version = ready[name]
        found = self._configurations.get((name, version))
        if found is None:
            return known.get(name) or Entry(name, State.LOADING, "it is changing at the moment")
        if found.fault:
            return Entry(name, State.FAILED, found.fault)
        if found.card is None or found.is_masked:
            return None
        masked = self._configurations.get((name + MASKED_SUFFIX, version))
        model = ServedModel(
            card=found.card,
            version=version,
            weights_digest=found.weights_digest,
            # A graph of other weights would explain another model than the one that predicts.
            masked=masked is not None
            and ready.get(name + MASKED_SUFFIX) == version
            and masked.weights_digest == found.weights_digest,
            masked_is_coming=ready.get(name + MASKED_SUFFIX) != version
            and _may_come(versions.get(name + MASKED_SUFFIX, ())),
            precision=found.precision,
            max_batch=found.max_batch,
        )
        return Entry(name, State.READY, model=model)


def _may_come(versions: Sequence[Version]) -> bool:
    """Whether the version of a graph that is not ready may be so soon."""
    return bool(versions) and _waiting("", versions).state is not State.FAILED


def _waiting(name: str, versions: Sequence[Version]) -> Entry:
    """A model none of whose versions is ready."""
    if any(each.state in ("LOADING", "UNLOADING") for each in versions):
        return Entry(name, State.LOADING, "it is loading, or unloading")
    if any(WAITS in each.reason for each in versions):
        return Entry(name, State.LOADING, f"it {WAITS}", retry_after_s=BUILDING_S)
    if (reason := _failure(each.reason for each in versions)) is not None:
        return Entry(name, State.FAILED, reason)
    return Entry(name, State.UNLOADED, "it is not loaded", retry_after_s=5.0)


def _failure(reasons: Iterable[str]) -> str | None:
    """Why a model did not load, without Triton's folders and the engine's stack; None if it did."""
    for reason in reasons:
        if reason and reason != "unloaded":
            said = " ".join(reason.partition("\n\nAt:")[0].split())
            return _FOLDERS.sub("", said)[:_REASON_CHARACTERS]
    return None


def _read_card(text: str, name: str) -> tuple[Card | None, str]:
    """The card that a configuration carries, if any, and what is wrong with it."""
    if not text:
        return None, ""
    try:
        card = Card.from_json(text)
    except ValidationError as error:
        return None, f"its card is not valid: {first_error(error)}"
    if card.name != name:  # whoever asks the card's name would get another model's answer
        return None, f"its card says that it is {card.name!r}"
    return card, ""
