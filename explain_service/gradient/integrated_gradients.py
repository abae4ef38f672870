"""Integrated Gradients (arXiv:1703.01365): gradients averaged from a baseline to the input."""

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Final

import numpy as np
import numpy.typing as npt

from explain_service.attribution import Attribution, Question
from explain_service.gradient.model import GradientModel, Score
from explain_service.methods import IntegratedGradients
from explain_service.tick import Tick
from pellucid.contracts import Layout
from pellucid.tensors import FloatArray

ENDS: Final = 2
"""Evaluations besides the points of the path: the input's and the baseline's scores."""
WIDE_GAP: Final = 0.05
"""Share of the rise in score from which the gap is warned of."""

Doubles = npt.NDArray[np.float64]


def explain(
    parameters: IntegratedGradients, question: Question, model: GradientModel, tick: Tick
) -> list[Attribution]:
    """One map for each target; all targets share the points of the path."""
    card = question.model.card
    x = question.input
    baseline = np.broadcast_to(question.baseline, (1, *x.shape))[0]
    ends = question.scores(model.logits(np.stack([x, baseline]))).astype(np.float64)
    tick.step(ENDS)
    return integrated_gradients(
        model,
        x,
        baseline,
        [Score(label, question.probability) for label in question.targets],
        (ends[0] - ends[1])[list(question.targets)],
        steps=parameters.steps,
        channel_axis=0 if card.preprocess.layout is Layout.CHW else 2,
        tick=tick,
    )


def integrated_gradients(
    model: GradientModel,
    x: FloatArray,
    baseline: FloatArray,
    scores: Sequence[Score],
    rises: Doubles,
    *,
    steps: int,
    channel_axis: int,
    tick: Tick,
) -> list[Attribution]:
    """Attribute the rise of each score from the baseline to one input.

    The path is straight, the quadrature is Gauss-Legendre's. When the time is up, what was
    evaluated by then stands for the whole path; the completeness gap says how well.

    Args:
        model: the copy.
        x: of the model's input shape.
        baseline: of the same shape.
        scores: what is explained; they share the points of the path.
        rises: `(T,)`, score of `x` minus score of the baseline.
        steps: points of the quadrature, at least 1.
        channel_axis: axis of `x` that is summed away.
        tick: stepped after each chunk, and offered what there is by then.

    Returns:
        One map for each score, in units of the score.

    Raises:
        Cancelled: nobody waits any more.
    """
    nodes, weights = _quadrature(steps)
    way = x.astype(np.float64) - baseline
    sums = np.zeros((len(scores), *way.shape))
    for start in range(0, steps, model.chunk):
        begin = monotonic()
        part = slice(start, start + model.chunk)
        points = baseline + nodes[part].reshape(-1, *[1] * way.ndim) * way
        gradients = model.gradients(points.astype(np.float32), scores).astype(np.float64)
        sums += np.einsum("n,tn...->t...", weights[part], gradients)
        tick.step(gradients.shape[1])
        if part.stop >= steps:
            break
        so_far = sums / weights[: part.stop].sum() * way
        if not tick.has_time_for(monotonic() - begin):
            return _attributions(so_far, rises, channel_axis, truncated=True)
        tick.offer(partial(_attributions, so_far, rises, channel_axis, truncated=False))
    return _attributions(sums * way, rises, channel_axis, truncated=False)


def _attributions(
    values: Doubles, rises: Doubles, channel_axis: int, truncated: bool
) -> list[Attribution]:
    return [
        _attribution(one, float(rise), channel_axis, truncated)
        for one, rise in zip(values, rises, strict=True)
    ]


def _attribution(values: Doubles, rise: float, channel_axis: int, truncated: bool) -> Attribution:
    gap = abs(float(values.sum()) - rise)
    wide = gap > WIDE_GAP * abs(rise)
    warning = f"the attributions miss the rise in score, {rise:.3g}, by {gap:.3g}: take more steps"
    return Attribution(
        map=values.sum(axis=channel_axis).astype(np.float32),
        completeness_gap=gap,
        warnings=(warning,) if wide else (),
        truncated=truncated,
    )


def _quadrature(steps: int) -> tuple[Doubles, Doubles]:
    """Nodes on 0 .. 1 and their weights, ordered so that any beginning covers the whole path."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    order = sorted(range(steps), key=_reversed_bits)
    return ((nodes + 1) / 2)[order], (weights / 2)[order]


def _reversed_bits(number: int) -> int:
    return int(f"{number:010b}"[::-1], 2)
