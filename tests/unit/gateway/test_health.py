"""The gateway is ready when, and only when, everything behind it is."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from gateway.health import HealthWatch, serving
from gateway.settings import GatewaySettings
from pellucid.serving.server import Server
from tests.unit.serving.scripted import SERVICE

SETTINGS = GatewaySettings(health_interval_s=0.01, health_timeout_s=0.05)


class Watched:
    """Two services that are healthy at will, and what was said of them."""

    def __init__(self) -> None:
        self.healthy = {"triton": False, "explain": False}
        self.hangs = False
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def check(self, name: str) -> bool:
        if self.hangs:
            await asyncio.sleep(10)
        return self.healthy[name]

    async def next(self) -> str:
        return await asyncio.wait_for(self.said.get(), 2)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    found = Watched()
    watch = HealthWatch(
        {name: lambda name=name: found.check(name) for name in found.healthy},
        lambda: found.said.put("ready"),
        lambda: found.said.put("not ready"),
        SETTINGS,
    )
    task = asyncio.create_task(watch.run())
    yield found
    task.cancel()


async def test_it_is_ready_once_all_are(watched: Watched) -> None:
    watched.healthy["triton"] = True
    await asyncio.sleep(0.1)
    assert watched.said.empty()
    watched.healthy["explain"] = True
    assert await watched.next() == "ready"
    await asyncio.sleep(0.05)
    assert watched.said.empty()


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_it_is_not_ready_while_one_is_gone(watched: Watched, how: str) -> None:
    watched.healthy |= {"triton": True, "explain": True}
    assert await watched.next() == "ready"
    watched.healthy["explain"], watched.hangs = how != "fails", how == "hangs"
    assert await watched.next() == "not ready"
    watched.healthy["explain"], watched.hangs = True, False
    assert await watched.next() == "ready"


async def test_a_check_asks_for_the_service_by_name() -> None:
    async with (
        Server(SETTINGS, SERVICE, lambda server: None) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        check = serving(channel, SERVICE.full_name)
        assert not await check()
        await server.ready()
        assert await check()
        assert not await serving(channel, "unknown")()
