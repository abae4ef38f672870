import numpy as np
import pytest

from explain_service.methods.base import Workload
from explain_service.methods.kernel_shap import KernelShap
from explain_service.methods.limits import check_samples
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import InvalidArgument
from tests.support.cards import GREY
from tests.support.masked_models import (
    explain,
    grid,
    interval_of,
    linear,
    measure_of,
    random_weights,
    values_of,
    with_interactions,
)
from tests.support.shapley import every_mask, shapley_values


def test_of_a_linear_model_it_is_the_weights() -> None:
    expected = random_weights(16)
    first, second = explain(
        KernelShap(), pb.KernelShap(), linear(expected), grid(4), targets=(1, 0)
    )
    assert values_of(first) == pytest.approx(expected[:, 1], abs=1e-5)
    assert values_of(second) == pytest.approx(expected[:, 0], abs=1e-5)
    assert measure_of(first, "additivity_gap") == pytest.approx(0, abs=1e-6)


def test_all_coalitions_give_the_shapley_values_without_an_error() -> None:
    function = with_interactions(3, 7)
    segments = np.arange(7, dtype=np.uint16)[np.newaxis]
    parameters = pb.KernelShap(samples=128)
    (found,) = explain(KernelShap(), parameters, function, segments, targets=(1,))
    scores = function(every_mask(7).astype(float))[:, 1]
    assert values_of(found) == pytest.approx(shapley_values(scores), abs=1e-5)
    low, high = interval_of(found)
    assert low == pytest.approx(high)


def test_cut_short_it_still_adds_up() -> None:
    parameters, function = pb.KernelShap(samples=300), with_interactions(0, 16)
    (found,) = explain(KernelShap(), parameters, function, grid(4), stop_after=100)
    assert measure_of(found, "additivity_gap") == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("segments", "calls"), [(50, 500), (5, 30), (1, 0)])
def test_no_more_coalitions_are_paid_for_than_there_are(segments: int, calls: int) -> None:
    work = Workload(card=GREY, segments=segments, targets=1, baseline_is_constant=True)
    assert KernelShap().calls(KernelShap().defaults(GREY), work) == calls


def test_a_regression_that_would_fill_the_memory_is_refused() -> None:
    check_samples(20_000, 400, "methods[0].kernel_shap")
    with pytest.raises(InvalidArgument) as caught:
        KernelShap().check_segments(pb.KernelShap(samples=20_000), 4_096, "methods[0].kernel_shap")
    assert caught.value.field == "methods[0].kernel_shap.samples"
    assert "at most 4096 samples" in caught.value.remedy
