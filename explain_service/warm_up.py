"""What has to happen once before the first explanation, so that none of them waits."""

from collections.abc import Iterator

import numpy as np

from explain_service.methods import KernelShap, Lime, Occlusion, PartitionShap
from explain_service.perturbation.family import explain_by_masks
from explain_service.perturbation.masks import MaskRows
from explain_service.segmentation import SegmentMap
from explain_service.tick import Tick
from pellucid.tensors import FloatArray


class _Sum:
    """A model whose score is the number of segments that are kept."""

    def __init__(self, segments: SegmentMap) -> None:
        self.segments = int(segments.max()) + 1
        self.full = np.full(1, self.segments, np.float32)
        self.empty = np.zeros(1, np.float32)

    def stream(self, masks: MaskRows) -> Iterator[FloatArray]:
        yield masks[: len(masks)].sum(axis=1, keepdims=True).astype(np.float32)


def warm_up() -> None:
    """Run every perturbation method on a toy: libraries prepare much when they first run."""
    segments = np.arange(16, dtype=np.uint16).reshape(4, 4)
    for parameters in (Lime(), KernelShap(), PartitionShap(), Occlusion()):
        explain_by_masks(parameters, _Sum, segments, [0], 0, Tick(total=1))
