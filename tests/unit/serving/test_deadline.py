"""The time budget of a call."""

from time import monotonic
from typing import Any

import pytest

from pellucid.errors import DeadlineTooShort
from pellucid.serving.deadline import Deadline, Shutdown
from pellucid.serving.settings import ServiceSettings

SETTINGS = ServiceSettings(default_deadline_s=5, max_deadline_s=20)


class Context:
    def __init__(self, remaining: float | None) -> None:
        self._remaining = remaining

    def time_remaining(self) -> float | None:
        return self._remaining


@pytest.mark.parametrize(
    ("given", "honoured"),
    [(None, 5), (3.0, 3), (1e6, 20)],
    ids=["none", "a usual one", "a far one"],
)
def test_a_deadline_is_the_callers_within_limits(given: float | None, honoured: float) -> None:
    context: Any = Context(given)
    assert Deadline.of(context, SETTINGS).left() == pytest.approx(honoured, abs=0.1)


def test_a_reserve_is_kept_back_from_the_next_call() -> None:
    deadline = Deadline.after(1)
    assert deadline.timeout(0.25) == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(("seconds", "reserve"), [(0.0, 0.0), (0.01, 0.02)])
def test_no_call_is_made_when_the_time_is_up(seconds: float, reserve: float) -> None:
    with pytest.raises(DeadlineTooShort):
        Deadline.after(seconds).timeout(reserve)


def test_what_is_left_is_never_negative() -> None:
    assert Deadline(monotonic() - 1).left() == 0


def test_the_end_of_the_service_comes_first_once_it_is_known() -> None:
    context: Any = Context(10)
    shutdown = Shutdown()
    deadline = Deadline.of(context, SETTINGS, shutdown)
    kept = deadline.keeping(1)
    assert (deadline.left(), kept.left()) == pytest.approx((10, 9), abs=0.1)
    shutdown.begin(3)
    assert (deadline.left(), kept.left()) == pytest.approx((3, 2), abs=0.1)
    shutdown.begin(100)
    assert deadline.left() == pytest.approx(10, abs=0.1)
    shutdown.begin(0)
    assert deadline.is_over
    with pytest.raises(DeadlineTooShort):
        deadline.timeout()


def test_a_part_of_the_time_is_also_a_part_of_what_a_stopped_service_has() -> None:
    context: Any = Context(12)
    shutdown = Shutdown()
    deadline = Deadline.of(context, SETTINGS, shutdown)
    quarter = deadline.part(0.25)
    assert quarter.left() == pytest.approx(3, abs=0.1)
    shutdown.begin(4)
    assert quarter.left() == pytest.approx(1, abs=0.1)
    # What begins now shares what there is.
    assert deadline.part(0.5).left() == pytest.approx(2, abs=0.1)
