"""What a method is said to cost before it is paid for."""

from pathlib import Path

import numpy as np
import pytest

from explain_service.gradient import GradientCopies
from explain_service.methods import GradCam, IntegratedGradients, KernelShap, Lime
from explain_service.planner import Planner, Speeds, check_samples
from pellucid.api.explain.v1.methods_pb2 import BASELINE_BLACK, Target
from pellucid.errors import InvalidArgument
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


def test_a_regression_that_would_fill_the_memory_is_refused() -> None:
    check_samples(KernelShap(samples=20_000), 400, "methods[0].kernel_shap")
    with pytest.raises(InvalidArgument) as caught:
        check_samples(Lime(samples=10_000), 4_096, "methods[1].lime")
    assert caught.value.field == "methods[1].lime.samples"
