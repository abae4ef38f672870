"""What the gateway can do is ready when, and only when, everything behind it that it needs is."""

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
        self.hangs = {"triton": False, "explain": False}
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def check(self, name: str) -> bool:
        if self.hangs[name]:
            await asyncio.sleep(10)
        return self.healthy[name]

    async def report(self, name: str, *, ready: bool) -> None:
        await self.said.put(f"{name} {'ready' if ready else 'not ready'}")

    async def next(self) -> str:
        return await asyncio.wait_for(self.said.get(), 2)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    found = Watched()
    watch = HealthWatch(
        {name: lambda name=name: found.check(name) for name in found.healthy},
        {"Classify": ("triton",), "Explain": ("triton", "explain")},
        found.report,
        SETTINGS,
    )
    task = asyncio.create_task(watch.run())
    yield found
    task.cancel()


async def test_each_is_ready_once_what_it_needs_is(watched: Watched) -> None:
    watched.healthy["explain"] = True
    await asyncio.sleep(0.1)
    assert watched.said.empty()
    watched.healthy["triton"] = True
    assert {await watched.next(), await watched.next()} == {"Classify ready", "Explain ready"}
    await asyncio.sleep(0.05)
    assert watched.said.empty()


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_an_outage_takes_what_it_must_and_no_more(watched: Watched, how: str) -> None:
    watched.healthy |= {"triton": True, "explain": True}
    assert {await watched.next(), await watched.next()} == {"Classify ready", "Explain ready"}
    watched.healthy["explain"], watched.hangs["explain"] = how != "fails", how == "hangs"
    assert await watched.next() == "Explain not ready"
    watched.healthy["explain"], watched.hangs["explain"] = True, False
    assert await watched.next() == "Explain ready"
    watched.healthy["triton"] = False
    assert {await watched.next(), await watched.next()} == {
        "Classify not ready",
        "Explain not ready",
    }


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
