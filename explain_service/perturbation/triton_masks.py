"""The masked model that Triton serves: two calls in flight, no mask asked for twice."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

from explain_service.attribution import ExplainInput
from explain_service.perturbation.masks import MaskRows, Masks
from explain_service.run_control import RunControl
from explain_service.segmentation import SegmentMap
from explain_service.triton_calls import SharedInputs, TritonCalls
from pellucid.errors import DeadlineTooShort, MethodUnavailable
from pellucid.serving.triton import Answer, changed
from pellucid.tensors import FloatArray

LARGEST_MASKS: Final = 1 << 20
"""Bytes of masks in one call: with the image, it stays below gRPC's usual 4 MiB."""


@dataclass
class _Call:
    """Some masks on their way: the new ones among them, and where each one's scores will lie."""

    new: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    answer: "Future[Answer] | None" = None


class TritonMasks:
    """Scores of one input under masks over one segment map; for one method, on one thread.

    Equal masks in equal order make equal calls, so the scores are equal to the last bit.
    """

    def __init__(
        self,
        calls: TritonCalls,
        inputs: ExplainInput,
        segments: SegmentMap,
        control: RunControl,
    ) -> None:
        """Prepare the parts that every call has.

        Args:
            calls: to Triton.
            inputs: what is explained.
            segments: `(H, W)`, numbered from 0 without gaps.
            control: counts each batch.
        """
        self.segments = int(segments.max()) + 1
        self.full, self.empty = inputs.references.full, inputs.references.empty
        self._calls = calls
        self._inputs = inputs
        self._control = control
        self._batch = max(min(calls.masks_per_call, LARGEST_MASKS // self.segments), 1)
        self._shared = SharedInputs.of(inputs.tensor, inputs.baseline, segments)
        self._scores: list[FloatArray] = [self.full, self.empty]
        self._known = {
            _key(np.ones(self.segments, np.uint8)): 0,
            _key(np.zeros(self.segments, np.uint8)): 1,
        }

    def stream(self, masks: MaskRows) -> Iterator[FloatArray]:
        """Scores `(n, K)`, block after block, in order; ends early when the time is up.

        Raises:
            Cancelled: the request was.
            MethodUnavailable: the model's scores are not finite.
            ModelChanged: another model answered than the request began with.
            PellucidError: Triton does not answer, or has no such model any more.
        """
        flying: deque[_Call] = deque()
        try:
            for call in self._plan(masks):
                while len(flying) >= self._calls.calls_in_flight:
                    yield self._collect(flying[0])
                    flying.popleft()
                self._control.check()
                if self._control.out_of_time:
                    break
                self._send(call)
                flying.append(call)
            while flying:
                yield self._collect(flying[0])
                flying.popleft()
        except DeadlineTooShort:
            return
        finally:
            for call in flying:
                if call.answer is not None:
                    call.answer.cancel()

    def _plan(self, masks: MaskRows) -> Iterator[_Call]:
        """Cut the masks into calls, each with as many new ones as fit."""
        call = _Call()
        for start in range(0, len(masks), self._batch):
            rows: Masks = masks[start : start + self._batch]
            for row in rows:
                key = _key(row)
                if key not in self._known:
                    self._known[key] = len(self._known)
                    call.new.append(row)
                call.order.append(self._known[key])
                if len(call.new) == self._batch:
                    yield call
                    call = _Call()
        if call.order:
            yield call

    def _send(self, call: _Call) -> None:
        if not call.new:
            return
        masks = np.stack(call.new)
        inputs = self._inputs
        call.answer = self._calls.masked(inputs.model, self._shared, masks, inputs.caller)

    def _collect(self, call: _Call) -> FloatArray:
        """Wait for a call; its scores, and those that were known before."""
        if call.answer is not None:
            answer = self._control.wait(call.answer)
            self._check_precision(answer)
            scores = self._inputs.scores(answer.logits)
            if not np.isfinite(scores).all():
                raise MethodUnavailable(
                    "the model's scores are not finite where parts of the input are hidden",
                    field="options.baseline",
                    remedy="choose another baseline",
                )
            self._scores.extend(scores)
            self._control.advance(len(call.new))
        return np.stack([self._scores[place] for place in call.order])

    def _check_precision(self, answer: Answer) -> None:
        """Refuse to mix scores of two kinds of arithmetic in one map."""
        expected = self._inputs.references.precision
        if answer.precision != expected:
            raise changed(self._inputs.model, f"{answer.precision} answered, not {expected}")


def _key(mask: npt.NDArray[np.uint8]) -> bytes:
    """Names a mask in 16 bytes: there may be thousands of masks of thousands of segments."""
    return blake2b(mask.tobytes(), digest_size=16).digest()
