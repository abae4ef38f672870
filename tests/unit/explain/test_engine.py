"""Explanations at once: who waits, who is told to come back, and who went away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from explain_service.engine import ExplainEngine
from explain_service.events import (
    Event,
    MapsCompared,
    MethodProgress,
    RequestAccepted,
    TargetsResolved,
)
from explain_service.request import CheckedRequest
from explain_service.settings import ExplainSettings
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import MethodUnavailable, QueueFull
from pellucid.serving.deadline import Deadline
from pellucid.tensors import digest
from tests.support.explain_runs import Runs, maps
from tests.support.fake_triton import FakeTriton
from tests.unit.explain.conftest import Calls

LIME = pb.Method(lime=pb.Lime(samples=50))
OCCLUSION = pb.Method(occlusion=pb.Occlusion())


@pytest.fixture
def runs(make_calls: Calls) -> Runs:
    return Runs(make_calls())


@pytest.fixture
async def engine(runs: Runs, triton: FakeTriton) -> AsyncIterator[ExplainEngine]:
    """One explanation runs, one may wait."""
    found = ExplainEngine(runs.dependencies, ExplainSettings(workers=1, queue_length=1))
    yield found
    triton.speak()
    await found.close()


def picture(request: CheckedRequest) -> Any:
    return np.zeros(request.model.card.preprocess.shape, np.float32)


def ask(engine: ExplainEngine, request: CheckedRequest) -> Any:
    return aclosing(engine.explain(request, picture(request), Deadline.after(60)))


async def explain(engine: ExplainEngine, request: CheckedRequest) -> list[Event]:
    async with ask(engine, request) as events:
        return [event async for event in events]


async def explain_when_there_is_room(engine: ExplainEngine, request: CheckedRequest) -> list[Event]:
    async with asyncio.timeout(10):
        while True:
            try:
                return await explain(engine, request)
            except QueueFull:
                await asyncio.sleep(0.01)


def gauge(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_request_is_accepted_before_any_work(engine: ExplainEngine, runs: Runs) -> None:
    request = runs.check(LIME, OCCLUSION)
    told = await explain(engine, request)
    assert told[0] == RequestAccepted(digest(picture(request)), queue_position=0)
    assert isinstance(told[1], TargetsResolved)
    assert isinstance(told[-1], MapsCompared)
    assert len(maps(told)) == 4


async def test_who_waits_is_told_how_many_are_before(
    engine: ExplainEngine, runs: Runs, triton: FakeTriton
) -> None:
    triton.fall_silent()
    waited = gauge("pellucid_queue_wait_seconds_count")
    async with ask(engine, runs.check(LIME)) as first, ask(engine, runs.check(LIME)) as second:
        assert (await anext(first)).queue_position == 0
        assert (await anext(second)).queue_position == 1
        triton.speak()
        assert maps([event async for event in second])
    assert gauge("pellucid_queue_wait_seconds_count") == waited + 2
    assert gauge("pellucid_explain_workers") == 1


async def test_one_more_than_there_is_room_for_is_told_when_to_come_back(
    engine: ExplainEngine, runs: Runs, triton: FakeTriton
) -> None:
    triton.fall_silent()
    async with ask(engine, runs.check(LIME)) as first, ask(engine, runs.check(LIME)) as second:
        await anext(first)
        await anext(second)
        with pytest.raises(QueueFull) as caught:
            await explain(engine, runs.check(LIME))
    assert caught.value.retry_after_s
    assert caught.value.metadata["limit"] == "2"
    triton.speak()
    assert maps(await explain_when_there_is_room(engine, runs.check(LIME)))


async def test_who_goes_away_frees_its_place_and_cancels_what_was_sent(
    engine: ExplainEngine, runs: Runs, triton: FakeTriton
) -> None:
    triton.fall_silent()
    cancelled = gauge("pellucid_explain_cancelled_total")
    async with ask(engine, runs.check(LIME)) as events:
        await anext(events)
        await asyncio.to_thread(triton.wait_until, lambda: len(triton.rows) == 1)
    await asyncio.to_thread(triton.wait_until, lambda: triton.cancelled == 1)
    await until(lambda: gauge("pellucid_explain_cancelled_total") == cancelled + 1)
    triton.speak()
    assert maps(await explain(engine, runs.check(LIME)))


async def test_who_goes_away_while_it_waits_is_never_explained(
    engine: ExplainEngine, runs: Runs, triton: FakeTriton
) -> None:
    waiting = gauge("pellucid_queue_depth")
    triton.fall_silent()
    async with ask(engine, runs.check(LIME)) as first:
        await anext(first)
        await asyncio.to_thread(triton.wait_until, lambda: len(triton.rows) == 1)
        async with ask(engine, runs.check(LIME)) as second:
            await anext(second)
            assert gauge("pellucid_queue_depth") == waiting + 1
        await until(lambda: gauge("pellucid_queue_depth") == waiting)
        asked = len(triton.rows)
        assert asked == 1
        triton.speak()
        assert maps([event async for event in first])


async def test_an_error_follows_all_that_was_told(
    engine: ExplainEngine, runs: Runs, triton: FakeTriton
) -> None:
    told: list[Event] = []
    triton.formula = lambda masks: np.full((len(masks), 2), np.nan, np.float32)
    with pytest.raises(MethodUnavailable):
        async with ask(engine, runs.check(LIME)) as events:
            async for event in events:
                told.append(event)
    assert [type(event) for event in told] == [RequestAccepted]


async def test_progress_is_told_while_a_method_is_silent(
    engine: ExplainEngine, runs: Runs, triton: FakeTriton
) -> None:
    def fall_silent_in_the_middle(number: int) -> None:
        if number == 3:
            triton.fall_silent()

    triton.at_call = fall_silent_in_the_middle
    async with ask(engine, runs.check(OCCLUSION)) as events:
        seen = [event async for event in _progress(events, 3)]
        assert seen[-1].calls_done == seen[-2].calls_done < seen[-1].calls_total


async def _progress(events: Any, count: int) -> AsyncIterator[MethodProgress]:
    """The first few messages about progress."""
    async for event in events:
        if isinstance(event, MethodProgress):
            yield event
            count -= 1
        if not count:
            return
