"""From a file to scores: the preprocess service makes the tensors, Triton answers them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from gateway import metrics
from gateway.peers import RESERVE_S, PreprocessPeer
from pellucid.api.common.v1 import contract_pb2, media_pb2
from pellucid.api.preprocess.v1 import preprocess_pb2
from pellucid.errors import (
    InvalidArgument,
    MediaLimitExceeded,
    ModelNotReady,
    UnknownModel,
    UnreadableMedia,
)
from pellucid.scores import label_logits, probabilities
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import ServedModel, TritonModels
from pellucid.tensors import FloatArray, decode


@dataclass(frozen=True)
class Classified:
    """One file as its model sees it: `N` windows, `K` labels in the card's order."""

    model: ServedModel
    windows: Sequence[media_pb2.Window]
    """One for a picture; as the preprocess service made them, with their tensors."""
    facts: media_pb2.MediaFacts
    logits: FloatArray
    """`(N, K)`."""
    scores: FloatArray
    """`(N, K)`, 0 to 1."""
    precision: str

    @property
    def overall_logits(self) -> FloatArray:
        """`(K,)`: mean over the windows."""
        mean: FloatArray = self.logits.mean(axis=0)
        return mean

    @property
    def overall_scores(self) -> FloatArray:
        """`(K,)`: mean over the windows, 0 to 1."""
        mean: FloatArray = self.scores.mean(axis=0)
        return mean


class Classification:
    """Classifies files with whatever Triton serves."""

    def __init__(
        self, models: TritonModels, preprocess: PreprocessPeer, max_content_bytes: int
    ) -> None:
        """Classify files of at most `max_content_bytes`."""
        self._models = models
        self._preprocess = preprocess
        self._max_content_bytes = max_content_bytes
        self._contracts: dict[str, contract_pb2.PreprocessContract] = {}
        """By model, as last seen."""

    async def classify(self, name: str, content: bytes, deadline: Deadline) -> Classified:
        """Classify one file.

        Raises:
            UnreadableMedia, UnsupportedMedia, MediaLimitExceeded: the file is at fault.
            InvalidArgument, UnknownModel, ModelNotReady: the model is.
            BackendUnavailable: a service behind this one is.
            DeadlineTooShort: the time is up.
        """
        self.check_content(content)
        # Read by the contract that was last seen while Triton is asked for the present one.
        expected = self._contracts.get(name)
        read = partial(self._read, name, content, deadline=deadline, displayed=False)
        ahead = expected and asyncio.create_task(read(contract=expected))
        try:
            model = await self.model(name)
            contract = model.card.preprocess.to_message()
            if ahead and contract == expected:
                return await self._infer(model, await ahead, deadline)
        finally:
            if ahead:
                await _drop(ahead)
        self._contracts[name] = contract
        return await self._infer(model, await read(contract=contract), deadline)

    def check_content(self, content: bytes) -> None:
        """Refuse what need not be read to be refused."""
        if not content:
            raise UnreadableMedia(
                "the file is empty", field="content", remedy="send the bytes of a file"
            )
        if len(content) > self._max_content_bytes:
            raise MediaLimitExceeded(
                f"the file has {len(content)} bytes, the limit is {self._max_content_bytes}",
                field="content",
                remedy=f"send at most {self._max_content_bytes} bytes",
                limit="max_content_bytes",
                maximum=str(self._max_content_bytes),
                actual=str(len(content)),
            )

    async def model(self, name: str) -> ServedModel:
        """The model that a request names.

        Raises:
            InvalidArgument: it names none.
            UnknownModel, ModelNotReady, BackendUnavailable: it cannot answer.
        """
        try:
            return await self._models.get(name)
        except UnknownModel as error:
            if name:
                raise
            raise InvalidArgument(
                "the model is missing", field="model", remedy=error.remedy
            ) from error

    async def run(self, model: ServedModel, content: bytes, deadline: Deadline) -> Classified:
        """Classify a checked file with a model that was found, and keep what it looks like.

        Raises as `classify` does.
        """
        contract = model.card.preprocess.to_message()
        name = model.card.name
        read = await self._read(name, content, contract=contract, deadline=deadline, displayed=True)
        return await self._infer(model, read, deadline)

    async def _infer(
        self, model: ServedModel, read: preprocess_pb2.PreprocessResponse, deadline: Deadline
    ) -> Classified:
        name = model.card.name
        tensors = np.stack([_tensor(window, model) for window in read.windows])
        begin = perf_counter()
        inner = Deadline.after(deadline.timeout(RESERVE_S))
        served, precision = await self._models.infer(model, tensors, inner)
        metrics.STEP_SECONDS.labels(name, "infer").observe(perf_counter() - begin)
        metrics.PREDICTIONS.labels(name).inc()
        metrics.WINDOWS.labels(name).inc(len(tensors))
        if not np.isfinite(served).all():
            message = f"{name} answered with what is no number"
            raise ModelNotReady(message, field="model", remedy="mend the model", model=name)
        return Classified(
            model=model,
            windows=read.windows,
            facts=read.facts,
            logits=label_logits(model.card, served),
            scores=probabilities(model.card, served),
            precision=precision,
        )

    async def _read(
        self,
        name: str,
        content: bytes,
        *,
        contract: contract_pb2.PreprocessContract,
        deadline: Deadline,
        displayed: bool,
    ) -> preprocess_pb2.PreprocessResponse:
        begin = perf_counter()
        try:
            read = await self._preprocess.preprocess(
                content, contract, deadline, displayed=displayed
            )
        except InvalidArgument as error:
            if error.field.startswith("contract"):
                # The card's fault, not the caller's.
                raise ModelNotReady(
                    f"the card of {name} asks for what cannot be made: {error.message}",
                    field="model",
                    remedy="mend its preprocess contract and load it again",
                ) from error
            raise
        metrics.STEP_SECONDS.labels(name, "preprocess").observe(perf_counter() - begin)
        return read


async def _drop(task: asyncio.Task[Any]) -> None:
    """Stop a task that may have ended; what it raised, if anything, is of no interest."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def _tensor(window: media_pb2.Window, model: ServedModel) -> FloatArray:
    """Tensor of one window, of the contract's shape."""
    tensor: FloatArray = decode(window.tensor, "windows.tensor")
    expected = model.card.preprocess.shape
    if tensor.shape != expected or tensor.dtype != np.float32:
        raise RuntimeError(f"a tensor of {tensor.shape} was made where {expected} was asked for")
    return tensor
