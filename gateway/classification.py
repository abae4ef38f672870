"""From a file to scores: the preprocess service makes the tensors, Triton answers them."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import grpc
import numpy as np

from gateway import metrics
from gateway.out_of_distribution import out_of_distribution, refuse_unlike
from gateway.peers import RESERVE_S, PreprocessPeer
from gateway.settings import GatewaySettings
from pellucid.api.common.v1 import media_pb2
from pellucid.api.preprocess.v1 import preprocess_pb2
from pellucid.errors import (
    InvalidArgument,
    MediaLimitExceeded,
    ModelBroken,
    ModelChanged,
    ModelNotReady,
    UnknownModel,
    UnreadableMedia,
)
from pellucid.scores import calibrated, label_logits, probabilities, resolve_operating_point
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import ServedModel
from pellucid.serving.triton import TritonInference
from pellucid.tensors import FloatArray, decode


@dataclass(frozen=True)
class Scores:
    """What a model says of windows, `(N, K)` each, or of one window or file, `(K,)` each."""

    logits: FloatArray
    raw: FloatArray
    """0 to 1."""
    calibrated: FloatArray
    """0 to 1; NaN for a label without calibration."""
    members: FloatArray
    """Calibrated scores of an ensemble's `M` members, `(N, M, K')` or `(M, K')`; else `M` is 0."""

    @property
    def spread(self) -> FloatArray:
        """Standard deviation over an ensemble's members, `K` or `(N, K)`; else NaN."""
        if not self.members.shape[-2]:
            return np.full_like(self.raw, np.nan)
        # Of two labels with one logit, one score is the other's rest.
        return np.broadcast_to(self.members.std(axis=-2), self.raw.shape)

    @property
    def windows(self) -> "list[Scores]":
        """Those of each window."""
        each = zip(self.logits, self.raw, self.calibrated, self.members, strict=True)
        return [Scores(*one) for one in each]

    @property
    def overall(self) -> "Scores":
        """Mean over the windows."""
        every = (self.logits, self.raw, self.calibrated, self.members)
        return Scores(*(each.mean(axis=0) for each in every))


@dataclass(frozen=True)
class Classified:
    """One file as its model sees it: `N` windows, `K` labels in the card's order."""

    model: ServedModel
    windows: Sequence[media_pb2.Window]
    """One for a picture; as the preprocess service made them, with their tensors."""
    facts: media_pb2.MediaFacts
    scores: Scores
    """`(N, K)`."""
    precision: str
    operating_point: str
    """Whose thresholds count; empty where the card has none."""
    distances: FloatArray | None
    """From the model's training data, `(N,)`; None where it has no detector."""
    features: FloatArray | None = None
    """What the model's last layer weighs up, `(N, D)`; None where it was not asked for, or the
    model gives none."""

    def window_of(self, target: int) -> int:
        """The window where a label scores highest."""
        # Scores close to 1 are equal in float32; logits still differ.
        raw, logits = self.scores.raw[:, target], self.scores.logits[:, target]
        return max(range(len(raw)), key=lambda n: (float(raw[n]), float(logits[n])))

    def checked_window(self, window: int) -> int:
        """A window that a request names.

        Raises:
            InvalidArgument: there is no such window.
        """
        count = len(self.windows)
        if window < count:
            return window
        raise InvalidArgument(
            f"there is no window {window}",
            field="window",
            remedy=f"choose 0 to {count - 1}",
            windows=str(count),
        )


@dataclass(frozen=True)
class Wanted:
    """What of a file is asked for besides its scores."""

    operating_point: str = ""
    """By name; empty means the card's first."""
    displayed: bool = False
    """Whether the windows come with pictures of them for people."""
    features: bool = False
    """Whether they come with their features, where the model gives them."""
    refuse: bool = False
    """Whether a file that is unlike the model's training data is refused."""


_SCORES_ALONE: Final = Wanted()


class Classifier:
    """Classifies files with whatever Triton serves."""

    def __init__(
        self,
        catalogue: ModelCatalogue,
        inference: TritonInference,
        preprocess: PreprocessPeer,
        settings: GatewaySettings,
    ) -> None:
        """Classify files of at most `max_content_bytes`, and refuse those that settings say."""
        self._catalogue = catalogue
        self._inference = inference
        self._preprocess = preprocess
        self._max_content_bytes = settings.max_content_bytes
        self._refuses = settings.refuse_out_of_distribution

    async def classify(
        self,
        name: str,
        content: bytes,
        deadline: Deadline,
        wanted: Wanted = _SCORES_ALONE,
    ) -> Classified:
        """Classify one file.

        Args:
            name: of the model.
            content: the file's bytes.
            deadline: the caller's.
            wanted: besides the scores.

        Raises:
            OutOfDistribution: it is, and this request or the settings refuse it.
            UnreadableMedia, UnsupportedMedia, MediaLimitExceeded: the file is at fault.
            InvalidArgument, UnknownModel, ModelNotReady, ModelBroken, ModelChanged: the model is.
            BackendUnavailable: a service behind this one is.
            DeadlineTooShort: the time is up.
        """
        self.check_content(content)
        classified = await self._classify_anew(name, content, deadline, wanted)
        _count(classified)
        if wanted.refuse or self._refuses:
            refuse_unlike(classified.model.card, classified.distances)
        return classified

    async def _classify_anew(
        self, name: str, content: bytes, deadline: Deadline, wanted: Wanted
    ) -> Classified:
        """Classify; where the model changes meanwhile, once more."""
        model = await self.model(name)
        try:
            return await self._classify(model, content, deadline, wanted)
        except (ModelChanged, ModelNotReady, grpc.aio.AioRpcError) as error:
            # It was loaded again, or unloaded, since the catalogue's last reading; one with another
            # input refuses what the old one took. Nothing was said of it yet, so it begins anew,
            # once: with what is served now.
            now = await self.model(name)
            if now == model and not isinstance(error, ModelChanged):
                raise
            return await self._classify(now, content, deadline, wanted)

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
            UnknownModel, ModelNotReady, ModelBroken, BackendUnavailable: it cannot answer.
        """
        try:
            return await self._catalogue.get(name)
        except UnknownModel as error:
            if name:
                raise
            raise InvalidArgument(
                "the model is missing", field="model", remedy=error.remedy
            ) from error

    async def _classify(
        self,
        model: ServedModel,
        content: bytes,
        deadline: Deadline,
        wanted: Wanted,
    ) -> Classified:
        name = model.card.name
        operating_point = resolve_operating_point(model.card, wanted.operating_point)
        read = await self._read(model, content, deadline, wanted.displayed)
        tensors = np.stack([_tensor(window, model) for window in read.windows])
        begin = perf_counter()
        inner = Deadline.after(deadline.timeout(RESERVE_S))
        features = wanted.features and model.card.gives_features
        answer = await self._inference.infer(model, tensors, inner, features=features)
        metrics.STEP_SECONDS.labels(name, "infer").observe(perf_counter() - begin)
        metrics.PREDICTIONS.labels(name).inc()
        metrics.WINDOWS.labels(name).inc(len(tensors))
        return Classified(
            model=model,
            windows=read.windows,
            facts=read.facts,
            scores=Scores(
                label_logits(model.card, answer.logits),
                probabilities(model.card, answer.logits),
                calibrated(model.card, answer.logits),
                np.zeros((len(tensors), 0, model.card.logits), np.float32)
                if answer.members is None
                else answer.members,
            ),
            precision=answer.precision,
            operating_point=operating_point,
            distances=answer.distances,
            features=answer.features,
        )

    async def _read(
        self, model: ServedModel, content: bytes, deadline: Deadline, displayed: bool
    ) -> preprocess_pb2.PreprocessResponse:
        name, contract = model.card.name, model.card.preprocess.to_message()
        begin = perf_counter()
        try:
            read = await self._preprocess.preprocess(
                content, contract, deadline, displayed=displayed
            )
        except InvalidArgument as error:
            if error.field.startswith("contract"):
                # The card's fault, not the caller's.
                raise ModelBroken(
                    f"the card of {name} asks for what cannot be made: {error.message}",
                    field="model",
                    remedy="fix its preprocess contract and load it again",
                    model=name,
                ) from error
            raise
        metrics.STEP_SECONDS.labels(name, "preprocess").observe(perf_counter() - begin)
        return read


def _count(classified: Classified) -> None:
    """Count what a file is answered with, by which a drift of the inputs is seen."""
    card, scores = classified.model.card, classified.scores.overall.raw
    for label, score in zip(card.labels, scores, strict=True):
        metrics.SCORES.labels(card.name, label).observe(float(score))
    metrics.LABELS.labels(card.name, card.labels[int(scores.argmax())]).inc()
    unlike = out_of_distribution(card, classified.distances)
    if unlike is not None and unlike.warning:
        metrics.UNLIKE.labels(card.name).inc()


def _tensor(window: media_pb2.Window, model: ServedModel) -> FloatArray:
    """Tensor of one window, of the contract's shape."""
    tensor: FloatArray = decode(window.tensor, "windows.tensor")
    expected = model.card.preprocess.shape
    if tensor.shape != expected or tensor.dtype != np.float32:
        raise RuntimeError(f"a tensor of {tensor.shape} was made where {expected} was asked for")
    return tensor
