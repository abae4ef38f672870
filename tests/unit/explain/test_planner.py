"""What a method is said to cost before it is paid for."""

from pathlib import Path

import numpy as np
import pytest

from explain_service.gradient import GradientCopies
from explain_service.methods import GradCam, IntegratedGradients
from explain_service.planner import Planner, Speeds
from pellucid.api.explain.v1.methods_pb2 import BASELINE_BLACK, Target
from pellucid.scores import expected_targets
from tests.unit.explain.test_parts import GREY


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ([], 1),
        ([Target(top_k=2)], 2),
        ([Target(label="b"), Target(index=1)], 1),
        ([Target(above_threshold=True)], 1),
    ],
)
def test_targets_are_counted_before_there_are_scores(wanted: list[Target], count: int) -> None:
    assert expected_targets(GREY, wanted) == count


def test_grad_cam_is_paid_for_each_target_and_a_path_once() -> None:
    gradients = GradientCopies(Path(), lambda model, inputs: np.zeros((0, 0), np.float32))
    planner = Planner(Speeds(), gradients, 24)

    def calls(method: GradCam | IntegratedGradients) -> int:
        cost = planner.cost(GREY, method, segments=50, targets=3, baseline=BASELINE_BLACK)
        return cost.calls

    assert calls(GradCam()) == 3
    assert calls(IntegratedGradients(steps=10)) == 12
