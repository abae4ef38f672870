"""Calls to Triton from worker threads: bounded for the whole process, in the order of asking."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Self, TypeVar

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from explain_service import metrics
from explain_service.run_control import Cancellation, RunControl, TimeBudget
from explain_service.settings import ExplainSettings
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

    cancellation: Cancellation
    """A call that was not sent yet is then not sent; one that was is cancelled."""
    deadline: Deadline
    request_id: str

    def wait(self, work: "Future[T]") -> T:
        """Result of what runs elsewhere.

        Raises:
            Cancelled: the request was.
            DeadlineTooShort: the time is up.
        """
        budget = TimeBudget(deadline=self.deadline)
        return RunControl(total=0, cancellation=self.cancellation, budget=budget).wait(work)


@dataclass(frozen=True)
class Answer:
    """Logits `(N, K')`, and the arithmetic they were computed in."""

    logits: FloatArray
    precision: str


@dataclass(frozen=True)
class SharedInputs:
    """What all calls about one input share; it can be in several calls at once."""

    inputs: tuple[InferInput, ...]
    nbytes: int
    """Size of the elements."""

    @classmethod
    def of(cls, tensor: FloatArray, baseline: FloatArray, segments: Array) -> Self:
        """Encode an input `(*shape)`, a baseline of four axes, and a segment map `(H, W)`."""
        arrays = {"image": tensor[np.newaxis], "baseline": baseline, "segments": segments}
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
        self.calls_in_flight = settings.calls_in_flight
        self.masks_per_call = settings.masks_per_call
        self._call_timeout_s = settings.triton_call_timeout_s
        self._client = InferenceServerClient(
            settings.triton_url, creds=triton_credentials(settings), channel_args=options
        )
        self._threads = ThreadPoolExecutor(settings.calls_in_flight, "triton-call")

    def close(self) -> None:
        """Send nothing any more, give up what was sent, close the connection."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()
        self._threads.shutdown()

    def masked(
        self, model: ServedModel, shared: SharedInputs, masks: Array, caller: Caller
    ) -> "Future[Answer]":
        """Queue one call to the masked graph.

        Args:
            model: the classifier.
            shared: what all calls about one input share.
            masks: uint8, `(N, S)`.
            caller: on whose behalf.

        Returns:
            Logits of each mask. It raises what `logits` does.
        """
        request = _Request(
            model.card.name + MASKED_SUFFIX,
            (*shared.inputs, _tensor("masks", masks)),
            rows=len(masks),
            mask_bytes=shared.nbytes + masks.nbytes,
        )
        return self._threads.submit(self._call, model, request, caller)

    def logits(self, model: ServedModel, inputs: FloatArray, caller: Caller) -> Answer:
        """Logits `(N, K')` of inputs `(N, *shape)`; blocks.

        Raises:
            Cancelled: the request was.
            ModelNotReady: the model was unloaded meanwhile.
            ModelChanged: it was reloaded meanwhile.
            ModelBroken: its graph is not as its card says.
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

        Raises as `logits` does, but for `Cancelled`.
        """
        caller = Caller(Cancellation(), Deadline.after(_OWN_S), request_id="")
        return self.logits(model, inputs, caller).logits

    def _call(self, model: ServedModel, request: _Request, caller: Caller) -> Answer:
        caller.cancellation.check()
        timeout = min(caller.deadline.timeout(), self._call_timeout_s)
        if request.mask_bytes:
            metrics.TRITON_CALLS.labels(model.card.name).inc()
            metrics.TRITON_BYTES.labels(model.card.name).inc(request.mask_bytes)
        try:
            response = self._infer(model, request, caller, timeout).get_response()
        except InferenceServerException as error:
            caller.cancellation.check()
            raise translate(error, request.graph) from error
        logits = np.asarray(InferResult(response).as_numpy("logits"), dtype=np.float32)
        return Answer(check_logits(model, logits, request.rows), precision_of(response, model))

    def _infer(
        self, model: ServedModel, request: _Request, caller: Caller, timeout: float
    ) -> InferResult:
        """Send one call and wait for its answer; it is cancelled when the request is."""
        answers: SimpleQueue[tuple[InferResult, InferenceServerException | None]] = SimpleQueue()
        call = self._client.async_infer(
            request.graph,
            request.inputs,
            lambda result, error: answers.put((result, error)),
            model_version=model.version,
            outputs=[InferRequestedOutput("logits")],
            request_id=caller.request_id,
            client_timeout=timeout,
        )
        with caller.cancellation.cancelling(call.cancel):
            result, error = answers.get()
        if error is not None:
            raise error
        return result


def _tensor(name: str, array: Array) -> InferInput:
    value = InferInput(name, list(array.shape), _TYPES[array.dtype.name])
    value.set_data_from_numpy(np.ascontiguousarray(array))
    return value
