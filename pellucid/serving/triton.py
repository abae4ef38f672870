"""Inference in Triton: its calls, and what its answers and failures mean.

One answer is of one model: each call names the version, and each answer is compared with the model
that was asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import grpc
import numpy as np
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc

from pellucid.cards import DISTANCE, FEATURES, MEMBER_SCORES
from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    ModelBroken,
    ModelChanged,
    ModelNotReady,
    PellucidError,
)
from pellucid.serving import request_id, tracing
from pellucid.serving.channels import TRITON_INFER, open_triton_channel
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import UNKNOWN_PRECISION, ServedModel
from pellucid.serving.settings import TritonSettings
from pellucid.tensors import FloatArray

PRECISION: Final = "precision"
"""Response parameter in which a backend may say which arithmetic it used."""
WEIGHTS_DIGEST: Final = "weights_digest"
"""Response parameter in which a backend may say which weights it used, as SHA-256."""
_STUB_DIED: Final = "is not healthy"
"""Triton of an instance of a Python-based backend whose process died; another may answer."""

MarkStale: TypeAlias = Callable[[str], None]
"""`ModelCatalogue.mark_stale`."""


@dataclass(frozen=True)
class Answer:
    """What a model said of `N` inputs."""

    logits: FloatArray
    """`(N, K')`."""
    precision: str
    """The arithmetic they were computed in, e.g. `float32`."""
    members: FloatArray | None = None
    """Of an ensemble, where asked for: calibrated scores of its `M` members, `(N, M, K')`."""
    distances: FloatArray | None = None
    """From the training data, `(N,)`; None where the model has no detector, or none was asked."""
    features: FloatArray | None = None
    """What the last layer weighs up, `(N, D)`; None where it was not asked for."""


class TritonInference:
    """Calls classifiers; for one event loop."""

    def __init__(self, url: str, settings: TritonSettings, mark_stale: MarkStale) -> None:
        """Call the Triton at `host:port`; models that turn out to have changed are marked."""
        self._channel = open_triton_channel(url, settings)
        # The stubs have no types for grpc.aio.
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._timeout_s = settings.triton_call_timeout_s
        self._mark_stale = mark_stale

    async def __aenter__(self) -> Self:
        """Connect with the first call."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self._channel.close()

    async def infer(
        self,
        model: ServedModel,
        inputs: FloatArray,
        deadline: Deadline,
        *,
        features: bool = False,
    ) -> Answer:
        """Logits of inputs.

        Args:
            model: to be asked.
            inputs: `(N, *shape)`, float32.
            deadline: the caller's.
            features: whether they are answered, too; the model's card has to give them.

        Raises:
            ModelNotReady: the model was unloaded meanwhile.
            ModelChanged: it was loaded again meanwhile, of another version, weights or precision.
            ModelBroken: it does not answer as its card says.
            BackendUnavailable: Triton does not answer.
            DeadlineTooShort: the time is up.
        """
        rows = model.rows_per_call(inputs[0].nbytes)
        parts = [
            await self._call(model, inputs[start : start + rows], deadline, features)
            for start in range(0, len(inputs), rows)
        ]
        return joined(model, parts)

    async def _call(
        self, model: ServedModel, batch: FloatArray, deadline: Deadline, features: bool
    ) -> Answer:
        request = service_pb2.ModelInferRequest(
            model_name=model.card.name,
            model_version=model.version,
            id=request_id.current(),
            raw_input_contents=[batch.tobytes()],
        )
        request.inputs.add(name="input", datatype="FP32", shape=batch.shape)
        request.outputs.add(name="logits")
        if model.card.members:
            request.outputs.add(name=MEMBER_SCORES)
        if model.card.detector is not None:
            request.outputs.add(name=DISTANCE)
        if features:
            request.outputs.add(name=FEATURES)
        timeout = min(deadline.timeout(), self._timeout_s)
        try:
            with tracing.calling(*TRITON_INFER) as metadata:
                response = await self._stub.ModelInfer(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise translate(error, model, deadline, self._mark_stale) from error
        return check_answer(response, model, len(batch), self._mark_stale)


def check_answer(
    response: service_pb2.ModelInferResponse,
    model: ServedModel,
    rows: int,
    mark_stale: MarkStale,
    *,
    finite: bool = True,
) -> Answer:
    """What Triton answered to `rows` inputs, if it is of the model that was asked for.

    Args:
        response: of the classifier, or of the graph that expands its masks.
        model: as it was when the request began.
        rows: inputs, or masks, of the call.
        mark_stale: called with the name of a model that changed.
        finite: whether every logit has to be a number; where parts of an input are hidden, one that
            is not is no fault of the model's.

    Raises:
        ModelChanged: another version answered, or other weights, or in another precision.
        ModelBroken: the logits are not of shape `(rows, K')`, or not all of them are numbers.
    """
    precision = response.parameters[PRECISION].string_param
    digest = response.parameters[WEIGHTS_DIGEST].string_param
    if response.model_version != model.version:
        mark_stale(model.card.name)
        raise changed(model, f"version {response.model_version} answered, not {model.version}")
    if digest and model.weights_digest and digest != model.weights_digest:
        mark_stale(model.card.name)
        raise changed(model, "other weights answered than the request began with")
    if precision and model.precision not in (precision, UNKNOWN_PRECISION):
        mark_stale(model.card.name)
        raise changed(model, f"{precision} answered, not {model.precision}")
    logits = _values(response, "logits", model, (rows, model.card.logits), finite=finite)
    return Answer(
        logits,
        precision or model.precision,
        InferResult(response).as_numpy(MEMBER_SCORES),
        _distances(response, model, rows),
        _features(response, model, rows),
    )


def joined(model: ServedModel, parts: Sequence[Answer]) -> Answer:
    """The answers to the parts of one batch as one.

    Raises:
        ModelChanged: they were not computed in the same arithmetic.
    """
    precisions = {part.precision for part in parts}
    if len(precisions) > 1:
        raise changed(model, f"answered in {' and in '.join(sorted(precisions))}")
    return Answer(
        np.concatenate([part.logits for part in parts]),
        precisions.pop(),
        _concatenated([part.members for part in parts]),
        _concatenated([part.distances for part in parts]),
        _concatenated([part.features for part in parts]),
    )


def _concatenated(parts: Sequence[FloatArray | None]) -> FloatArray | None:
    given = [part for part in parts if part is not None]
    return np.concatenate(given) if given else None


def translate(
    error: Any,
    model: ServedModel,
    deadline: Deadline,
    mark_stale: MarkStale,
) -> PellucidError:
    """What a failed inference means to the caller.

    Args:
        error: a `grpc.RpcError` of either kind.
        model: that was asked for.
        deadline: the caller's; a call that ends before it had a time-out of its own.
        mark_stale: called with the name of a model that changed.

    Raises:
        Exception: `error` itself, where the request was wrong: that is a bug of ours.
    """
    code, message = error.code(), error.details() or ""
    name = model.card.name
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        if deadline.is_over:
            return DeadlineTooShort("Triton did not answer in time", remedy="allow more time")
        return unanswered("Triton does not answer in time")
    if "unknown model" in message:
        mark_stale(name)
        # Triton names the version where it knows the model, and says neither if it knows none.
        if "version" in message and "no available versions" not in message:
            return changed(model, f"version {model.version} is no longer served")
        return ModelNotReady(
            f"{name} is no longer loaded",
            field="model",
            remedy="load it, or wait",
            retry_after_s=1.0,
            model=name,
        )
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) or _STUB_DIED in message:
        return unanswered()
    # A model that was loaded again with another input refuses what the old one took.
    mark_stale(name)
    raise error


def unanswered(message: str = "Triton does not answer") -> BackendUnavailable:
    """Triton is not there, or too busy."""
    return BackendUnavailable(message, remedy="try again shortly", retry_after_s=1.0, peer="Triton")


def changed(model: ServedModel, what: str) -> ModelChanged:
    """The model is not what the request began with; `what` says how."""
    return ModelChanged(
        f"{model.card.name} changed meanwhile: {what}",
        field="model",
        remedy="send the request again",
        retry_after_s=0.5,
        model=model.card.name,
    )


def _distances(
    response: service_pb2.ModelInferResponse, model: ServedModel, rows: int
) -> FloatArray | None:
    if all(output.name != DISTANCE for output in response.outputs):
        return None
    return _values(response, DISTANCE, model, (rows, 1), finite=True)[:, 0]


def _features(
    response: service_pb2.ModelInferResponse, model: ServedModel, rows: int
) -> FloatArray | None:
    for output in response.outputs:
        if output.name == FEATURES:
            return _values(response, FEATURES, model, (rows, int(output.shape[-1])), finite=True)
    return None


def _values(
    response: service_pb2.ModelInferResponse,
    output: str,
    model: ServedModel,
    expected: tuple[int, int],
    *,
    finite: bool,
) -> FloatArray:
    values = InferResult(response).as_numpy(output)
    shape = None if values is None else values.shape
    if shape != expected:
        raise _broken(model, f"answered {shape} where its card promises {expected}")
    if finite and not np.isfinite(values).all():
        raise _broken(model, "answered with what is no number")
    return np.asarray(values, dtype=np.float32)


def _broken(model: ServedModel, what: str) -> ModelBroken:
    return ModelBroken(
        f"{model.card.name} {what}",
        field="model",
        remedy="fix its card or its graph, and load it again",
        model=model.card.name,
    )
