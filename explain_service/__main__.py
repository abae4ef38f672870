"""Start the explain service: `python -m explain_service`."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from explain_service.copy_check import check_copies
from explain_service.engine import ExplainEngine
from explain_service.gradient.copies import GradientCopies
from explain_service.methods import METHODS, MethodRegistry
from explain_service.methods.base import Backends
from explain_service.planner import Planner
from explain_service.resolution import Dependencies
from explain_service.servicer import ExplainServicer
from explain_service.settings import ExplainSettings
from explain_service.triton_calls import TritonCalls
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc
from pellucid.serving import logs
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.deadline import Shutdown
from pellucid.serving.server import Server

log = structlog.get_logger(__name__)

CHECK_EVERY_S = 0.5
"""Between two checks whether Triton is ready."""


@asynccontextmanager
async def serve(
    settings: ExplainSettings, registry: MethodRegistry = METHODS
) -> AsyncIterator[Server]:
    """The whole service; leaving drains it, and closes what it holds in reverse order."""
    async with AsyncExitStack() as stack:
        catalogue = await stack.enter_async_context(ModelCatalogue(settings.triton_url, settings))
        calls = TritonCalls(settings, catalogue.mark_stale)
        stack.push_async_callback(asyncio.to_thread, calls.close)
        copies = GradientCopies(
            settings.model_repository,
            calls.predict,
            chunk=settings.gradient_chunk,
            threads=settings.gradient_threads,
            memory_bytes=settings.gradient_memory_mb << 20,
        )
        planner = Planner(settings.masks_per_call)
        dependencies = Dependencies(
            Backends(calls, copies), planner, settings.finish_s, settings.partial_every_s
        )
        engine = ExplainEngine(dependencies, settings)
        stack.push_async_callback(engine.close)
        shutdown = Shutdown()
        servicer = ExplainServicer(catalogue, registry, dependencies, engine, settings, shutdown)
        descriptor = explain_pb2.DESCRIPTOR.services_by_name["ExplainService"]
        register = partial(explain_pb2_grpc.add_ExplainServiceServicer_to_server, servicer)
        server = await stack.enter_async_context(Server(settings, descriptor, register, shutdown))
        checked = asyncio.Event()
        # A group, because a task that fails must end the service rather than leave it unready.
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = (
            _watch(server, catalogue, registry, checked),
            check_copies(catalogue, copies, checked, settings.pool),
        )
        for task in tasks:
            stack.callback(group.create_task(task).cancel)
        yield server


async def main(settings: ExplainSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    async with serve(settings) as server:
        await server.stopped()


async def _watch(
    server: Server, catalogue: ModelCatalogue, registry: MethodRegistry, checked: asyncio.Event
) -> None:
    """Be ready once all is warm and the copies are there, and for as long as Triton is."""
    await asyncio.gather(asyncio.to_thread(_warm_up, registry), checked.wait())
    log.info("warm")
    was_ready = False
    while True:
        is_ready = catalogue.ready
        if is_ready != was_ready:
            await (server.ready() if is_ready else server.not_ready())
            was_ready = is_ready
        await asyncio.sleep(CHECK_EVERY_S)


def _warm_up(registry: MethodRegistry) -> None:
    for method in registry:
        method.warm_up()


if __name__ == "__main__":
    chosen = ExplainSettings()
    logs.configure("explain", chosen.log_level)
    status = 0
    try:
        asyncio.run(main(chosen))
    except Exception:
        log.exception("failed")
        status = 1
    # A framework may still be importing on a thread that cannot be stopped: taking the interpreter
    # down beneath it ends in an abort.
    os._exit(status)
