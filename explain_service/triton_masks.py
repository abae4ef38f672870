"""The masked model that Triton serves: two calls in flight, no mask asked for twice."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

from explain_service.attribution import Question
from explain_service.perturbation.masks import MaskRows, Masks
from explain_service.segmentation import SegmentMap
from explain_service.tick import Tick
from explain_service.triton_calls import Answer, Caller, Fixed, TritonCalls
from pellucid.errors import DeadlineTooShort, MethodUnavailable
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
        question: Question,
        segments: SegmentMap,
        ends: tuple[FloatArray, FloatArray],
        caller: Caller,
        tick: Tick,
        masks_per_call: int,
    ) -> None:
        """Prepare the parts that every call has.

        Args:
            calls: to Triton.
            question: what is explained.
            segments: `(H, W)`, numbered from 0 without gaps.
            ends: scores `(K,)` of the input and of the baseline.
            caller: on whose behalf.
            tick: told of each batch.
            masks_per_call: at most.
        """
        self.segments = int(segments.max()) + 1
        self.full, self.empty = ends
        self._calls = calls
        self._question = question
        self._caller = caller
        self._tick = tick
        self._batch = max(min(masks_per_call, LARGEST_MASKS // self.segments), 1)
        self._fixed = Fixed.of(question.input, question.baseline, segments)
        self._scores: list[FloatArray] = [self.full, self.empty]
        self._known = {
            _key(np.ones(self.segments, np.uint8)): 0,
            _key(np.zeros(self.segments, np.uint8)): 1,
        }

    def stream(self, masks: MaskRows) -> Iterator[FloatArray]:
        """Scores `(n, K)`, block after block, in order; ends early when the time is up.

        Raises:
            Cancelled: nobody waits any more.
            MethodUnavailable: the model's scores are not finite.
            PellucidError: Triton does not answer, or has no such model any more.
        """
        flying: deque[_Call] = deque()
        try:
            for call in self._plan(masks):
                while len(flying) >= self._calls.calls_in_flight:
                    yield self._land(flying[0])
                    flying.popleft()
                self._tick.check()
                if self._tick.out_of_time:
                    break
                self._send(call)
                flying.append(call)
            while flying:
                yield self._land(flying[0])
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
        call.answer = self._calls.masked(self._question.model, self._fixed, masks, self._caller)

    def _land(self, call: _Call) -> FloatArray:
        """Wait for a call; its scores, and those that were known before."""
        if call.answer is not None:
            answer = self._tick.wait(call.answer)
            scores = self._question.scores(answer.logits)
            if not np.isfinite(scores).all():
                raise MethodUnavailable(
                    "the model's scores are not finite where parts of the input are hidden",
                    field="options.baseline",
                    remedy="choose another baseline",
                )
            self._scores.extend(scores)
            self._tick.step(len(call.new))
        return np.stack([self._scores[place] for place in call.order])


def ends(calls: TritonCalls, question: Question, caller: Caller) -> tuple[FloatArray, str]:
    """Served logits `(2, K')` of the input and of the baseline, and the arithmetic.

    Raises:
        Cancelled: nobody waits any more.
        MethodUnavailable: they are not finite.
        PellucidError: Triton does not answer, or has no such model any more.
    """
    if not question.model.masked:
        baseline = np.broadcast_to(question.baseline, (1, *question.input.shape))
        both = np.concatenate([question.input[np.newaxis], baseline])
        answer = calls.logits(question.model, both, caller)
    else:
        whole = np.zeros(question.plane, np.uint16)
        fixed = Fixed.of(question.input, question.baseline, whole)
        masks = np.array([[1], [0]], np.uint8)
        answer = caller.wait(calls.masked(question.model, fixed, masks, caller))
    _check_ends(answer.logits)
    return answer.logits, answer.precision


def _check_ends(logits: FloatArray) -> None:
    """Refuse an input or a baseline to which the model gives no number."""
    if not np.isfinite(logits[0]).all():
        raise MethodUnavailable(
            "the model's scores of the input are not finite",
            field="input",
            remedy="send another input, or mend the model",
        )
    if not np.isfinite(logits[1]).all():
        raise MethodUnavailable(
            "the model's scores of the baseline are not finite",
            field="options.baseline",
            remedy="choose another baseline",
        )


def _key(mask: npt.NDArray[np.uint8]) -> bytes:
    """Names a mask in 16 bytes: there may be thousands of masks of thousands of segments."""
    return blake2b(mask.tobytes(), digest_size=16).digest()
