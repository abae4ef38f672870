"""Calls to Triton from worker threads: bounded for the whole process, in the order of asking."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from explain_service import metrics
from explain_service.settings import ExplainSettings
from explain_service.tick import Cancelled, Tick
from pellucid.cards import MASKED_SUFFIX
from pellucid.serving.channels import channel_options, triton_credentials
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import ServedModel, check_logits, precision_of, translate
from pellucid.tensors import Array, FloatArray

_TYPES: Final = {"float32": "FP32", "uint16": "UINT16", "uint8": "UINT8"}
_OWN_S: Final = 30.0
"""Longest wait for what the service asks for itself."""

T = TypeVar("T")


@dataclass(frozen=True)
class Caller:
    """On whose behalf Triton is called."""

    stop: threading.Event
    """Set when nobody waits any more; a call that was not sent yet is then not sent."""
    deadline: Deadline
    request_id: str

    def wait(self, work: "Future[T]") -> T:
        """Result of what runs elsewhere.

        Raises:
            Cancelled: nobody waits any more.
            DeadlineTooShort: the time is up.
        """
        return Tick(total=0, stop=self.stop, deadline=self.deadline).wait(work)


@dataclass(frozen=True)
class Answer:
    """Logits `(N, K')`, and the arithmetic they were computed in."""

    logits: FloatArray
    precision: str


@dataclass(frozen=True)
class Fixed:
    """What all calls about one input share; it can be in several calls at once."""

    inputs: tuple[InferInput, ...]
    nbytes: int
    """Size of the elements."""

    @classmethod
    def of(cls, image: FloatArray, baseline: FloatArray, segments: Array) -> Self:
        """Encode an input `(*shape)`, a baseline of four axes, and a segment map `(H, W)`."""
        arrays = {"image": image[np.newaxis], "baseline": baseline, "segments": segments}
        inputs = tuple(_tensor(name, array) for name, array in arrays.items())
        return cls(inputs, sum(array.nbytes for array in arrays.values()))


@dataclass(frozen=True)
class _Request:
    """One call."""

    graph: str
    inputs: tuple[InferInput, ...]
    rows: int
    """Inputs that it stands for; so many answers are expected."""
    mask_bytes: int = 0
    """Size of the elements where it has masks, which are counted; else 0."""


class TritonCalls:
    """Triton's classifiers and masked graphs, for threads."""

    def __init__(self, settings: ExplainSettings) -> None:
        """Prepare a client; it connects with the first call."""
        options: list[tuple[str, Any]] = [*channel_options(settings.max_message_bytes)]
        self.calls_in_flight = calls_in_flight = settings.calls_in_flight
        self._client = InferenceServerClient(
            settings.triton_url, creds=triton_credentials(settings), channel_args=options
        )
        self._threads = ThreadPoolExecutor(calls_in_flight, "triton-call")

    def close(self) -> None:
        """Send nothing any more, give up what was sent, close the connection."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()
        self._threads.shutdown()

    def masked(
        self, model: ServedModel, fixed: Fixed, masks: Array, caller: Caller
    ) -> "Future[Answer]":
        """Queue one call to the masked graph.

        Args:
            model: the classifier.
            fixed: what all calls about one input share.
            masks: uint8, `(N, S)`.
            caller: on whose behalf.

        Returns:
            Logits of each mask. It raises `Cancelled` where nobody waited any more when its turn
            came, `DeadlineTooShort`, `BackendUnavailable` or `ModelNotReady`.
        """
        request = _Request(
            model.card.name + MASKED_SUFFIX,
            (*fixed.inputs, _tensor("masks", masks)),
            rows=len(masks),
            mask_bytes=fixed.nbytes + masks.nbytes,
        )
        return self._threads.submit(self._call, model, request, caller)

    def logits(self, model: ServedModel, inputs: FloatArray, caller: Caller) -> Answer:
        """Logits `(N, K')` of inputs `(N, *shape)`; blocks.

        Raises:
            Cancelled: nobody waits any more.
            ModelNotReady: the model was unloaded meanwhile, or its graph is not as its card says.
            BackendUnavailable: Triton does not answer.
            DeadlineTooShort: the time is up.
        """
        rows = model.rows_per_call(inputs[0].nbytes)
        parts = [inputs[start : start + rows] for start in range(0, len(inputs), rows)]
        calls = [
            self._threads.submit(
                self._call,
                model,
                _Request(model.card.name, (_tensor("input", part),), len(part)),
                caller,
            )
            for part in parts
        ]
        answers = [caller.wait(call) for call in calls]
        return Answer(np.concatenate([part.logits for part in answers]), answers[0].precision)

    def predict(self, model: ServedModel, inputs: FloatArray) -> FloatArray:
        """Logits `(N, K')` of inputs `(N, *shape)`, on behalf of the service itself; blocks.

        Raises:
            ModelNotReady: the model is not loaded any more, or its graph is not as its card says.
            BackendUnavailable: Triton does not answer.
            DeadlineTooShort: it did not answer in time.
        """
        caller = Caller(threading.Event(), Deadline.after(_OWN_S), request_id="")
        return self.logits(model, inputs, caller).logits

    def _call(self, model: ServedModel, request: _Request, caller: Caller) -> Answer:
        if caller.stop.is_set():
            raise Cancelled
        timeout = caller.deadline.timeout()
        if request.mask_bytes:
            metrics.TRITON_CALLS.labels(model.card.name).inc()
            metrics.TRITON_BYTES.labels(model.card.name).inc(request.mask_bytes)
        try:
            result = self._client.infer(
                request.graph,
                request.inputs,
                outputs=[InferRequestedOutput("logits")],
                request_id=caller.request_id,
                client_timeout=timeout,
            )
        except InferenceServerException as error:
            raise translate(error, request.graph) from error
        logits = np.asarray(result.as_numpy("logits"), dtype=np.float32)
        said = precision_of(result.get_response(), model)
        return Answer(check_logits(model, logits, request.rows), said)


def _tensor(name: str, array: Array) -> InferInput:
    value = InferInput(name, list(array.shape), _TYPES[array.dtype.name])
    value.set_data_from_numpy(np.ascontiguousarray(array))
    return value
