"""Calls to Triton from worker threads: bounded for the whole process, first come, first served."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self, TypeVar

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from explain_service import metrics
from explain_service.run_control import Cancellation, RunControl, TimeBudget
from explain_service.settings import ExplainSettings
from pellucid.cards import MASKED_SUFFIX
from pellucid.serving import request_id, tracing
from pellucid.serving.channels import TRITON_INFER, open_blocking_triton_channel
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import ServedModel
from pellucid.serving.triton import Answer, MarkStale, check_answer, joined, translate
from pellucid.tensors import Array, FloatArray

_TYPES: Final = {"float32": "FP32", "uint16": "UINT16", "uint8": "UINT8"}
_OWN_S: Final = 30.0
"""Longest wait for what the service calls on its own behalf."""

T = TypeVar("T")


@dataclass(frozen=True)
class Caller:
    """On whose behalf Triton is called."""

    cancellation: Cancellation
    """A call that was not sent yet is then not sent; one that was is cancelled."""
    deadline: Deadline

    def wait(self, work: "Future[T]") -> T:
        """Result of what runs elsewhere.

        Raises:
            Cancelled: the request was.
            DeadlineTooShort: the time is up.
        """
        budget = TimeBudget(deadline=self.deadline)
        return RunControl(total=0, cancellation=self.cancellation, budget=budget).wait(work)


@dataclass(frozen=True)
class SharedInputs:
    """What all calls about one input share; it can be in several calls at once."""

    request: service_pb2.ModelInferRequest
    nbytes: int
    """Size of the elements."""

    @classmethod
    def of(cls, tensor: FloatArray, baseline: FloatArray, segments: Array) -> Self:
        """Encode an input `(*shape)`, a baseline of four axes, and a segment map `(H, W)`."""
        arrays = {"image": tensor[np.newaxis], "baseline": baseline, "segments": segments}
        request = service_pb2.ModelInferRequest()
        for name, array in arrays.items():
            _add(request, name, array)
        return cls(request, sum(array.nbytes for array in arrays.values()))


class TritonCalls:
    """Triton's classifiers and masked graphs, for threads."""

    def __init__(self, settings: ExplainSettings, mark_stale: MarkStale) -> None:
        """Prepare a channel; it connects with the first call.

        Args:
            settings: where Triton is, and how many calls and masks it gets at once.
            mark_stale: called with the name of a model that turns out to have changed.
        """
        self.calls_in_flight = settings.calls_in_flight
        self.masks_per_call = settings.masks_per_call
        self._timeout_s = settings.triton_call_timeout_s
        self._mark_stale = mark_stale
        self._channel = open_blocking_triton_channel(settings.triton_url, settings)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._threads = ThreadPoolExecutor(settings.calls_in_flight, "triton-call")

    def close(self) -> None:
        """Send nothing any more, give up what was sent, close the connection."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._channel.close()
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
            Logits of each mask, which may be no numbers. It raises what `logits` does.
        """

        def call() -> Answer:
            caller.cancellation.check()
            request = service_pb2.ModelInferRequest()
            request.CopyFrom(shared.request)
            request.model_name = model.card.name + MASKED_SUFFIX
            _add(request, "masks", masks)
            metrics.TRITON_CALLS.labels(model.card.name).inc()
            metrics.TRITON_BYTES.labels(model.card.name).inc(shared.nbytes + masks.nbytes)
            return self._call(model, request, len(masks), caller)

        return self._submit(call)

    def logits(self, model: ServedModel, inputs: FloatArray, caller: Caller) -> Answer:
        """Logits `(N, K')` of inputs `(N, *shape)`, which may be no numbers; blocks.

        Raises:
            Cancelled: the request was.
            ModelNotReady: the model was unloaded meanwhile.
            ModelChanged: it was loaded again meanwhile.
            ModelBroken: its graph is not as its card says.
            BackendUnavailable: Triton does not answer.
            DeadlineTooShort: the time is up.
        """
        rows = model.rows_per_call(inputs[0].nbytes)
        requests = []
        for start in range(0, len(inputs), rows):
            request = service_pb2.ModelInferRequest(model_name=model.card.name)
            _add(request, "input", inputs[start : start + rows])
            requests.append((request, len(inputs[start : start + rows])))
        calls = [
            self._submit(partial(self._call, model, request, count, caller))
            for request, count in requests
        ]
        return joined(model, [caller.wait(call) for call in calls])

    def predict(self, model: ServedModel, inputs: FloatArray) -> FloatArray:
        """Logits `(N, K')` of inputs `(N, *shape)`, on behalf of the service itself; blocks.

        Raises as `logits` does, but for `Cancelled`.
        """
        caller = Caller(Cancellation(), Deadline.after(_OWN_S))
        return self.logits(model, inputs, caller).logits

    def _submit(self, work: Callable[[], Answer]) -> "Future[Answer]":
        """Run it in turn, with the ids of the request that the caller's thread works for."""
        return self._threads.submit(copy_context().run, work)

    def _call(
        self, model: ServedModel, request: service_pb2.ModelInferRequest, rows: int, caller: Caller
    ) -> Answer:
        """Send one call and wait for its answer; it is cancelled when the request is."""
        caller.cancellation.check()
        timeout = min(caller.deadline.timeout(), self._timeout_s)
        request.model_version = model.version
        request.id = request_id.current()
        request.outputs.add(name="logits")
        try:
            with tracing.calling(*TRITON_INFER) as metadata:
                call = self._stub.ModelInfer.future(request, timeout=timeout, metadata=metadata)
                with caller.cancellation.cancelling(call.cancel):
                    response = call.result()
        except grpc.FutureCancelledError:
            caller.cancellation.check()
            raise
        except grpc.RpcError as error:
            caller.cancellation.check()
            raise translate(error, model, caller.deadline, self._mark_stale) from error
        return check_answer(response, model, rows, self._mark_stale, finite=False)


def _add(request: service_pb2.ModelInferRequest, name: str, array: Array) -> None:
    request.inputs.add(name=name, datatype=_TYPES[array.dtype.name], shape=array.shape)
    request.raw_input_contents.append(np.ascontiguousarray(array).tobytes())
