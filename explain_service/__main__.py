"""Start the explain service: `python -m explain_service`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from explain_service.engine import ExplainEngine
from explain_service.gradient.copies import GradientCopies
from explain_service.methods import IntegratedGradients
from explain_service.planner import Planner, Speeds
from explain_service.runner import Tools
from explain_service.servicer import ExplainServicer
from explain_service.settings import ExplainSettings
from explain_service.triton_calls import TritonCalls
from explain_service.warm_up import warm_up
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc
from pellucid.errors import PellucidError
from pellucid.serving import logs
from pellucid.serving.server import Server
from pellucid.serving.triton import TritonModels

log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""Between two looks at whether Triton is ready, in seconds."""


@asynccontextmanager
async def serve(settings: ExplainSettings) -> AsyncIterator[Server]:
    """The whole service; leaving drains it, and closes what it holds in reverse order."""
    async with AsyncExitStack() as stack:
        models = TritonModels(settings.triton_url, settings)
        stack.push_async_callback(models.close)
        calls = TritonCalls(settings)
        stack.push_async_callback(asyncio.to_thread, calls.close)
        gradients = GradientCopies(
            settings.model_repository,
            calls.predict,
            chunk=settings.gradient_chunk,
            threads=settings.gradient_threads,
        )
        planner = Planner(Speeds(), gradients, settings.masks_per_call)
        engine = ExplainEngine(Tools(calls, gradients, planner, settings.finish_s), settings)
        stack.push_async_callback(engine.close)
        servicer = ExplainServicer(models, gradients, planner, engine, settings)
        descriptor = explain_pb2.DESCRIPTOR.services_by_name["ExplainService"]
        register = partial(explain_pb2_grpc.add_ExplainServiceServicer_to_server, servicer)
        server = await stack.enter_async_context(Server(settings, descriptor, register))
        for task in (_watch(server, models), _check_copies(models, gradients)):
            stack.callback(asyncio.create_task(task).cancel)
        yield server


async def main(settings: ExplainSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    async with serve(settings) as server:
        await server.stopped()


async def _watch(server: Server, models: TritonModels) -> None:
    """Be ready once all is warm, and for as long as Triton is."""
    await asyncio.to_thread(warm_up)
    log.info("warm")
    was_ready = False
    while True:
        is_ready = await models.ready()
        if is_ready != was_ready:
            await (server.ready() if is_ready else server.not_ready())
            was_ready = is_ready
        await asyncio.sleep(LOOK_S if is_ready else LOOK_S / 8)


async def _check_copies(models: TritonModels, gradients: GradientCopies) -> None:
    """Load and check what is new in Triton, so that the capabilities tell how far a copy drifts."""
    while True:
        try:
            served = await models.list()
            gradients.keep(served)
            for model in served:
                if (
                    gradients.unavailable(model, IntegratedGradients.name)
                    or gradients.parity(model) is not None
                ):
                    continue
                await asyncio.to_thread(gradients.load, model)
        except PellucidError as error:
            log.info("gradient copies wait", why=error.message)
        except Exception:
            log.exception("a gradient copy failed")
        await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    chosen = ExplainSettings()
    logs.configure("explain", chosen.log_level)
    asyncio.run(main(chosen))
