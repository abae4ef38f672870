"""What holds for every perturbation method, whatever it is."""

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message

from explain_service.attribution import Attribution
from explain_service.methods import METHODS
from explain_service.methods.base import Workload
from explain_service.methods.kernel_shap import KernelShap
from explain_service.methods.lime import Lime
from explain_service.methods.mask_method import MaskMethod
from explain_service.methods.occlusion import Occlusion
from explain_service.methods.partition_shap import PartitionShap
from explain_service.run_control import Cancellation, Cancelled, RunControl
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import DeadlineTooShort
from tests.support.cards import COLOUR, GREY
from tests.support.explain_inputs import explain_input
from tests.support.masked_models import (
    Floats,
    explain,
    grid,
    interval_of,
    linear,
    random_weights,
    values_of,
    with_interactions,
)

Case = tuple[MaskMethod[Any], Message]
LIME: Case = (Lime(), pb.Lime(samples=400))
KERNEL_SHAP: Case = (KernelShap(), pb.KernelShap(samples=400))
PARTITION_SHAP: Case = (PartitionShap(), pb.PartitionShap(evaluations=200))
OCCLUSION: Case = (Occlusion(), pb.Occlusion(window_height=0.25, window_width=0.25))
ON_SEGMENTS = (LIME, KERNEL_SHAP, PARTITION_SHAP)
ALL = (*ON_SEGMENTS, OCCLUSION)


def name(case: Case) -> str:
    return case[0].name


every = pytest.mark.parametrize("case", ALL, ids=name)
on_segments = pytest.mark.parametrize("case", ON_SEGMENTS, ids=name)


def test_these_are_all_perturbation_methods() -> None:
    masked = [method.name for method in METHODS if isinstance(method, MaskMethod)]
    assert [name(case) for case in ALL] == masked


@every
def test_the_same_seed_gives_the_same_bytes_and_leaves_numpys_own_state_alone(case: Case) -> None:
    function = linear(random_weights(64)) if case is OCCLUSION else with_interactions(2, 16)
    state = np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr]
    first, again = (explain(*case, function, grid(4), seed=7)[0] for _ in range(2))
    assert first.map.tobytes() == again.map.tobytes()
    assert np.random.get_state()[1].tobytes() == state  # type: ignore[index, union-attr]


@on_segments
def test_a_target_does_not_depend_on_the_others(case: Case) -> None:
    function = with_interactions(2, 16)
    alone = explain(*case, function, grid(4), targets=(1,))[0]
    among = explain(*case, function, grid(4), targets=(0, 1))[1]
    assert alone.map.tobytes() == among.map.tobytes()


@every
def test_a_model_that_sees_nothing_gives_zero_everywhere(case: Case) -> None:
    (found,) = explain(*case, lambda masks: np.full((len(masks), 1), 3.0), grid(4))
    assert not found.map.any()
    assert np.isfinite(found.map).all()


@every
def test_one_segment_has_it_all(case: Case) -> None:
    def twice_the_share_that_is_kept(masks: Floats) -> Floats:
        return 2 * masks.mean(axis=1, keepdims=True)

    (found,) = explain(*case, twice_the_share_that_is_kept, np.zeros((8, 8), np.uint16))
    assert np.isfinite(found.map).all()
    if case in (KERNEL_SHAP, PARTITION_SHAP):
        assert found.map == pytest.approx(np.full((8, 8), 2.0))


@every
def test_what_is_there_when_the_time_is_up_is_a_truncated_map(case: Case) -> None:
    (found,) = explain(*case, linear(random_weights(64)), grid(8), stop_after=30)
    assert found.truncated
    assert np.isfinite(found.map).all()
    assert found.map.any()


@every
def test_no_time_at_all_is_an_error(case: Case) -> None:
    with pytest.raises(DeadlineTooShort):
        explain(*case, linear(random_weights(64)), grid(8), stop_after=0)


@every
def test_a_cancelled_request_stops_the_method(case: Case) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    control = RunControl(total=100, cancellation=cancellation)
    count = 64 if case is OCCLUSION else 16
    with pytest.raises(Cancelled):
        explain(*case, linear(random_weights(count)), grid(4), control=control)


@pytest.mark.parametrize("case", [LIME, KERNEL_SHAP], ids=name)
def test_a_method_that_samples_shows_usable_maps_before_its_end(case: Case) -> None:
    seen: list[Attribution] = []
    control = RunControl(
        total=400, on_partial=lambda found: seen.append(found[0]), partial_every_s=0
    )
    expected = random_weights(16)
    explain(*case, linear(expected), grid(4), control=control)
    assert len(seen) > 10
    assert all(np.isfinite(found.map).all() for found in seen)
    assert np.corrcoef(seen[-1].map.ravel(), expected[:, 0][grid(4)].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("method", [Lime(), KernelShap()], ids=lambda method: method.name)
def test_intervals_hold_what_they_promise(method: MaskMethod[Any]) -> None:
    """95 % of the intervals hold the value that many more samples give."""
    function, segments = with_interactions(8, 16), grid(4)
    extra = {"ridge": 0.0} if isinstance(method, Lime) else {}
    many, few = (method.message(samples=samples, **extra) for samples in (10_000, 300))
    truth = values_of(explain(method, many, function, segments, seed=1_000)[0])
    inside = []
    for seed in range(30):
        low, high = interval_of(explain(method, few, function, segments, seed=seed)[0])
        inside.append((low <= truth) & (truth <= high))
    assert 0.88 <= np.mean(inside) <= 1.0


@every
def test_image_segments_and_baseline_travel_with_every_call_and_masks_once(case: Case) -> None:
    method, _ = case
    parameters = method.defaults(COLOUR)
    constant, as_large = (
        Workload(card=COLOUR, segments=50, targets=1, baseline_is_constant=is_constant)
        for is_constant in (True, False)
    )
    image, plane = 4 * 3 * 32 * 32, 2 * 32 * 32
    one_call = method.sent_bytes(parameters, constant, masks_per_call=1_000_000)
    masks = method.calls(parameters, constant) * method.mask_length(parameters, constant)
    assert one_call == image + plane + 4 + masks
    assert method.sent_bytes(parameters, as_large, 1_000_000) == one_call - 4 + image


@every
def test_no_perturbation_method_works_without_the_masked_graph(case: Case) -> None:
    method, _ = case
    backends: Any = None
    masked = explain_input(GREY).model
    plain = explain_input(GREY, model=type(masked)(GREY, "1", "", masked=False)).model
    assert method.unavailable(masked, backends) == ""
    assert "no masked graph" in method.unavailable(plain, backends)


@pytest.mark.parametrize("method", list(METHODS), ids=lambda method: method.name)
def test_warming_up_needs_no_model(method: Any) -> None:
    assert method.warm_up() is None
