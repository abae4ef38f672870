"""Integrated Gradients (arXiv:1703.01365): gradients averaged from a baseline to the input."""

from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Final

import numpy as np
import numpy.typing as npt

from explain_service.attribution import Attribution, ExplainInput
from explain_service.gradient.model import GradientModel, Head
from explain_service.measures import MeasureKind, gap_measure
from explain_service.methods.base import Workload
from explain_service.methods.gradient_method import GradientMethod
from explain_service.run_control import RunControl
from pellucid.api.explain.v1 import methods_pb2
from pellucid.tensors import FloatArray

REFERENCES: Final = 2
"""Evaluations besides the points of the path: the input's and the baseline's scores."""
WIDE_GAP: Final = 0.05
"""Share of the rise in score from which the gap is warned of."""
COMPLETENESS_GAP: Final = MeasureKind(
    "completeness_gap",
    "completeness gap",
    "|sum of the map - (score - baseline score)|, both of the gradient copy.",
)

Doubles = npt.NDArray[np.float64]


class IntegratedGradients(GradientMethod[methods_pb2.IntegratedGradients]):
    """Gradients averaged on the straight path from the baseline to the input."""

    name = "integrated_gradients"
    title = "Integrated Gradients"
    description = "Each cell's share of the score, along the way from the baseline."
    paper = "arXiv:1703.01365"
    message = methods_pb2.IntegratedGradients
    measures = (COMPLETENESS_GAP,)

    def calls(self, parameters: methods_pb2.IntegratedGradients, workload: Workload) -> int:
        """The points of the path, and its ends; all targets share them."""
        return parameters.steps + REFERENCES

    def attribute(
        self,
        parameters: methods_pb2.IntegratedGradients,
        model: GradientModel,
        inputs: ExplainInput,
        control: RunControl,
    ) -> list[Attribution]:
        """Whatever part of the path there was time for stands for all of it."""
        card, x = inputs.model.card, inputs.tensor
        baseline = np.broadcast_to(inputs.baseline, (1, *x.shape))[0]
        references = inputs.scores(model.logits(np.stack([x, baseline]))).astype(np.float64)
        control.advance(REFERENCES)
        return integrated_gradients(
            model,
            x,
            baseline,
            [Head.of(card, label, probability=inputs.probability) for label in inputs.targets],
            (references[0] - references[1])[list(inputs.targets)],
            steps=parameters.steps,
            channel_axis=card.preprocess.channel_axis,
            control=control,
        )


def integrated_gradients(
    model: GradientModel,
    x: FloatArray,
    baseline: FloatArray,
    heads: Sequence[Head],
    rises: Doubles,
    *,
    steps: int,
    channel_axis: int,
    control: RunControl,
) -> list[Attribution]:
    """Attribute the rise of each score from the baseline to one input.

    The path is straight, the quadrature is Gauss-Legendre's. When the time is up, what was
    evaluated by then stands for the whole path; the completeness gap says how well.

    Args:
        model: the copy.
        x: of the model's input shape.
        baseline: of the same shape.
        heads: of the scores that are explained; they share the points of the path.
        rises: `(T,)`, score of `x` minus score of the baseline.
        steps: points of the quadrature, at least 1.
        channel_axis: axis of `x` that is summed away.
        control: counts each chunk, and is offered what there is by then.

    Returns:
        One map for each score, in units of the score.

    Raises:
        Cancelled: the request was cancelled.
    """
    nodes, weights = _quadrature(steps)
    way = x.astype(np.float64) - baseline
    sums = np.zeros((len(heads), *way.shape))
    for start in range(0, steps, model.chunk):
        begin = monotonic()
        part = slice(start, start + model.chunk)
        points = baseline + nodes[part].reshape(-1, *[1] * way.ndim) * way
        gradients = model.gradients(points.astype(np.float32), heads).astype(np.float64)
        sums += np.einsum("n,tn...->t...", weights[part], gradients)
        control.advance(gradients.shape[1])
        if part.stop >= steps:
            break
        so_far = sums / weights[: part.stop].sum() * way
        if not control.has_time_for(monotonic() - begin):
            return _attributions(so_far, rises, channel_axis, truncated=True)
        control.offer_partial(partial(_attributions, so_far, rises, channel_axis, truncated=False))
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
        measures=(gap_measure(COMPLETENESS_GAP, gap, rise),),
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
