import numpy as np
import pytest

from explain_service.measures import Grade
from explain_service.methods.base import Workload
from explain_service.methods.occlusion import Occlusion, Windows
from explain_service.run_control import RunControl
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import InvalidArgument
from pellucid.parameters import resolve
from tests.support.cards import GREY, card
from tests.support.masked_models import (
    FormulaModel,
    explain,
    grid,
    linear,
    measure_of,
    random_weights,
)


def test_it_averages_what_each_window_takes_away() -> None:
    parameters = pb.Occlusion(window_height=0.3, window_width=0.3, stride=0.7)
    windows = Windows.over((10, 10), parameters)
    image = np.random.default_rng(0).normal(size=(10, 10))
    sums = np.bincount(windows.cells.ravel(), image.ravel())[:, np.newaxis]
    model = FormulaModel(linear(sums), len(sums), RunControl(total=1))
    (found,) = Occlusion().attribute(parameters, model, windows.cells, (0,), 0, RunControl(total=1))
    total, count = np.zeros((10, 10)), np.zeros((10, 10))
    for top in (0, 2, 4, 6, 7):
        for left in (0, 2, 4, 6, 7):
            area = np.s_[top : top + 3, left : left + 3]
            total[area] += image[area].sum()
            count[area] += 1
    assert measure_of(found, "coverage") == 1
    assert found.measures[0].grade is Grade.GOOD
    assert found.map == pytest.approx(total / count, abs=1e-5)


@pytest.mark.parametrize("shape", [(0.1, 0.1, 0.5), (0.3, 0.07, 1.0), (0.5, 0.5, 0.1)])
def test_every_point_is_covered(shape: tuple[float, float, float]) -> None:
    height, width, stride = shape
    parameters = pb.Occlusion(window_height=height, window_width=width, stride=stride)
    windows = Windows.over((47, 61), parameters)
    covered = np.zeros((47, 61), bool)
    for index in range(len(windows)):
        covered[windows.place(index)] = True
        hidden = windows[index : index + 1][0][windows.cells] == 0
        expected = np.zeros_like(covered)
        expected[windows.place(index)] = True
        assert np.array_equal(hidden, expected)
    assert covered.all()


def test_what_was_never_hidden_is_warned_of() -> None:
    parameters = pb.Occlusion(window_height=0.25, window_width=0.25)
    weights = linear(random_weights(64))
    (found,) = explain(Occlusion(), parameters, weights, grid(8), stop_after=16)
    assert measure_of(found, "coverage") < 1
    assert found.measures[0].grade is Grade.POOR
    assert "was never hidden" in found.warnings[0]


def test_one_call_is_paid_for_each_window() -> None:
    parameters = resolve(pb.Occlusion(), "occlusion")
    work = Workload(card=GREY, segments=1, targets=3, baseline_is_constant=True)
    assert Occlusion().calls(parameters, work) == 15 * 15
    assert Occlusion().mask_length(parameters, work) == 16 * 16


def test_windows_that_take_too_many_calls_are_refused_and_counted() -> None:
    large = card(height=512, width=512)
    parameters = pb.Occlusion(window_height=0.02, window_width=0.02, stride=0.1)
    with pytest.raises(InvalidArgument) as caught:
        Occlusion().resolve(parameters, large, "methods[0].occlusion")
    assert caught.value.field == "methods[0].occlusion.stride"
    assert int(caught.value.metadata["model_calls"]) > 20_000
