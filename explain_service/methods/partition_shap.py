"""Partition SHAP on masks: shap's own explainer over a tree of segments.

It gives Owen values: Shapley values where the segments of a half, a quarter, and so on, act as one.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from explain_service.attribution import Attribution, ExplainInput, SegmentValues
from explain_service.measures import gap_measure
from explain_service.methods.base import Workload
from explain_service.methods.mask_method import MaskMethod
from explain_service.perturbation.intervals import Floats
from explain_service.perturbation.masks import MaskedModel
from explain_service.perturbation.shap_library import ADDITIVITY_GAP, PartitionExplainer
from explain_service.randomness import random_state, with_own_randomness
from explain_service.run_control import RunControl, out_of_time
from explain_service.segmentation import SegmentMap
from pellucid.api.explain.v1 import methods_pb2
from pellucid.tensors import FloatArray

BATCH: Final = 48
"""Masks after which it is chosen anew which halves to divide; it decides the values, too."""
UNDIVIDED: Final = 0.01
"""Share of the credit from which it is warned of what lies on groups that were not divided."""


class PartitionShap(MaskMethod[methods_pb2.PartitionShap]):
    """Owen values over a hierarchy of segments.

    Which parts are divided further depends on all labels of the model, so that a map is the same
    whatever else is asked for.
    """

    name = "partition_shap"
    title = "Partition SHAP"
    description = "Each segment's fair share of the score, over halves, quarters, and so on."
    paper = "arXiv:1705.07874"
    message = methods_pb2.PartitionShap
    measures = (ADDITIVITY_GAP,)

    def calls(self, parameters: methods_pb2.PartitionShap, workload: Workload) -> int:
        """At most; a tree of few segments needs fewer."""
        return min(parameters.evaluations, workload.segments * workload.segments)

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        """It is shap's own explainer."""
        return ("shap", *super().libraries(inputs))

    def attribute(
        self,
        parameters: methods_pb2.PartitionShap,
        model: MaskedModel,
        segments: SegmentMap,
        targets: tuple[int, ...],
        seed: int,
        control: RunControl,
    ) -> list[Attribution]:
        """Needs the first division at least."""
        if model.segments == 1:
            whole = (model.full.astype(np.float64) - model.empty)[np.newaxis]
            return [_attribution(whole, whole, model, segments, one, False) for one in targets]
        answers = _Answers(model)
        tree = balanced_tree(segments)
        try:
            values, credit = _owen_values(answers, tree, parameters.evaluations, seed)
            truncated = False
        except _OutOfTime:
            if not answers.known:
                raise out_of_time() from None
            # The same way again, as far as the answers are known.
            values, credit = _owen_values(answers, tree, answers.known + 2, seed)
            truncated = True
        control.progress.total = max(control.progress.done, 1)
        return [_attribution(values, credit, model, segments, one, truncated) for one in targets]


def balanced_tree(segments: SegmentMap) -> Floats:
    """Halve the segments by the place of their centres, along the longer extent, to the last one.

    Returns:
        `(S - 1, 4)` in the form of scipy's linkages: two children, height, number of segments. Rows
        are ordered so that children come before their parents.
    """
    count = int(segments.max()) + 1
    size = np.bincount(segments.ravel(), minlength=count)
    places = [
        np.bincount(segments.ravel(), axis.ravel(), count) / size
        for axis in np.indices(segments.shape)
    ]
    rows: list[tuple[int, int, int, int]] = []

    def join(members: npt.NDArray[np.intp]) -> tuple[int, int]:
        """Node of some segments, and its height."""
        if len(members) == 1:
            return int(members[0]), 0
        extents = [float(np.ptp(place[members])) for place in places]
        along = places[int(extents[1] > extents[0])]
        ordered = members[np.argsort(along[members], kind="stable")]
        half = len(ordered) // 2
        (left, left_height), (right, right_height) = join(ordered[:half]), join(ordered[half:])
        height = max(left_height, right_height) + 1
        rows.append((left, right, height, len(members)))
        return count + len(rows) - 1, height

    join(np.arange(count))
    return np.array(rows, dtype=np.float64)


class _OutOfTime(Exception):
    """The time was up in the middle of shap's search."""


class _Answers:
    """The model under shap's masks; remembers every answer."""

    def __init__(self, model: MaskedModel) -> None:
        self._model = model
        self._scores = {
            bytes(np.ones(model.segments, np.uint8)): model.full,
            bytes(np.zeros(model.segments, np.uint8)): model.empty,
        }
        self.known = 0
        """Masks, as shap counts them in its search, that were answered before the time was up."""

    def __call__(self, masks: npt.NDArray[np.bool_]) -> FloatArray:
        rows = masks.astype(np.uint8)
        keys = [row.tobytes() for row in rows]
        new = [place for place, key in enumerate(keys) if key not in self._scores]
        if new:
            blocks = list(self._model.stream(rows[new]))
            if sum(map(len, blocks)) < len(new):
                raise _OutOfTime
            self._scores |= zip((keys[place] for place in new), np.concatenate(blocks), strict=True)
        if len(rows) > 1:
            self.known += len(rows)
        return np.stack([self._scores[key] for key in keys])


class _Masker:
    """What shap asks of a masker: the mask itself is the model's input."""

    immutable_outputs = True
    fixed_background = False

    def __init__(self, tree: Floats) -> None:
        self.clustering = tree
        self.shape = (1, len(tree) + 1)

    def __call__(self, mask: npt.NDArray[np.bool_], *_: Any) -> tuple[npt.NDArray[np.bool_]]:
        return (mask[np.newaxis].copy(),)


def _owen_values(
    answers: _Answers, tree: Floats, evaluations: int, seed: int
) -> tuple[Floats, Floats]:
    """Values of the segments `(S, K)`, and the credit of each node of the tree `(2 S - 1, K)`.

    The segments are the first nodes. What is left on another one was not divided any further:
    shap shares it evenly among the node's segments.
    """
    explainer = PartitionExplainer(answers, _Masker(tree))
    explainer.owen = with_own_randomness(explainer, "owen", random_state(seed))
    found = explainer.explain_row(
        np.ones((1, len(tree) + 1)),
        max_evals=evaluations,
        main_effects=False,
        error_bounds=False,
        outputs=None,
        silent=True,
        batch_size=BATCH,
    )
    return np.asarray(found["values"]), np.asarray(found["hierarchical_values"])


def _attribution(
    values: Floats,
    credit: Floats,
    model: MaskedModel,
    segments: SegmentMap,
    target: int,
    truncated: bool,
) -> Attribution:
    own = values[:, target]
    gain = float(model.full[target]) - float(model.empty[target])
    found = SegmentValues.of(segments, own)
    gap = abs(float(own.sum()) - gain)
    return Attribution(
        map=found.map,
        segments=found,
        measures=(gap_measure(ADDITIVITY_GAP, gap, gain),),
        warnings=_undivided(np.abs(credit[:, target]), len(values)),
        truncated=truncated,
    )


def _undivided(credit: Floats, segments: int) -> tuple[str, ...]:
    share = float(credit[segments:].sum() / max(credit.sum(), np.finfo(float).tiny))
    if share < UNDIVIDED:
        return ()
    return (
        f"{share:.0%} of the credit is shared evenly within groups of segments: "
        "take more evaluations to divide them",
    )
