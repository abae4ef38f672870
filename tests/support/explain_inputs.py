"""What methods share in one request, without the service that makes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from explain_service.attribution import ExplainInput, ReferenceScores
from explain_service.run_control import Cancellation
from explain_service.segmentation import SegmentMap
from explain_service.triton_calls import Caller
from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Card
from pellucid.serving.deadline import Deadline
from pellucid.tensors import FloatArray
from tests.support.cards import served


def caller(cancellation: Cancellation | None = None, *, seconds: float = 60) -> Caller:
    """Somebody who waits so long, unless it is cancelled."""
    return Caller(cancellation or Cancellation(), Deadline.after(seconds))


def explain_input(
    card: Card,
    *,
    tensor: FloatArray | None = None,
    baseline: float | FloatArray = 0.0,
    targets: Sequence[int] = (0,),
    full: Sequence[float] = (),
    empty: Sequence[float] = (),
    precision: str = "float32",
    segments: SegmentMap | None = None,
    **facts: Any,
) -> ExplainInput:
    """An input of zeros, in one segment, whose scores are all 0, unless told otherwise."""
    plane, labels = card.preprocess.plane, len(card.labels)
    constant = isinstance(baseline, float)
    made: dict[str, Any] = {
        "model": served(card),
        "tensor": np.zeros(card.preprocess.shape, np.float32) if tensor is None else tensor,
        "baseline": np.full((1, 1, 1, 1), baseline, np.float32) if constant else baseline,
        "references": ReferenceScores(
            np.array(full or [0] * labels, np.float32),
            np.array(empty or [0] * labels, np.float32),
            precision,
        ),
        "targets": tuple(targets),
        "probability": False,
        "seed": 0,
        "segments": np.zeros(plane, np.uint16) if segments is None else segments,
        "segmentation": methods_pb2.Segmentation(grid=methods_pb2.Grid(rows=8, columns=8)),
        "caller": caller(),
    }
    return ExplainInput(**made | facts)
