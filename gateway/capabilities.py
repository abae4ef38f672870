"""What is served right now: the catalogue's models, and what the other services say of them."""

import asyncio
from typing import Final

from gateway.peers import RESERVE_S, ExplainPeer, ExplainPools, PreprocessPeer
from gateway.settings import GatewaySettings
from gateway.similar_cases import SimilarCases
from pellucid.api.explain.v1 import explain_pb2, methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.api.preprocess.v1 import preprocess_pb2
from pellucid.cards import Card
from pellucid.errors import BackendUnavailable, DeadlineTooShort, QueueFull
from pellucid.parameters import MAX_METHODS
from pellucid.scores import resolve_operating_point
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import Entry, ServedModel, State

_STATES: Final = {
    State.READY: gateway_pb2.MODEL_STATE_READY,
    State.LOADING: gateway_pb2.MODEL_STATE_LOADING,
    State.FAILED: gateway_pb2.MODEL_STATE_FAILED,
}
"""What is not loaded is not offered."""
_METHODS: Final = tuple(
    field.name
    for field in methods_pb2.Method.DESCRIPTOR.oneofs_by_name["method"].fields
    if field.name != "extension"
)
"""Those that the contract knows, for when the explain service does not say which it has."""

_ANSWERS_NOT: Final = (BackendUnavailable, DeadlineTooShort, QueueFull)
"""Of a service behind the gateway, without which the rest is said all the same."""


class Capabilities:
    """The models, their methods and the limits."""

    def __init__(
        self,
        catalogue: ModelCatalogue,
        preprocess: PreprocessPeer,
        pools: ExplainPools,
        similar_cases: SimilarCases,
        settings: GatewaySettings,
    ) -> None:
        """Ask these services; the gateway's own limits are in `settings`."""
        self._catalogue = catalogue
        self._preprocess = preprocess
        self._pools = pools
        self._similar_cases = similar_cases
        self._settings = settings
        self._last_read = preprocess_pb2.GetLimitsResponse()

    async def describe(
        self, media_type: str, deadline: Deadline
    ) -> gateway_pb2.GetCapabilitiesResponse:
        """Models that accept a type of file, or all where `media_type` is empty.

        Which types a model accepts is known once it is ready. Without the explain service, the
        models are listed and their methods are unavailable; without the preprocess service they
        say so, and are listed with what it read when it last answered.

        Raises:
            BackendUnavailable: Triton does not answer.
            DeadlineTooShort: the time is up.
        """
        pools = list(self._pools)
        entries, (limits, reason), answers = await asyncio.gather(
            self._catalogue.entries(),
            self._read(deadline),
            asyncio.gather(*(self._methods(pool, deadline) for pool in pools)),
        )
        methods = dict(zip(pools, answers, strict=True))
        wanted = media_type.partition(";")[0].strip().lower()
        described = [
            await self._ready(
                entry.model, limits, reason, *methods[self._pools.of(entry.model.card)]
            )
            if entry.model
            else _waiting(entry)
            for entry in entries
            if entry.state in _STATES
        ]
        return gateway_pb2.GetCapabilitiesResponse(
            models=[model for model in described if not wanted or wanted in model.media_types],
            limits=self._limits(limits),
        )

    async def _ready(
        self,
        served: ServedModel,
        limits: preprocess_pb2.GetLimitsResponse,
        reason: str,
        methods: dict[str, explain_pb2.ModelMethods],
        why_not: str,
    ) -> gateway_pb2.Model:
        model = _described(served, limits, methods, why_not)
        model.state_reason = reason
        model.indexed_cases = await self._similar_cases.count(served)
        return model

    async def _read(self, deadline: Deadline) -> tuple[preprocess_pb2.GetLimitsResponse, str]:
        """What the preprocess service reads, and why it reads nothing at present."""
        wait = min(deadline.timeout(3 * RESERVE_S), self._settings.methods_timeout_s)
        try:
            self._last_read = await self._preprocess.limits(Deadline.after(wait))
        except _ANSWERS_NOT as error:
            return self._last_read, f"no file can be read: {error.message}"
        return self._last_read, ""

    async def _methods(
        self, pool: ExplainPeer, deadline: Deadline
    ) -> tuple[dict[str, explain_pb2.ModelMethods], str]:
        """Methods by model, and why a model that is not among them has none."""
        wait = min(deadline.timeout(3 * RESERVE_S), self._settings.methods_timeout_s)
        try:
            answers = await pool.methods(Deadline.after(wait))
        except _ANSWERS_NOT as error:
            return {}, error.message
        return {answer.model: answer for answer in answers}, "the explain service does not know it"

    def _limits(self, limits: preprocess_pb2.GetLimitsResponse) -> gateway_pb2.Limits:
        own = self._settings.max_content_bytes
        return gateway_pb2.Limits(
            max_content_bytes=min(own, limits.max_content_bytes or own),
            max_pixels=limits.max_pixels,
            max_audio_seconds=limits.max_audio_seconds,
            max_methods=MAX_METHODS,
            max_deadline_seconds=self._settings.max_deadline_s,
        )


def _waiting(entry: Entry) -> gateway_pb2.Model:
    return gateway_pb2.Model(name=entry.name, state=_STATES[entry.state], state_reason=entry.reason)


def _described(
    served: ServedModel,
    limits: preprocess_pb2.GetLimitsResponse,
    methods: dict[str, explain_pb2.ModelMethods],
    why_not: str,
) -> gateway_pb2.Model:
    card = served.card
    known = methods.get(card.name)
    model = gateway_pb2.Model(
        name=card.name,
        version=served.version,
        title=card.title,
        description=card.description,
        modality=card.modality,
        state=gateway_pb2.MODEL_STATE_READY,
        labels=[_label(card, name) for name in card.labels],
        activation=card.output.activation.value,
        # Named after what contracts read: `image_media_types`, `audio_media_types`.
        media_types=getattr(limits, f"{card.preprocess.media}_media_types"),
        contract=card.preprocess.to_message(),
        methods=known.methods if known else _unavailable(why_not),
        weights_digest=served.weights_digest,
        card_json=card.to_json(),
        operating_points=card.operating_points,
        precision=served.precision,
    )
    if known:
        model.baselines.extend(known.baselines)
        model.segmentations.extend(known.segmentations)
        if known.HasField("parity"):
            model.parity.CopyFrom(known.parity)
    return model


def _label(card: Card, name: str) -> gateway_pb2.Label:
    points = card.operating_points.items()
    return gateway_pb2.Label(
        name=name,
        threshold=card.operating_points.get(resolve_operating_point(card, ""), {}).get(name),
        operating_points={point: values[name] for point, values in points if name in values},
    )


def _unavailable(why_not: str) -> list[explain_pb2.MethodCapability]:
    return [
        explain_pb2.MethodCapability(method=name, unavailable_reason=why_not) for name in _METHODS
    ]
