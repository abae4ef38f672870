"""LIME on masks: the lime library's weighted regression (Ribeiro et al., arXiv:1602.04938)."""

from functools import partial
from typing import Any, Final

import numpy as np
from lime.lime_base import LimeBase
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances

from explain_service.attribution import Attribution, ExplainInput, SegmentValues
from explain_service.measures import Grade, Measure, MeasureKind
from explain_service.methods.base import Workload
from explain_service.methods.limits import check_samples
from explain_service.methods.mask_method import MaskMethod
from explain_service.perturbation.intervals import Floats, half_width, influences
from explain_service.perturbation.masks import MaskedModel, Masks
from explain_service.randomness import random_state
from explain_service.run_control import RunControl, out_of_time
from explain_service.segmentation import SegmentMap
from pellucid.api.explain.v1 import methods_pb2
from pellucid.tensors import FloatArray

LEAST_ROWS: Final = 10
"""Fewer samples give no map, not even a truncated one."""
ROUNDING: Final = 1e-10
"""What is closer to 0 is 0, as in shap: a model that sees nothing gives a map of zeros."""
R_SQUARED: Final = MeasureKind(
    "r_squared",
    "R²",
    "Weighted coefficient of determination of the local model, at most 1.",
)


class Lime(MaskMethod[methods_pb2.Lime]):
    """Locally weighted linear regression on segments kept or hidden at random."""

    name = "lime"
    title = "LIME"
    description = "A linear model fitted to the scores while random segments are hidden."
    paper = "arXiv:1602.04938"
    message = methods_pb2.Lime
    measures = (R_SQUARED,)

    def check_segments(self, parameters: methods_pb2.Lime, segments: int, field: str) -> None:
        """Bound the memory of the regression."""
        check_samples(parameters.samples, segments, field)

    def calls(self, parameters: methods_pb2.Lime, workload: Workload) -> int:
        """One for each sample."""
        return parameters.samples

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        """Lime fits by scikit-learn."""
        return ("lime", "scikit-learn", *super().libraries(inputs))

    def attribute(
        self,
        parameters: methods_pb2.Lime,
        model: MaskedModel,
        segments: SegmentMap,
        targets: tuple[int, ...],
        seed: int,
        control: RunControl,
    ) -> list[Attribution]:
        """Needs ten samples at least."""
        masks = draw_masks(parameters.samples, model.segments, seed)
        scores = np.empty((0, len(model.full)), np.float32)
        for block in model.stream(masks):
            scores = np.concatenate([scores, block])
            if len(scores) >= LEAST_ROWS:
                control.offer_partial(partial(_fit, parameters, masks, scores, segments, targets))
        if len(scores) < min(LEAST_ROWS, len(masks)):
            raise out_of_time()
        return _fit(parameters, masks, scores, segments, targets)


def draw_masks(samples: int, segments: int, seed: int) -> Masks:
    """Each segment kept or hidden by a fair coin; the first row keeps all, as in the library."""
    masks = random_state(seed).randint(0, 2, (samples, segments)).astype(np.uint8)
    masks[0] = 1
    return masks


def _fit(
    parameters: methods_pb2.Lime,
    masks: Masks,
    scores: FloatArray,
    segments: SegmentMap,
    targets: tuple[int, ...],
) -> list[Attribution]:
    """Fit the local models on the masks that have scores."""
    data = masks[: len(scores)].astype(np.float64)
    distances = pairwise_distances(data, data[:1], metric="cosine").ravel()
    width = parameters.kernel_width

    def kernel(d: Any) -> Any:
        return np.sqrt(np.exp(-(d**2) / width**2))

    base = LimeBase(kernel, random_state=random_state(0))
    # Cholesky's decomposition, the library's choice, needs a penalty to be sure to exist.
    solver = "cholesky" if parameters.ridge > 0 else "svd"
    found = []
    for target in targets:
        ridge = Ridge(alpha=parameters.ridge, fit_intercept=True, solver=solver)
        intercept, pairs, r_squared, _ = base.explain_instance_with_data(
            data,
            scores.astype(np.float64),
            distances,
            target,
            num_features=data.shape[1],
            feature_selection="none",
            model_regressor=ridge,
        )
        values = np.zeros(data.shape[1])
        for place, value in pairs:
            values[place] = value if abs(value) > ROUNDING else 0
        residuals = scores[:, target] - (intercept + data @ values)
        spread = _spread(data, kernel(distances), residuals, parameters.ridge)
        found.append(
            _attribution(values, spread, float(r_squared), segments, len(scores) < len(masks))
        )
    return found


def _spread(data: Floats, weights: Floats, residuals: Floats, ridge: float) -> Floats | None:
    """Half the width of the interval of each segment; None where it is not defined."""
    design = np.column_stack([np.ones(len(data)), data])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 0  # the intercept
    rows = influences(design, weights, residuals, penalty)
    return None if rows is None else half_width(rows)[1:]


def _attribution(
    values: Floats,
    spread: Floats | None,
    r_squared: float,
    segments: SegmentMap,
    truncated: bool,
) -> Attribution:
    warnings = []
    if r_squared < 0.5:
        warnings.append(f"the local model explains {r_squared:.0%} of the score's variance only")
    if spread is None:
        warnings.append("too few different samples for intervals")
    found = SegmentValues.of(segments, values, spread)
    return Attribution(
        map=found.map,
        segments=found,
        measures=(_judged(r_squared),),
        warnings=tuple(warnings),
        truncated=truncated,
    )


def _judged(r_squared: float) -> Measure:
    if r_squared >= 0.7:
        grade, words = Grade.GOOD, "the linear model follows the network well around this input"
    elif r_squared >= 0.4:
        grade, words = Grade.FAIR, "the linear model follows the network only in part"
    else:
        grade, words = Grade.POOR, "the linear model hardly follows the network: do not rely on it"
    return Measure(R_SQUARED, r_squared, grade, words)
