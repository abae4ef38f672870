import threading
from concurrent.futures import Future
from time import monotonic

import pytest

from explain_service.attribution import Attribution
from explain_service.run_control import (
    Cancellation,
    Cancelled,
    Progress,
    RunControl,
    TimeBudget,
)
from pellucid.errors import DeadlineTooShort
from pellucid.serving.deadline import Deadline

PAST, FAR = Deadline.after(-1), Deadline.after(3_600)


def ready(value: int) -> "Future[int]":
    work: Future[int] = Future()
    work.set_result(value)
    return work


def test_what_is_left_is_estimated_from_what_is_done() -> None:
    assert RunControl(total=10).progress.remaining is None
    progress = Progress(total=10, done=4, began=monotonic() - 1_000)
    assert progress.remaining == pytest.approx(1_500, rel=0.01)


def test_nothing_is_left_where_more_was_done_than_planned() -> None:
    progress = RunControl(total=10).progress
    progress.done = 12
    assert progress.remaining == 0


def test_it_stops_when_the_request_is_cancelled_or_the_time_is_up() -> None:
    cancellation = Cancellation()
    control = RunControl(total=10, cancellation=cancellation, budget=TimeBudget(deadline=PAST))
    assert control.out_of_time
    assert control.too_late
    cancellation.cancel()
    with pytest.raises(Cancelled):
        control.advance(1)
    assert control.progress.done == 0


def test_a_share_that_is_used_up_ends_a_method_only_once_it_has_begun() -> None:
    control = RunControl(total=10, budget=TimeBudget(share=PAST, deadline=FAR))
    assert not control.out_of_time
    control.advance(1)
    assert control.out_of_time
    assert not control.too_late


def test_what_takes_longer_than_is_left_does_not_fit() -> None:
    control = RunControl(total=10, budget=TimeBudget(deadline=FAR))
    assert control.has_time_for(60)
    assert not control.has_time_for(7_200)


def test_without_a_budget_everything_fits() -> None:
    assert RunControl(total=1).has_time_for(float("1e9"))


def test_usable_maps_are_shown_no_more_often_than_asked_for() -> None:
    for seconds, count in ((0.0, 3), (3_600.0, 0)):
        shown: list[list[Attribution]] = []
        control = RunControl(total=10, on_partial=shown.append, partial_every_s=seconds)
        for _ in range(3):
            control.advance(1)
            control.offer_partial(list)
        assert len(shown) == count


def test_a_map_of_all_calls_is_no_partial_one() -> None:
    shown: list[list[Attribution]] = []
    control = RunControl(total=3, on_partial=shown.append, partial_every_s=0)
    control.advance(3)
    control.offer_partial(list)
    assert not shown


def test_a_map_that_nobody_wants_is_not_made() -> None:
    def make() -> list[Attribution]:
        raise AssertionError("nobody wants it")

    control = RunControl(total=3, partial_every_s=0)
    control.advance(1)
    assert control.offer_partial(make) is None


def test_who_waits_gets_the_result() -> None:
    assert RunControl(total=1).wait(ready(7)) == 7


def test_a_result_that_is_there_is_taken_even_if_the_time_is_up() -> None:
    control = RunControl(total=1, budget=TimeBudget(deadline=PAST))
    assert control.wait(ready(7)) == 7


def test_who_waits_longer_than_there_is_time_is_told_so() -> None:
    control = RunControl(total=1, budget=TimeBudget(deadline=Deadline.after(0.1)))
    with pytest.raises(DeadlineTooShort):
        control.wait(Future())


def test_who_waits_may_be_cancelled() -> None:
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    with pytest.raises(Cancelled):
        RunControl(total=1, cancellation=cancellation).wait(Future())


def test_a_failure_elsewhere_is_raised_to_who_waits() -> None:
    work: Future[int] = Future()
    work.set_exception(TimeoutError("elsewhere"))
    with pytest.raises(TimeoutError, match="elsewhere"):
        RunControl(total=1).wait(work)


def test_a_cancellation_cancels_the_calls_that_are_on_their_way_and_no_others() -> None:
    cancellation, cancelled = Cancellation(), []
    with cancellation.cancelling(lambda: cancelled.append("answered before")):
        pass
    with (
        cancellation.cancelling(lambda: cancelled.append("first")),
        cancellation.cancelling(lambda: cancelled.append("second")),
    ):
        assert not cancelled
        cancellation.cancel()
    assert cancelled == ["first", "second"]


def test_a_call_that_is_sent_after_the_cancellation_is_cancelled_at_once() -> None:
    cancellation, cancelled = Cancellation(), []
    cancellation.cancel()
    with cancellation.cancelling(lambda: cancelled.append("late")):
        assert cancelled == ["late"]
