"""A worker may die of a file, hang in it, or be taken over by it: only that file is refused."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from pellucid.errors import MediaLimitExceeded, UnreadableMedia
from preprocess_service.decoding_pool import DecodingPool
from preprocess_service.fork_server import ForkServer
from preprocess_service.metrics import Cause
from tests.unit.preprocess.commanded_worker import BABBLE, BUG, CRASH, HANG
from tests.unit.preprocess.files import image_contract, pixels, png
from tests.unit.preprocess.workers import (
    is_running,
    read_in,
    running_pool,
    until,
    worker_of,
    workers_of,
)

IMAGE = image_contract()


@pytest.fixture
async def pool(commanded_fork_server: ForkServer) -> AsyncIterator[DecodingPool]:
    async with running_pool(commanded_fork_server) as pool:
        yield pool


async def works(pool: DecodingPool) -> bool:
    return len((await read_in(pool, png(pixels()), IMAGE)).windows) == 1


def replaced(cause: Cause) -> float:
    name = "pellucid_preprocess_workers_replaced_total"
    return REGISTRY.get_sample_value(name, {"cause": cause}) or 0.0


async def test_a_file_that_crashes_its_decoder_is_unreadable(pool: DecodingPool):
    before = replaced(Cause.CRASHED)
    with pytest.raises(UnreadableMedia) as caught:
        await read_in(pool, CRASH, IMAGE)
    assert caught.value.field == "content"
    assert caught.value.metadata["why"] == "its decoder crashed"
    assert replaced(Cause.CRASHED) == before + 1
    assert await works(pool)


async def test_a_file_whose_decoder_hangs_exceeds_the_limit(commanded_fork_server: ForkServer):
    async with running_pool(commanded_fork_server, decode_timeout_s=0.5) as pool:
        with pytest.raises(MediaLimitExceeded) as caught:
            await read_in(pool, HANG, IMAGE)
        assert caught.value.metadata["limit"] == "decode_timeout_s"
        assert caught.value.metadata["maximum"] == "0.5"
        assert await works(pool)


async def test_what_a_captured_worker_says_is_not_believed(pool: DecodingPool):
    with pytest.raises(UnreadableMedia):
        await read_in(pool, BABBLE, IMAGE)
    assert await works(pool)


async def test_a_bug_is_told_to_the_log_and_not_blamed_on_the_file(pool: DecodingPool):
    with pytest.raises(RuntimeError, match="ZeroDivisionError in a worker"):
        await read_in(pool, BUG, IMAGE)
    assert await works(pool)


async def test_other_files_go_on_while_one_crashes_or_hangs(commanded_fork_server: ForkServer):
    async with running_pool(commanded_fork_server, workers=2) as pool:
        hanging = asyncio.ensure_future(read_in(pool, HANG, IMAGE))
        crashing = [asyncio.ensure_future(read_in(pool, CRASH, IMAGE)) for _ in range(3)]
        assert await asyncio.gather(*(works(pool) for _ in range(5))) == [True] * 5
        outcomes = await asyncio.gather(*crashing, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnreadableMedia] * 3
        hanging.cancel()


async def test_a_cancelled_file_frees_its_worker(pool: DecodingPool):
    before = replaced(Cause.CANCELLED)
    hanging = asyncio.ensure_future(read_in(pool, HANG, IMAGE))
    waiting = asyncio.ensure_future(read_in(pool, CRASH, IMAGE))
    await until(lambda: pool.load == 2)
    assert REGISTRY.get_sample_value("pellucid_preprocess_load") == 2
    assert REGISTRY.get_sample_value("pellucid_preprocess_workers") == 1
    hanging.cancel()
    waiting.cancel()
    await until(lambda: pool.load == 0)
    assert replaced(Cause.CANCELLED) == before + 1
    assert await works(pool)


async def test_a_cancelled_file_that_ends_soon_keeps_its_worker(pool: DecodingPool):
    before = replaced(Cause.CANCELLED)
    reading = asyncio.ensure_future(read_in(pool, png(pixels()), IMAGE))
    while not pool.load:
        await asyncio.sleep(0)
    reading.cancel()
    await until(lambda: pool.load == 0)
    assert replaced(Cause.CANCELLED) == before
    assert await works(pool)


async def test_a_worker_that_died_between_two_files_costs_neither(
    pool: DecodingPool, commanded_fork_server: ForkServer
):
    assert await works(pool)
    for pid in workers_of(commanded_fork_server):
        os.kill(pid, 9)
    await until(lambda: not workers_of(commanded_fork_server))
    assert await works(pool)


async def test_a_fork_server_that_died_is_started_anew():
    with ForkServer("tests.unit.preprocess.commanded_worker") as server:
        async with running_pool(server) as pool:
            assert await works(pool)
            worker = await worker_of(server)
            os.kill(server.pid, 9)
            await until(lambda: not server.is_alive() and not is_running(worker))
            assert await works(pool)
