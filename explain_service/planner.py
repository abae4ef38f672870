"""What a method will cost: model calls, bytes to Triton, seconds from the speed measured so far."""

import threading
from dataclasses import dataclass
from math import ceil, prod
from typing import Final

from explain_service.attribution import GradientExplainers, plane_of
from explain_service.baselines import Baseline
from explain_service.methods import GRADIENT_METHODS, KernelShap, Lime, Occlusion, PartitionShap
from explain_service.parameters import Parameters
from explain_service.perturbation.occlusion import Windows
from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Card
from pellucid.errors import InvalidArgument

MOST_CALLS: Final = 20_000
"""Model calls of one method."""
_MOST_ELEMENTS: Final = 1 << 24
"""Samples times segments of one regression, which holds several such matrices of doubles."""
_MOST_CELLS: Final = 65_535
_MEMORY: Final = 0.7
"""Weight of what is known when a new speed is measured."""


@dataclass(frozen=True)
class Cost:
    """Of one method for one input."""

    calls: int
    """Inputs that the model evaluates."""
    sent_bytes: int
    """Sent to Triton."""
    seconds: float | None
    """None before anything was measured."""


class Speeds:
    """Measured seconds for one model call, by model and method; shared by all threads."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self._seconds: dict[tuple[str, str], float] = {}

    def measured(self, model: str, method: str, calls: int, seconds: float) -> None:
        """Learn from a method that has finished."""
        if calls <= 0:
            return
        with self._lock:
            key = (model, _kind(method))
            known = self._seconds.get(key, seconds / calls)
            self._seconds[key] = _MEMORY * known + (1 - _MEMORY) * seconds / calls

    def seconds(self, model: str, method: str, calls: int) -> float | None:
        """Estimate; None where nothing was measured."""
        with self._lock:
            each = self._seconds.get((model, _kind(method)))
        return None if each is None else each * calls


@dataclass(frozen=True)
class Planner:
    """Counts without paying."""

    speeds: Speeds
    gradients: GradientExplainers
    masks_per_call: int

    def cost(
        self,
        card: Card,
        parameters: Parameters,
        *,
        segments: int,
        targets: int,
        baseline: Baseline,
    ) -> Cost:
        """Cost of one method.

        Args:
            card: the model's.
            parameters: the method's.
            segments: about how many there will be.
            targets: about how many there will be.
            baseline: resolved; a blurred one travels with every call.
        """
        calls = self._calls(card, parameters, segments, targets)
        sent = 0
        if parameters.name not in GRADIENT_METHODS:
            if isinstance(parameters, Occlusion):
                segments = _windows(card, parameters).cell_count
            height, width = plane_of(card)
            image = 4 * prod(card.preprocess.shape)
            each = image + 2 * height * width
            each += image if baseline == methods_pb2.BASELINE_BLUR else 4
            sent = ceil(calls / self.masks_per_call) * each + calls * segments
        return Cost(calls, sent, self.speeds.seconds(card.name, parameters.name, calls))

    def _calls(self, card: Card, parameters: Parameters, segments: int, targets: int) -> int:
        match parameters:
            case Lime():
                return parameters.samples
            case KernelShap():
                # shap enumerates all coalitions but the two that are known.
                return min(parameters.samples, 2 ** min(segments, 30) - 2) if segments > 1 else 0
            case PartitionShap():
                return min(parameters.evaluations, segments * segments)
            case Occlusion():
                return len(_windows(card, parameters))
            case _:
                return self.gradients.calls(parameters, targets)


def check_occlusion(card: Card, parameters: Occlusion, field: str) -> None:
    """Refuse windows that are too many, or whose edges cut the input into too many cells.

    Raises:
        InvalidArgument: `field` is the path of the method.
    """
    windows = _windows(card, parameters)
    if len(windows) > MOST_CALLS or windows.cell_count > _MOST_CELLS:
        raise InvalidArgument(
            f"these windows take {len(windows)} model calls",
            field=f"{field}.stride",
            remedy=f"choose a larger stride or window; {MOST_CALLS} calls at most",
            model_calls=str(len(windows)),
        )


def check_samples(parameters: Lime | KernelShap, segments: int, field: str) -> None:
    """Refuse a regression that would take too much memory.

    Raises:
        InvalidArgument: `field` is the path of the method.
    """
    if parameters.samples * segments > _MOST_ELEMENTS:
        raise InvalidArgument(
            f"{parameters.samples} samples of {segments} segments are too many",
            field=f"{field}.samples",
            remedy=f"ask for at most {_MOST_ELEMENTS // segments} samples, or for fewer segments",
            segments=str(segments),
        )


def _windows(card: Card, parameters: Occlusion) -> Windows:
    return Windows.over(plane_of(card), parameters)


def _kind(method: str) -> str:
    """Perturbations cost the same whatever method asks for them."""
    return method if method in GRADIENT_METHODS else "masks"
