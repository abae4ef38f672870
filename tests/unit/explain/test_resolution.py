"""From a checked request to what its methods share."""

import threading
from typing import Any

import numpy as np
import pytest

from explain_service.attribution import ExplainInput
from explain_service.methods import METHODS
from explain_service.methods.base import Backends
from explain_service.planner import Planner
from explain_service.request import check_request
from explain_service.resolution import Dependencies, resolve_inputs, resolved_targets
from explain_service.run_control import Cancellation, Cancelled
from explain_service.triton_calls import Caller
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import InvalidArgument, MethodUnavailable
from tests.support.cards import GREY, served
from tests.support.explain_inputs import caller
from tests.support.fake_triton import FakeTriton
from tests.support.gradient_models import OneCopy
from tests.unit.explain.conftest import Calls

LIME = pb.Method(lime=pb.Lime(samples=10))


@pytest.fixture
def resolve(make_calls: Calls) -> Any:
    copies: Any = OneCopy()
    backends = Backends(make_calls(), copies)
    dependencies = Dependencies(backends, Planner(24), finish_s=1.0, partial_every_s=2.0)

    def resolved(
        method: pb.Method = LIME,
        who: Caller | None = None,
        masked: bool = True,
        **options: Any,
    ) -> ExplainInput:
        model = served(GREY, masked=masked)
        asked = pb.ExplainOptions(**options)
        request = check_request(model, [method], asked, METHODS, backends)
        tensor = np.zeros(GREY.preprocess.shape, np.float32)
        return resolve_inputs(request, tensor, who or caller(), dependencies)

    return resolved


def test_the_scores_of_input_and_baseline_come_from_one_call_with_masks(
    triton: FakeTriton, resolve: Any
) -> None:
    inputs = resolve(targets=[pb.Target(label="b"), pb.Target(label="a")])
    assert [masks.tolist() for masks in triton.masks] == [[[1], [0]]]
    b, a = resolved_targets(inputs)
    assert (b.label, b.index, b.score, b.baseline_score) == ("b", 1, -1, 0)
    assert (a.label, a.index, a.score, a.baseline_score) == ("a", 0, 1, 0)
    assert inputs.references.gain(0) == 1


def test_without_a_masked_graph_they_come_from_the_classifier(
    triton: FakeTriton, resolve: Any
) -> None:
    gradients = pb.Method(integrated_gradients=pb.IntegratedGradients())
    inputs = resolve(gradients, masked=False)
    assert triton.rows == [1, 1]
    assert not triton.masks
    assert inputs.references.full.tolist() == [0, 0]


def test_scores_are_on_the_scale_that_was_asked_for(triton: FakeTriton, resolve: Any) -> None:
    (target,) = resolved_targets(resolve(score_space=pb.SCORE_SPACE_PROBABILITY))
    assert target.score == pytest.approx(1 / (1 + np.exp(-2)))
    assert target.baseline_score == pytest.approx(0.5)


def test_the_precision_is_that_of_the_answer(triton: FakeTriton, resolve: Any) -> None:
    triton.precision = "bfloat16"
    assert resolve().references.precision == "bfloat16"


def test_who_waits_for_the_first_scores_may_be_cancelled(triton: FakeTriton, resolve: Any) -> None:
    triton.fall_silent()
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    with pytest.raises(Cancelled):
        resolve(who=caller(cancellation))


@pytest.mark.parametrize(
    ("logits", "field"),
    [
        ([[np.nan, 0], [0, 0]], "input"),
        ([[0, 0], [0, np.inf]], "options.baseline"),
    ],
)
def test_an_input_or_a_baseline_without_a_finite_score_is_refused(
    triton: FakeTriton, resolve: Any, logits: Any, field: str
) -> None:
    triton.formula = lambda masks: np.array(logits, np.float32)
    with pytest.raises(MethodUnavailable) as caught:
        resolve()
    assert caught.value.field == field
    assert caught.value.remedy


def test_what_only_the_number_of_segments_shows_to_be_too_large_is_refused(resolve: Any) -> None:
    vast = pb.Method(kernel_shap=pb.KernelShap(samples=20_000))
    cells = pb.Segmentation(grid=pb.Grid(rows=32, columns=32))
    with pytest.raises(InvalidArgument) as caught:
        resolve(vast, segmentation=cells)
    assert caught.value.field == "methods[0].kernel_shap.samples"


def test_an_input_is_cut_only_where_a_method_works_on_segments(resolve: Any) -> None:
    grid = pb.Segmentation(grid=pb.Grid(rows=4, columns=4))
    occlusion = pb.Method(occlusion=pb.Occlusion())
    assert resolve(LIME, segmentation=grid).segment_count == 16
    assert resolve(occlusion, segmentation=grid).segment_count == 1
