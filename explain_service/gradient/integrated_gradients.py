"""Integrated Gradients (arXiv:1703.01365): gradients averaged from a baseline to the input."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explain_service.gradient.model import GradientModel, Score
from pellucid.tensors import FloatArray

Doubles = npt.NDArray[np.float64]

Proceed = Callable[[int], bool]
"""Called with the steps done after each chunk, but not after the last; raises to cancel.

False ends the method early, where there is no more time.
"""


@dataclass(frozen=True)
class Integral:
    """An attribution, and how far it can be trusted."""

    map: FloatArray
    """Signed, `(H, W)`, summed over channels, in units of the score."""
    completeness_gap: float
    """|sum of attributions - (score - baseline score)|."""
    steps_done: int
    """Points of the path that were evaluated."""
    truncated: bool
    """Fewer than were asked for; the map is coarser, and the gap says how much."""


def integrated_gradients(
    model: GradientModel,
    x: FloatArray,
    baseline: FloatArray,
    score: Score,
    *,
    steps: int,
    channel_axis: int,
    rise: float,
    proceed: Proceed,
) -> Integral:
    """Attribute the rise of a score from the baseline to one input.

    The path is straight, the quadrature Gauss-Legendre's, as captum's default.

    Args:
        model: the copy.
        x: of the model's input shape.
        baseline: of the same shape.
        score: what is explained.
        steps: points of the quadrature, at least 1.
        channel_axis: axis of `x` that is summed away.
        rise: score of `x` minus score of the baseline.
        proceed: see `Proceed`; called often enough that no more than `model.chunk` points lie
            between two calls.
    """
    nodes, weights = _quadrature(steps)
    way = x.astype(np.float64) - baseline
    total = np.zeros_like(way)
    weight_done = 0.0
    done = 0
    for start in range(0, steps, model.chunk):
        if start and not proceed(done):
            break
        part = slice(start, start + model.chunk)
        points = baseline + nodes[part].reshape(-1, *[1] * x.ndim) * way
        _, gradients = model.gradients(points.astype(np.float32), score)
        total += np.tensordot(weights[part], gradients.astype(np.float64), axes=1)
        weight_done += float(weights[part].sum())
        done += len(gradients)
    attribution = total / weight_done * way
    return Integral(
        map=attribution.sum(axis=channel_axis).astype(np.float32),
        completeness_gap=abs(float(attribution.sum()) - rise),
        steps_done=done,
        truncated=done < steps,
    )


def _quadrature(steps: int) -> tuple[Doubles, Doubles]:
    """Nodes on 0 .. 1 and their weights, ordered so that any beginning covers the whole path."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    order = sorted(range(steps), key=_reversed_bits)
    return ((nodes + 1) / 2)[order], (weights / 2)[order]


def _reversed_bits(number: int) -> int:
    return int(f"{number:010b}"[::-1], 2)
