"""What a method is said to cost before it is paid for."""

from typing import Any

import pytest

from explain_service.methods.base import Method, Workload
from explain_service.methods.grad_cam import GradCam
from explain_service.methods.gradient_method import GRADIENT_COST
from explain_service.methods.integrated_gradients import IntegratedGradients
from explain_service.methods.kernel_shap import KernelShap
from explain_service.methods.lime import Lime
from explain_service.methods.occlusion import Occlusion
from explain_service.planner import Planner
from tests.support.cards import LAYERED

WORK = Workload(card=LAYERED, segments=50, targets=3, baseline_is_constant=True)


def cost(planner: Planner, method: Method[Any]) -> Any:
    return planner.cost(method, method.defaults(LAYERED), WORK)


def test_seconds_are_not_known_before_anything_was_measured() -> None:
    assert cost(Planner(24), Lime()).seconds is None


def test_seconds_follow_from_the_speed_that_was_measured() -> None:
    planner = Planner(24)
    planner.measured("model", Lime(), calls=100, seconds=2.0)
    assert cost(planner, Lime()).seconds == pytest.approx(500 * 0.02)


def test_masks_are_equally_fast_whatever_asks_for_them_and_gradients_are_not() -> None:
    planner = Planner(24)
    planner.measured("model", Lime(), calls=100, seconds=2.0)
    assert cost(planner, KernelShap()).seconds == pytest.approx(10)
    assert cost(planner, Occlusion()).seconds == pytest.approx(225 * 0.02)
    assert cost(planner, GradCam()).seconds is None


def test_the_speed_of_one_model_says_nothing_of_another() -> None:
    planner = Planner(24)
    planner.measured("another", Lime(), calls=100, seconds=2.0)
    assert cost(planner, Lime()).seconds is None


def test_a_new_speed_moves_what_is_known_by_a_part() -> None:
    planner = Planner(24)
    for seconds in (1.0, 2.0):
        planner.measured("model", GradCam(), calls=1, seconds=seconds)
    assert 1.0 < cost(planner, GradCam()).seconds / 3 < 1.5


def test_a_method_that_made_no_call_teaches_nothing() -> None:
    planner = Planner(24)
    planner.measured("model", Lime(), calls=0, seconds=2.0)
    assert cost(planner, Lime()).seconds is None


def test_a_gradient_counts_as_several_scores_as_long_as_none_was_measured() -> None:
    planner = Planner(24)
    assert cost(planner, Lime()).relative == 500
    assert cost(planner, IntegratedGradients()).relative == 52 * GRADIENT_COST


def test_more_masks_in_a_call_mean_fewer_bytes() -> None:
    few, many = (cost(Planner(masks_per_call), Lime()) for masks_per_call in (1, 500))
    assert few.sent_bytes > 90 * many.sent_bytes
    assert cost(Planner(24), GradCam()).sent_bytes == 0
