import pytest

from explain_service.planner import Cost
from explain_service.scheduling import Schedule
from pellucid.errors import DeadlineTooShort
from pellucid.serving.deadline import Deadline

LONG = 1_000.0
"""Seconds; against them, what a test takes is nothing."""


def measured(seconds: float) -> Cost:
    return Cost(calls=1, sent_bytes=0, seconds=seconds, relative=1.0)


def unmeasured(relative: float) -> Cost:
    return Cost(calls=1, sent_bytes=0, seconds=None, relative=relative)


def share(*costs: Cost, finish_s: float = 0.0, seconds: float = LONG) -> float:
    """Part of the time that the first method has."""
    budget = Schedule(Deadline.after(seconds), finish_s).budget(costs)
    assert budget.share is not None
    return budget.share.left() / seconds


def test_a_method_alone_has_all_the_time() -> None:
    assert share(measured(3)) == pytest.approx(1, abs=0.01)


def test_equal_methods_have_equal_parts() -> None:
    assert share(*[unmeasured(10)] * 4) == pytest.approx(1 / 4, abs=0.01)


def test_a_long_method_has_a_longer_part_where_all_fit() -> None:
    assert share(measured(300), measured(100)) == pytest.approx(3 / 4, abs=0.01)


def test_a_quick_method_may_take_its_even_part() -> None:
    assert share(measured(1), measured(999)) == pytest.approx(1 / 2, abs=0.01)


@pytest.mark.parametrize(
    "costs",
    [(unmeasured(10_000), unmeasured(1)), (measured(10 * LONG), measured(1))],
    ids=["unmeasured", "too long"],
)
def test_where_not_all_may_fit_a_tenth_is_left_to_each_that_follows(
    costs: tuple[Cost, ...],
) -> None:
    assert share(*costs) == pytest.approx(0.9, abs=0.01)


def test_a_single_speed_that_is_not_known_makes_all_count_by_their_calls() -> None:
    assert share(unmeasured(10), measured(900)) == pytest.approx(0.9, abs=0.01)


def test_what_finishing_takes_is_kept_of_the_deadline() -> None:
    assert share(measured(1), finish_s=50) == pytest.approx(0.95, abs=0.01)


def test_finishing_keeps_a_tenth_of_the_time_at_most() -> None:
    assert share(measured(1), finish_s=LONG) == pytest.approx(0.9, abs=0.01)


def test_the_last_moment_is_the_same_for_all_methods() -> None:
    schedule = Schedule(Deadline.after(LONG), 0)
    first, last = schedule.budget([measured(1), measured(1)]), schedule.budget([measured(1)])
    assert first.deadline == last.deadline


def test_a_deadline_that_has_passed_is_said_before_any_work() -> None:
    with pytest.raises(DeadlineTooShort):
        Schedule(Deadline.after(-1), 1.0)
