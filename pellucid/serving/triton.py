"""Triton as the registry of models and as what answers them, for the async services.

What is READY in Triton, with a card in its configuration, is what Pellucid offers. Nothing is
cached: a model that is loaded or unloaded is seen by the next call.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import structlog
from google.protobuf.message import Message
from pydantic import ValidationError
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2
from tritonclient.grpc import aio as tritonclient
from tritonclient.utils import InferenceServerException

from pellucid.cards import (
    CARD_PARAMETER,
    DIGEST_PARAMETER,
    MASKED_SUFFIX,
    PRECISION_PARAMETER,
    ROLE_PARAMETER,
    Card,
)
from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    ModelNotReady,
    PellucidError,
    UnknownModel,
)
from pellucid.serving import request_id
from pellucid.serving.channels import channel_options, triton_credentials
from pellucid.serving.deadline import Deadline
from pellucid.serving.settings import ServiceSettings
from pellucid.tensors import FloatArray

log = structlog.get_logger(__name__)

ANSWERED_PRECISION: Final = "precision"
"""Response parameter in which a backend may say which arithmetic it used."""
UNKNOWN_PRECISION: Final = "unknown"
_MOST_ROWS: Final = 16
_MOST_BYTES: Final = 16 << 20
"""Inputs in one call, so that other callers get their turn."""
_ASK_S: Final = 5.0
"""Longest wait for an answer about models, in seconds."""


class State(StrEnum):
    """Of a model in Triton."""

    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class ServedModel:
    """A classifier that Triton knows and that has a card."""

    card: Card
    version: str
    """Version folder that Triton serves."""
    weights_digest: str
    """SHA-256 in hexadecimal; empty where the configuration has none."""
    masked: bool
    """Whether the graph that expands masks is served next to it."""
    precision: str = "unknown"
    """Arithmetic that the model runs in, as far as its configuration tells."""
    max_batch: int = 1
    """Inputs that it takes in one call."""

    def rows_per_call(self, nbytes: int) -> int:
        """How many inputs of `nbytes` each go into one call; at least one."""
        return max(1, min(self.max_batch, _MOST_ROWS, _MOST_BYTES // nbytes))


class TritonModels:
    """Models in Triton; one client for one event loop."""

    def __init__(self, url: str, settings: ServiceSettings) -> None:
        """Prepare a client for `host:port`; it connects with the first call."""
        options: list[tuple[str, Any]] = [*channel_options(settings.max_message_bytes)]
        self._client = tritonclient.InferenceServerClient(
            url, creds=triton_credentials(settings), channel_args=options
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def ready(self) -> bool:
        """Whether Triton answers and has loaded some model.

        A single model that does not load must not close the door to the others.
        """
        try:
            return State.READY in (await self._states()).values()
        except (InferenceServerException, PellucidError):
            return False

    async def list(self) -> list[ServedModel]:
        """All classifiers with a card that are ready, by name.

        Triton tells the configuration of a ready model only. One whose card cannot be read is
        logged and left out.

        Raises:
            BackendUnavailable: Triton does not answer.
        """
        states = await self._states()
        found = []
        for name in sorted(states):
            if states[name] is not State.READY or name.endswith(MASKED_SUFFIX):
                continue
            try:
                found.append(await self._describe(name, states))
            except ModelNotReady as error:
                log.warning("model left out", model=name, why=error.message)
            except UnknownModel:
                continue
        return found

    async def get(self, name: str, field: str = "model") -> ServedModel:
        """One classifier that is ready.

        Raises:
            UnknownModel: Triton has no such model, or it has no card.
            ModelNotReady: it is not loaded, or its card cannot be read.
            BackendUnavailable: Triton does not answer.
        """
        states = await self._states()
        if name not in states or name.endswith(MASKED_SUFFIX):
            raise _unknown(name, states, field)
        if states[name] is not State.READY:
            raise ModelNotReady(
                f"{name} is not loaded", field=field, remedy="load it, or wait", retry_after_s=5.0
            )
        return await self._describe(name, states, field)

    async def infer(
        self, model: ServedModel, inputs: FloatArray, deadline: Deadline
    ) -> tuple[FloatArray, str]:
        """Logits `(N, K')` of inputs `(N, *shape)`, and the arithmetic that was used.

        Raises:
            ModelNotReady: the model was unloaded meanwhile.
            BackendUnavailable: Triton does not answer.
            DeadlineTooShort: the time is up.
        """
        parts = []
        precision = UNKNOWN_PRECISION
        rows = model.rows_per_call(inputs[0].nbytes)
        for start in range(0, len(inputs), rows):
            batch = np.ascontiguousarray(inputs[start : start + rows], dtype=np.float32)
            tensor = InferInput("input", list(batch.shape), "FP32")
            tensor.set_data_from_numpy(batch)
            try:
                result = await self._client.infer(
                    model.card.name,
                    [tensor],
                    outputs=[InferRequestedOutput("logits")],
                    request_id=request_id.current(),
                    client_timeout=deadline.timeout(),
                )
            except InferenceServerException as error:
                raise translate(error, model.card.name) from error
            logits = np.asarray(result.as_numpy("logits"), dtype=np.float32)
            parts.append(check_logits(model, logits, len(batch)))
            precision = precision_of(result.get_response(), model)
        return np.concatenate(parts), precision

    async def _states(self) -> dict[str, State]:
        try:
            index = await self._client.get_model_repository_index(client_timeout=_ASK_S)
        except InferenceServerException as error:
            raise _unanswered(error, "") from error
        states = dict.fromkeys((entry.name for entry in index.models), State.UNAVAILABLE)
        states |= {entry.name: State.READY for entry in index.models if entry.state == "READY"}
        return states

    async def _describe(
        self, name: str, states: dict[str, State], field: str = "model"
    ) -> ServedModel:
        try:
            answer, metadata = await asyncio.gather(
                self._client.get_model_config(name, client_timeout=_ASK_S),
                self._client.get_model_metadata(name, client_timeout=_ASK_S),
            )
        except InferenceServerException as error:
            raise _unanswered(error, name) from error
        parameters = {key: value.string_value for key, value in answer.config.parameters.items()}
        if CARD_PARAMETER not in parameters or parameters.get(ROLE_PARAMETER) == "masked":
            raise _unknown(name, states, field)
        return ServedModel(
            card=_read_card(parameters[CARD_PARAMETER], name, field),
            version=max(metadata.versions, key=int, default=""),
            weights_digest=parameters.get(DIGEST_PARAMETER, ""),
            masked=states.get(name + MASKED_SUFFIX) is State.READY,
            precision=parameters.get(PRECISION_PARAMETER, UNKNOWN_PRECISION),
            max_batch=max(1, answer.config.max_batch_size),
        )


def precision_of(response: Message, model: ServedModel) -> str:
    """Arithmetic that was used, e.g. `float32`: what the answer says, else the configuration."""
    assert isinstance(response, service_pb2.ModelInferResponse)
    said: str = response.parameters[ANSWERED_PRECISION].string_param
    return said or model.precision


def check_logits(model: ServedModel, logits: FloatArray, rows: int) -> FloatArray:
    """Give back what Triton answered to `rows` inputs, if it is as the card says.

    Raises:
        ModelNotReady: it is not of shape `(rows, K')`.
    """
    expected = (rows, model.card.logits)
    if logits.shape == expected:
        return logits
    raise ModelNotReady(
        f"{model.card.name} answered {logits.shape} where its card promises {expected}",
        field="model",
        remedy="mend its card or its graph, and load it again",
        model=model.card.name,
    )


def translate(error: InferenceServerException, model: str) -> PellucidError:
    """What a failed call to Triton means to the caller.

    A request that Triton itself finds wrong is a bug of ours: it comes back as `ModelNotReady`
    only where the model is gone, else the original error is raised.
    """
    status = str(error.status() or "")
    message = str(error.message() or "")
    if "DEADLINE_EXCEEDED" in status or "Deadline Exceeded" in message:
        return DeadlineTooShort("Triton did not answer in time", remedy="allow more time")
    if model and ("unknown model" in message or "not ready" in message or "NOT_FOUND" in status):
        return ModelNotReady(
            f"{model} is not loaded", field="model", remedy="load it, or wait", retry_after_s=5.0
        )
    if "UNAVAILABLE" in status or "CANCELLED" in status:
        return BackendUnavailable(
            "Triton does not answer", remedy="try again shortly", retry_after_s=1.0
        )
    raise error


def _unanswered(error: InferenceServerException, name: str) -> PellucidError:
    """What a failed question about models means: the time that ran out is not the caller's."""
    known = translate(error, name)
    if not isinstance(known, DeadlineTooShort):
        return known
    return BackendUnavailable(
        "Triton does not answer in time", remedy="try again shortly", retry_after_s=1.0
    )


def _read_card(text: str, name: str, field: str) -> Card:
    remedy = "mend its configuration and load it again"
    try:
        card = Card.from_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"the card of {name} is not valid: {where}: {first['msg']}"
        raise ModelNotReady(message, field=field, remedy=remedy, model=name) from error
    if card.name != name:  # whoever asks the card's name would get another model's answer
        message = f"the card of {name} says that it is {card.name!r}"
        raise ModelNotReady(message, field=field, remedy=remedy, model=name)
    return card


def _unknown(name: str, states: dict[str, State], field: str) -> UnknownModel:
    served = sorted(
        known
        for known, state in states.items()
        if state is State.READY and known != name and not known.endswith(MASKED_SUFFIX)
    )
    return UnknownModel(
        f"there is no model {name!r}",
        field=field,
        remedy=f"choose one of: {', '.join(served)}" if served else "load a model",
        model=name,
    )
