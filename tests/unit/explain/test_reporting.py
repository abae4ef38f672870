"""From what a method found to what a client is told of it."""

from typing import Any

import numpy as np
import pytest

from explain_service.attribution import Attribution, SegmentValues
from explain_service.events import MapReady, ResolvedTarget
from explain_service.measures import Grade, Measure, MeasureKind
from explain_service.methods.grad_cam import GradCam
from explain_service.methods.kernel_shap import KernelShap
from explain_service.methods.lime import Lime
from explain_service.reporting import Reporter
from explain_service.request import MethodCall
from explain_service.run_control import Progress
from pellucid.errors import MethodUnavailable
from pellucid.tensors import digest
from tests.support.cards import GREY, LAYERED
from tests.support.explain_inputs import explain_input

ONES = np.ones((32, 32), np.float32)
TARGET = ResolvedTarget("a", 0, score=2.0, baseline_score=-1.0, probability=False)
SEGMENTS = np.arange(4, dtype=np.uint16).reshape(2, 2).repeat(16, 0).repeat(16, 1)
SURE = MeasureKind("sure", "sure", "Good by construction.", by_construction=True)
PLAIN = MeasureKind("plain", "plain", "Good if it is.")


def report(
    *found: Attribution, method: Any = None, target: ResolvedTarget = TARGET, partial: bool = False
) -> list[MapReady]:
    request: Any = None
    method = method or Lime()
    inputs = explain_input(LAYERED)
    call = MethodCall(method, method.defaults(LAYERED), "methods[0].lime")
    reporter = Reporter(request, inputs, [target, target])
    report = reporter.partial if partial else reporter.finished
    return report(call, found, Progress(total=10, done=7))


def good(kind: MeasureKind) -> Measure:
    return Measure(kind, 0.0, Grade.GOOD, "")


def test_a_map_comes_with_how_it_was_made() -> None:
    (one,) = report(Attribution(map=ONES))
    assert one.target is TARGET
    assert one.facts.input_digest == digest(np.zeros(GREY.preprocess.shape, np.float32))
    assert one.facts.model_calls == 7
    assert one.facts.precision == "float32"
    assert {"pellucid", "numpy", "lime", "scikit-learn"} == set(one.facts.library_versions)
    assert all(one.facts.library_versions.values())
    assert not one.warnings
    assert not one.all_zero


def test_there_are_as_many_maps_as_there_was_time_for() -> None:
    assert len(report(Attribution(map=ONES))) == 1
    assert len(report(Attribution(map=ONES), Attribution(map=ONES))) == 2


def test_a_map_of_zeros_is_flagged() -> None:
    (one,) = report(Attribution(map=0 * ONES))
    assert one.all_zero
    assert "zero everywhere" in one.warnings[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(MethodUnavailable) as caught:
        report(Attribution(map=value * ONES))
    assert caught.value.field == "methods[0].lime"


def test_a_map_that_the_deadline_cut_is_no_more_than_fair() -> None:
    (one,) = report(Attribution(map=ONES, measures=(good(PLAIN),), truncated=True))
    assert one.truncated
    assert one.measures[0].grade is Grade.FAIR
    assert "the deadline came first" in one.warnings[0]


def test_a_map_of_a_method_that_still_runs_was_not_cut() -> None:
    (one,) = report(Attribution(map=ONES, measures=(good(PLAIN),), truncated=True), partial=True)
    assert one.partial
    assert not one.truncated
    assert not one.warnings
    assert one.measures[0].grade is Grade.GOOD


def test_what_a_method_makes_good_outweighs_no_warning_but_a_measurement_does() -> None:
    found = Attribution(map=ONES, measures=(good(SURE), good(PLAIN)), warnings=("beware",))
    (one,) = report(found)
    assert [measure.grade for measure in one.measures] == [Grade.FAIR, Grade.GOOD]
    assert one.warnings == ("beware",)


@pytest.mark.parametrize(("inside", "warned"), [(2, False), (3, True)])
def test_intervals_that_mostly_contain_0_are_warned_of(inside: int, warned: bool) -> None:
    values = np.ones(4)
    spread = np.array([2.0] * inside + [0.5] * (4 - inside))
    segments = SegmentValues.of(SEGMENTS, values, spread)
    (one,) = report(Attribution(map=segments.map, segments=segments), method=KernelShap())
    assert any("3 of 4 segments contain 0" in warning for warning in one.warnings) is warned


def test_a_baseline_that_scores_no_less_is_warned_of_where_a_method_uses_it() -> None:
    same = ResolvedTarget("a", 0, score=-1.5, baseline_score=-0.25, probability=False)
    (lime,) = report(Attribution(map=ONES), target=same)
    (grad_cam,) = report(Attribution(map=ONES), target=same, method=GradCam())
    assert "the baseline scores \N{MINUS SIGN}0.25" in lime.warnings[0]
    assert "\N{MINUS SIGN}1.5" in lime.warnings[0]
    assert not grad_cam.warnings
