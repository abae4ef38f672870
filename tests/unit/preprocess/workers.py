"""Reads files in real worker processes, and looks after these."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pellucid.api.preprocess.v1 import preprocess_pb2
from pellucid.contracts import InputSpec
from preprocess_service.decoding_pool import DecodingPool
from preprocess_service.fork_server import ForkServer
from preprocess_service.settings import PreprocessSettings


@asynccontextmanager
async def running_pool(fork_server: ForkServer, **settings: Any) -> AsyncIterator[DecodingPool]:
    """A pool of one worker, unless the settings say otherwise."""
    fields = PreprocessSettings(**({"workers": 1} | settings))
    async with DecodingPool(fields, fork_server) as pool:
        await pool.start()
        yield pool


async def read_in(
    pool: DecodingPool, content: bytes, contract: InputSpec
) -> preprocess_pb2.PreprocessResponse:
    """Read a file as the service does."""
    request = preprocess_pb2.PreprocessRequest(content=content, contract=contract.to_message())
    decoded = await pool.decode(request.SerializeToString())
    return preprocess_pb2.PreprocessResponse.FromString(bytes(decoded.response))


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that comes soon."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def workers_of(server: ForkServer) -> list[int]:
    """Process ids of its workers; one that was killed may be among them for a moment."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


async def worker_of(server: ForkServer) -> int:
    """Its only worker."""
    await until(lambda: len(workers_of(server)) == 1)
    return workers_of(server)[0]


def is_running(pid: int) -> bool:
    """Whether a process is there, and not as a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
