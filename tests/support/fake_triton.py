"""A Triton that answers masks from a formula, over real gRPC.

It is there for what a real one cannot be made to do on demand: to fall silent, to fail once, to
answer as another version or in another precision in the middle of a method.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pellucid.cards import CARD_PARAMETER, MASKED_SUFFIX, ROLE_PARAMETER, Card

Masks = NDArray[np.uint8]
Logits = NDArray[np.float32]


def kept_segments(masks: Masks) -> Logits:
    """Logits of two labels: how many segments are kept, and the negation."""
    kept = masks.sum(axis=1, keepdims=True).astype(np.float32)
    return np.concatenate([kept, -kept], axis=1)


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers every model, on a free port, and lists one; what is no mask is answered 0."""

    def __init__(self) -> None:
        self.formula: Callable[[Masks], Logits] = kept_segments
        self.labels = 2
        """Width of its answers to inputs."""
        self.version = "1"
        """That its answers name."""
        self.precision = "float32"
        """That its answers name."""
        self.seconds = 0.0
        """Each answer takes so long, but for those about one segment."""
        self.fails: Callable[[int, Masks], grpc.StatusCode | None] = lambda number, masks: None
        """By the number of the call, from 0, and its masks."""
        self.at_call: Callable[[int], None] = lambda number: None
        """Told the number of each call, from 0, before it is answered."""
        self.rows: list[int] = []
        """Of each call, as they came in."""
        self.masks: list[Masks] = []
        """Of each call with masks, as they came in."""
        self.cancelled = 0
        """Calls that the client cancelled before they were answered."""
        self.card: Card | None = None
        """Of the one model that it lists."""
        self.metadata_calls = 0
        """Calls that are no inferences."""
        self._silent = False
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(8)
        unlimited = [("grpc.max_receive_message_length", -1)]
        self._server = grpc.server(self._threads, options=unlimited)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.speak()
        self._server.stop(None).wait()
        self._threads.shutdown()

    def fall_silent(self) -> None:
        """Answer nothing any more."""
        self._silent = True

    def speak(self) -> None:
        """Answer again, also what was asked meanwhile."""
        with self._changed:
            self._silent = False
            self._changed.notify_all()

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that calls change; gives up after ten seconds."""
        with self._changed:
            assert self._changed.wait_for(holds, timeout=10)

    def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata_calls += 1
        index = service_pb2.RepositoryIndexResponse()
        for name in self._graphs():
            index.models.add(name=name, version=self.version, state="READY")
        return index

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.metadata_calls += 1
        answer = service_pb2.ModelConfigResponse()
        for key, value in self._graphs()[request.name].items():
            answer.config.parameters[key].string_value = value
        return answer

    def _graphs(self) -> dict[str, dict[str, str]]:
        """What their configurations say of the classifier and of its masked graph."""
        if self.card is None:
            return {}
        name, card = self.card.name, {CARD_PARAMETER: self.card.to_json()}
        masked = {**card, ROLE_PARAMETER: "masked"}
        return {name: {**card, ROLE_PARAMETER: "classifier"}, name + MASKED_SUFFIX: masked}

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        last = request.inputs[-1]
        masks = np.frombuffer(request.raw_input_contents[-1], np.uint8).reshape(last.shape[0], -1)
        with self._changed:
            number = len(self.rows)
            self.rows.append(len(masks))
            if last.name == "masks":
                self.masks.append(masks)
            self._changed.notify_all()
        self.at_call(number)
        if not self._held(context):
            return service_pb2.ModelInferResponse()
        if (code := self.fails(number, masks)) is not None:
            context.abort(code, "scripted")
        if last.name != "masks":
            return self._answer(np.zeros((len(masks), self.labels), np.float32))
        time.sleep(self.seconds if masks.shape[1] > 1 else 0)
        return self._answer(self.formula(masks))

    def _held(self, context: Any) -> bool:
        """Wait while it is silent; False where the client has gone meanwhile."""
        context.add_callback(self._wake)
        with self._changed:
            self._changed.wait_for(lambda: not self._silent or not context.is_active())
            if context.is_active():
                return True
            self.cancelled += 1
            self._changed.notify_all()
            return False

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _answer(self, logits: Logits) -> service_pb2.ModelInferResponse:
        answer = service_pb2.ModelInferResponse(
            model_version=self.version, raw_output_contents=[logits.tobytes()]
        )
        answer.outputs.add(name="logits", datatype="FP32", shape=logits.shape)
        answer.parameters["precision"].string_param = self.precision
        return answer
