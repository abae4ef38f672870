"""Kernel SHAP on masks: shap's own explainer (Lundberg and Lee, arXiv:1705.07874)."""

import copy
from functools import partial
from typing import Any

import numpy as np

from explain_service.attribution import Attribution, ExplainInput, SegmentValues
from explain_service.measures import gap_measure
from explain_service.methods.base import Workload
from explain_service.methods.limits import check_samples
from explain_service.methods.mask_method import MaskMethod
from explain_service.perturbation.intervals import Floats, half_width, influences, is_unique
from explain_service.perturbation.masks import MaskedModel
from explain_service.perturbation.shap_library import ADDITIVITY_GAP, KernelExplainer
from explain_service.randomness import random_state, with_own_randomness
from explain_service.run_control import RunControl, out_of_time
from explain_service.segmentation import SegmentMap
from pellucid.api.explain.v1 import methods_pb2
from pellucid.tensors import FloatArray

LEAST_ROWS = 4
"""Fewer coalitions give no map, not even a truncated one."""


class KernelShap(MaskMethod[methods_pb2.KernelShap]):
    """Shapley values by weighted regression over coalitions of segments."""

    name = "kernel_shap"
    title = "Kernel SHAP"
    description = "Each segment's fair share of the score, over random coalitions."
    paper = "arXiv:1705.07874"
    message = methods_pb2.KernelShap
    measures = (ADDITIVITY_GAP,)

    def check_segments(self, parameters: methods_pb2.KernelShap, segments: int, field: str) -> None:
        """Bound the memory of the regression."""
        check_samples(parameters.samples, segments, field)

    def calls(self, parameters: methods_pb2.KernelShap, workload: Workload) -> int:
        """One for each coalition; shap enumerates all but the two that are known, if they fit."""
        segments = workload.segments
        return min(parameters.samples, 2 ** min(segments, 30) - 2) if segments > 1 else 0

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        """It is shap's own explainer."""
        return ("shap", *super().libraries(inputs))

    def attribute(
        self,
        parameters: methods_pb2.KernelShap,
        model: MaskedModel,
        segments: SegmentMap,
        targets: tuple[int, ...],
        seed: int,
        control: RunControl,
    ) -> list[Attribution]:
        """Needs four coalitions at least."""
        explainer = _Explainer(model, segments, targets, control)
        explain = with_own_randomness(explainer, "explain", random_state(seed))
        values = explain(np.ones((1, model.segments)), nsamples=parameters.samples, l1_reg=False)
        return explainer.attributions(np.asarray(values))


class _Explainer(KernelExplainer):  # type: ignore[misc]
    """shap's explainer, with its coalitions evaluated as masks, one block after another.

    It keeps the coalitions (`maskMatrix`), their weights (`kernelWeights`) and scores (`ey`).
    """

    kernelWeights: Floats  # noqa: N815 - the name in shap
    maskMatrix: Floats  # noqa: N815 - the name in shap
    ey: Floats

    def __init__(
        self,
        model: MaskedModel,
        segments: SegmentMap,
        targets: tuple[int, ...],
        control: RunControl,
    ) -> None:
        self._masked = model
        self._segments = segments
        self._targets = targets
        self._control = control
        self._enumerated = 0
        self._planned = 0
        self._rank_of, self._unique = -1, False
        super().__init__(self._known, np.zeros((1, model.segments)))

    def _known(self, rows: Any) -> FloatArray:
        """Scores of the rows that shap asks for by itself: nothing hidden, all hidden."""
        return np.stack([self._masked.full if row.any() else self._masked.empty for row in rows])

    def addsample(self, x: Any, m: Any, w: float) -> None:
        """Note which coalitions are drawn at random: shap gives those the weight 1 at first."""
        self._enumerated += w != 1.0
        super().addsample(x, m, w)

    def run(self) -> None:
        """Evaluate the coalitions; where the time is up, go on with those that were."""
        self._planned = self.nsamplesAdded
        masks = self.maskMatrix[: self._planned].astype(np.uint8)
        self._control.progress.total = self._planned
        done = 0
        for block in self._masked.stream(masks):
            self.ey[done : done + len(block)] = block
            done += len(block)
            if done >= LEAST_ROWS:
                self._control.offer_partial(partial(self._so_far, done))
        if done < min(LEAST_ROWS, self._planned):
            raise out_of_time()
        self._keep(done)

    def solve(self, fraction_evaluated: float, dim: int) -> tuple[Any, Any]:
        """Solve shap's regression; where it has no unique solution, the smallest one."""
        if self._full_rank():
            return super().solve(fraction_evaluated, dim)  # type: ignore[no-any-return]
        design, gain = self._reduced()
        root = np.sqrt(self.kernelWeights)
        answer = self._answers(dim)
        rest = np.linalg.lstsq(root[:, None] * design, root * answer, rcond=None)[0]
        return np.append(rest, gain[dim] - rest.sum()), np.ones(self.M)

    def attributions(self, values: Floats) -> list[Attribution]:
        """Attributions from shap's values `(S, K)`."""
        return [self._attribution(values[:, target], target) for target in self._targets]

    def _so_far(self, rows: int) -> list[Attribution]:
        part = copy.copy(self)
        part._keep(rows)
        columns = [part.solve(1.0, label)[0] for label in range(self.D)]
        return part.attributions(np.stack(columns, axis=1))

    def _keep(self, rows: int) -> None:
        """Forget all but the first coalitions; those drawn at random stand for the lost ones."""
        weights = self.kernelWeights[: self._planned].copy()
        drawn = weights[self._enumerated :].sum()
        weights = weights[:rows]
        if rows > self._enumerated:
            weights[self._enumerated :] *= drawn / weights[self._enumerated :].sum()
        self.kernelWeights = weights
        self.maskMatrix = self.maskMatrix[:rows]
        self.ey = self.ey[:rows]

    def _reduced(self) -> tuple[Floats, Floats]:
        """Masks without the last segment, whose value follows from the sum; and the sums."""
        last = self.maskMatrix[:, -1:]
        return self.maskMatrix[:, :-1] - last, self._masked.full.astype(float) - self._masked.empty

    def _answers(self, label: int) -> Floats:
        gain = float(self._masked.full[label]) - float(self._masked.empty[label])
        answers = self.ey[:, label] - self._masked.empty[label]
        return np.asarray(answers - self.maskMatrix[:, -1] * gain)

    def _full_rank(self) -> bool:
        """Whether the coalitions that are kept determine the values."""
        if self._rank_of != len(self.kernelWeights):
            design, _ = self._reduced()
            self._unique = is_unique(design, self.kernelWeights)
            self._rank_of = len(self.kernelWeights)
        return self._unique

    def _attribution(self, values: Floats, target: int) -> Attribution:
        gain = float(self._masked.full[target]) - float(self._masked.empty[target])
        spread = self._spread(values, target)
        warnings = () if spread is not None else ("too few coalitions for a unique solution",)
        rows = 0 if self.M <= 1 else len(self.kernelWeights)
        found = SegmentValues.of(self._segments, values, spread)
        gap = abs(float(values.sum()) - gain)
        return Attribution(
            map=found.map,
            segments=found,
            measures=(gap_measure(ADDITIVITY_GAP, gap, gain),),
            warnings=warnings,
            truncated=rows < self._planned,
        )

    def _spread(self, values: Floats, target: int) -> Floats | None:
        """Half the width of each interval: the error of the coalitions that were drawn."""
        if self.M <= 1:
            return np.zeros(len(values))
        if not self._full_rank():
            return None
        if self._planned == self._enumerated == len(self.kernelWeights):
            return np.zeros(len(values))
        design, _ = self._reduced()
        residuals = self._answers(target) - design @ values[:-1]
        rows = influences(design, self.kernelWeights, residuals)
        if rows is None:
            return None
        drawn = rows[self._enumerated :]
        rows = _paired(self.maskMatrix[self._enumerated :], drawn) if len(drawn) else rows
        return half_width(np.column_stack([rows, -rows.sum(axis=1)]))


def _paired(masks: Floats, rows: Floats) -> Floats:
    """Add the rows of a coalition and its complement, which are drawn together."""
    pairs = [
        index
        for index in range(len(masks) - 1)
        if np.array_equal(masks[index] + masks[index + 1], np.ones(masks.shape[1]))
    ]
    merged, skip = rows.copy(), np.zeros(len(rows), dtype=bool)
    for index in pairs:
        if not skip[index]:
            merged[index] += merged[index + 1]
            skip[index + 1] = True
    return merged[~skip]
