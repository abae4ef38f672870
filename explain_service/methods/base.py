"""What a method is: everything that Pellucid knows of it, in one object.

A method is a class in a module of its own, listed in `explain_service.methods`. Its parameters are
a message whose fields carry description, default, range and unit (`pellucid.parameters`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod
from typing import Any, ClassVar, Final, Generic, TypeVar

import numpy as np
from google.protobuf.message import Message

from explain_service.attribution import Attribution, ExplainInput
from explain_service.gradient.copies import GradientCopies
from explain_service.gradient.loading import NoCopy
from explain_service.gradient.model import GradientModel
from explain_service.measures import MeasureKind
from explain_service.perturbation.masks import MaskedModel, MaskRows
from explain_service.perturbation.triton_masks import TritonMasks
from explain_service.run_control import RunControl, out_of_time
from explain_service.segmentation import SegmentMap, segmentation_libraries
from explain_service.triton_calls import TritonCalls
from pellucid.api.explain.v1 import explain_pb2
from pellucid.cards import Card
from pellucid.errors import MethodUnavailable
from pellucid.parameters import resolve
from pellucid.serving.triton import ServedModel
from pellucid.tensors import FloatArray

P = TypeVar("P", bound=Message)

GRADIENT_COST: Final = 10.0
"""How much longer a gradient takes than a score, as long as neither was measured."""


@dataclass(frozen=True)
class Backends:
    """What answers for the models: Triton, and the gradient copies."""

    calls: TritonCalls
    copies: GradientCopies


@dataclass(frozen=True)
class Workload:
    """What decides the cost of a method, as far as it is known."""

    card: Card
    segments: int
    """About how many there are."""
    targets: int
    """About how many there are."""
    baseline_is_constant: bool
    """A number a channel; else it is as large as the input."""


class Method(ABC, Generic[P]):
    """One explanation method, for all models and requests; it keeps no state."""

    name: ClassVar[str]
    """In the API: the field of `Method`, e.g. `lime`."""
    title: ClassVar[str]
    """For people, e.g. `LIME`."""
    description: ClassVar[str]
    """One line: how it works."""
    paper: ClassVar[str]
    """Where it was published."""
    message: ClassVar[type[Message]]
    """Its parameters."""
    measures: ClassVar[tuple[MeasureKind, ...]] = ()
    """The numbers that come with its maps."""
    on_segments: ClassVar[bool] = False
    """Whether it works on the segments of the request."""
    uses_baseline: ClassVar[bool] = True
    runtime: ClassVar["explain_pb2.Runtime.ValueType"]
    relative_cost: ClassVar[float] = 1.0
    """Of one model call, as long as none was measured; a score from Triton costs 1."""

    @abstractmethod
    def unavailable(self, model: ServedModel, backends: Backends) -> str:
        """Why a model cannot be explained this way; empty where it can. Does not block long."""

    def resolve(self, parameters: P, card: Card, field: str) -> P:
        """Fill in what the card decides, and check what depends on the model.

        Args:
            parameters: in range, with all defaults that do not depend on the model.
            card: the model's.
            field: path of the method's message in the request, for the error.

        Raises:
            InvalidArgument: a value does not fit the model.
            MethodUnavailable: the card lacks what the method needs.
        """
        return parameters

    def choices(self, card: Card) -> dict[str, tuple[str, ...]]:
        """The values to choose from, of parameters that the card decides; the first by default."""
        return {}

    def check_segments(self, parameters: P, segments: int, field: str) -> None:
        """Refuse what only the number of segments shows to be too large.

        Raises:
            InvalidArgument: `field` is the path of the method's message in the request.
        """
        return

    @property
    def speed_key(self) -> str:
        """Methods with the same key take the same time for one model call."""
        return self.name

    @abstractmethod
    def calls(self, parameters: P, workload: Workload) -> int:
        """Inputs that the model evaluates."""

    def sent_bytes(self, parameters: P, workload: Workload, masks_per_call: int) -> int:
        """Sent to Triton."""
        return 0

    @abstractmethod
    def explain(
        self, parameters: P, inputs: ExplainInput, backends: Backends, control: RunControl
    ) -> list[Attribution]:
        """One attribution for each target, in order; blocks, in a worker thread.

        Where the time is up, the last targets may have none.

        Raises:
            Cancelled: the request was.
            DeadlineTooShort: the time was up and there is nothing to show.
            PellucidError: it cannot be answered.
        """

    @abstractmethod
    def precision(self, inputs: ExplainInput) -> str:
        """Arithmetic of the model that it asks."""

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        """Distributions that take part in a map, for the receipts."""
        return ()

    def warm_up(self) -> None:
        """Do what has to happen once before the first explanation, so that none waits for it."""
        return

    def defaults(self, card: Card) -> P:
        """The parameters of a request that sets none; raises as `resolve` does."""
        message: Any = self.message()
        return self.resolve(resolve(message, self.name), card, self.name)


class MaskMethod(Method[P]):
    """A perturbation method: it sees the model as a function on masks, answered by Triton."""

    runtime = explain_pb2.RUNTIME_TRITON
    on_segments = True

    @abstractmethod
    def attribute(
        self,
        parameters: P,
        model: MaskedModel,
        segments: SegmentMap,
        targets: tuple[int, ...],
        seed: int,
        control: RunControl,
    ) -> list[Attribution]:
        """One attribution for each target.

        Args:
            parameters: resolved.
            model: under masks over `segments`.
            segments: `(H, W)`, from `segment_map`.
            targets: labels, by their place in the card.
            seed: start of every random draw.
            control: told of the progress.

        Raises:
            DeadlineTooShort: the time was up before there was anything to show.
            Cancelled: the request was.
        """

    def segment_map(
        self, parameters: P, segments: SegmentMap, plane: tuple[int, int], seed: int
    ) -> SegmentMap:
        """What the masks keep or hide, `(H, W)`: the request's segments, or the method's own."""
        return segments

    def mask_length(self, parameters: P, workload: Workload) -> int:
        """About how many segments a mask has."""
        return workload.segments

    def unavailable(self, model: ServedModel, backends: Backends) -> str:
        """It needs the masked graph."""
        return "" if model.masked else f"{model.card.name} has no masked graph in Triton"

    @property
    def speed_key(self) -> str:
        """Masks cost the same whatever method asks for them."""
        return "masks"

    def sent_bytes(self, parameters: P, workload: Workload, masks_per_call: int) -> int:
        """Image, segments and baseline travel with every call; a constant baseline is a number."""
        spec = workload.card.preprocess
        image = 4 * prod(spec.shape)
        each = image + 2 * prod(spec.plane)
        each += 4 if workload.baseline_is_constant else image
        calls = self.calls(parameters, workload)
        return ceil(calls / masks_per_call) * each + calls * self.mask_length(parameters, workload)

    def explain(
        self, parameters: P, inputs: ExplainInput, backends: Backends, control: RunControl
    ) -> list[Attribution]:
        """Ask Triton for the masks that the method chooses."""
        control.check()
        segments = self.segment_map(parameters, inputs.segments, inputs.plane, inputs.seed)
        model = TritonMasks(backends.calls, inputs, segments, control)
        return self.attribute(parameters, model, segments, inputs.targets, inputs.seed, control)

    def precision(self, inputs: ExplainInput) -> str:
        """Of the masked graph."""
        return inputs.references.precision

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        """Those of the segmentation."""
        return segmentation_libraries(inputs.segmentation) if self.on_segments else ()

    def warm_up(self) -> None:
        """Explain a toy: libraries prepare much when they first run."""
        segments = np.arange(16, dtype=np.uint16).reshape(4, 4)
        parameters: Any = resolve(self.message(), self.name)
        own = self.segment_map(parameters, segments, (4, 4), 0)
        self.attribute(parameters, _Sum(own), own, (0,), 0, RunControl(total=1))


class GradientMethod(Method[P]):
    """A method that differentiates the gradient copy of a model."""

    runtime = explain_pb2.RUNTIME_LOCAL_COPY
    relative_cost = GRADIENT_COST

    @abstractmethod
    def attribute(
        self, parameters: P, model: GradientModel, inputs: ExplainInput, control: RunControl
    ) -> list[Attribution]:
        """One attribution for each target; raises as `explain` does."""

    def missing(self, card: Card) -> str:
        """What the method needs of a card and this one lacks, in words; empty where it fits."""
        return ""

    def unavailable(self, model: ServedModel, backends: Backends) -> str:
        """It needs a copy that answers as the served model does."""
        return backends.copies.unavailable(model) or self.missing(model.card)

    def explain(
        self, parameters: P, inputs: ExplainInput, backends: Backends, control: RunControl
    ) -> list[Attribution]:
        """Wait for the checked copy, then differentiate it."""
        control.check()
        if control.too_late:
            raise out_of_time()
        try:
            model = backends.copies.checked(inputs.model, control)
        except NoCopy as error:
            raise refused(inputs.model, self.name, str(error)) from error
        control.check()
        return self.attribute(parameters, model, inputs, control)

    def precision(self, inputs: ExplainInput) -> str:
        """Of the copies."""
        return "float32"

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        """The framework of the copy."""
        architecture = inputs.model.card.architecture
        assert architecture is not None
        return ("torch",) if architecture.framework == "torch" else ("tensorflow", "keras")


def refused(model: ServedModel, method: str, why: str, field: str = "") -> MethodUnavailable:
    """What to raise where a model cannot be explained by a method."""
    return MethodUnavailable(
        f"{model.card.name} cannot be explained by {method}: {why}",
        field=field,
        remedy="choose a method that the capabilities say is available",
        model=model.card.name,
        method=method,
    )


class _Sum:
    """A model whose score is the number of segments that are kept."""

    def __init__(self, segments: SegmentMap) -> None:
        self.segments = int(segments.max()) + 1
        self.full = np.full(1, self.segments, np.float32)
        self.empty = np.zeros(1, np.float32)

    def stream(self, masks: MaskRows) -> Iterator[FloatArray]:
        yield masks[: len(masks)].sum(axis=1, keepdims=True).astype(np.float32)
