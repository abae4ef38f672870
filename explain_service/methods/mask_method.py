"""Perturbation methods: what they share, whatever masks they choose."""

from abc import abstractmethod
from collections.abc import Iterator
from math import ceil, prod
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message

from explain_service.attribution import Attribution, ExplainInput
from explain_service.methods.base import Backends, Method, Workload
from explain_service.perturbation.masks import MaskedModel, MaskRows
from explain_service.perturbation.triton_masks import TritonMasks
from explain_service.run_control import RunControl
from explain_service.segmentation import SegmentMap, segmentation_libraries
from pellucid.api.explain.v1 import explain_pb2
from pellucid.errors import ModelNotReady, PellucidError
from pellucid.parameters import resolve
from pellucid.serving.served_model import ServedModel
from pellucid.tensors import FloatArray

P = TypeVar("P", bound=Message)


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
            control: counts the calls.

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

    def refusal(self, model: ServedModel, why: str, field: str) -> PellucidError:
        """A graph that is loading is worth waiting for: a Triton that starts has it last."""
        if not model.masked_is_coming:
            return super().refusal(model, why, field)
        name = model.card.name
        return ModelNotReady(
            f"the masked graph of {name} is not loaded",
            field=field,
            remedy="load it, or wait",
            retry_after_s=1.0,
            model=name,
            method=self.name,
        )

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


class _Sum:
    """A model whose score is the number of segments that are kept."""

    def __init__(self, segments: SegmentMap) -> None:
        self.segments = int(segments.max()) + 1
        self.full = np.full(1, self.segments, np.float32)
        self.empty = np.zeros(1, np.float32)

    def stream(self, masks: MaskRows) -> Iterator[FloatArray]:
        yield masks[: len(masks)].sum(axis=1, keepdims=True).astype(np.float32)
