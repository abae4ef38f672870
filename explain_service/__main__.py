"""Start the explain service: `python -m explain_service`."""

import asyncio
import os
import threading
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
from explain_service.tick import Cancelled, Tick
from explain_service.triton_calls import TritonCalls
from explain_service.warm_up import warm_up
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc
from pellucid.errors import MethodUnavailable, PellucidError
from pellucid.serving import logs
from pellucid.serving.server import Server
from pellucid.serving.triton import ServedModel, TritonModels

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
        checked = asyncio.Event()
        # A group, because a task that fails must end the service rather than leave it unready.
        group = await stack.enter_async_context(asyncio.TaskGroup())
        for task in (_watch(server, models, checked), _check_copies(models, gradients, checked)):
            stack.callback(group.create_task(task).cancel)
        yield server


async def main(settings: ExplainSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    async with serve(settings) as server:
        await server.stopped()


async def _watch(server: Server, models: TritonModels, checked: asyncio.Event) -> None:
    """Be ready once all is warm and the copies are there, and for as long as Triton is."""
    await asyncio.gather(asyncio.to_thread(warm_up), checked.wait())
    log.info("warm")
    was_ready = False
    while True:
        is_ready = await models.ready()
        if is_ready != was_ready:
            await (server.ready() if is_ready else server.not_ready())
            was_ready = is_ready
        await asyncio.sleep(LOOK_S if is_ready else LOOK_S / 8)


async def _check_copies(
    models: TritonModels, gradients: GradientCopies, checked: asyncio.Event
) -> None:
    """Load and check what is new in Triton, so that the capabilities tell how far a copy drifts.

    `checked` is set once Triton serves something and every copy of it was tried.
    """
    stop = threading.Event()
    tried: list[ServedModel] = []
    try:
        while True:
            try:
                served = await models.list()
                gradients.keep(served)
                tried = [model for model in tried if model in served]
                new = [model for model in served if model not in tried]
                for model in new:
                    await asyncio.to_thread(_load, gradients, model, stop)
                    tried.append(model)
                if served and not new:
                    checked.set()
            except PellucidError as error:
                log.info("gradient copies wait", why=error.message)
            except Exception:
                log.exception("gradient copies were not checked")
            await asyncio.sleep(LOOK_S if checked.is_set() else LOOK_S / 8)
    finally:
        stop.set()


def _load(gradients: GradientCopies, model: ServedModel, stop: threading.Event) -> None:
    """Load and check one copy, if there can be one; blocks until then, or until `stop`."""
    if gradients.unavailable(model, IntegratedGradients.name):
        return
    try:
        gradients.load(model, Tick(total=0, stop=stop))
    except (Cancelled, MethodUnavailable):
        return  # whoever asks for the model's methods is told why
    except PellucidError:
        raise
    except Exception:
        log.exception("a gradient copy failed", model=model.card.name)


if __name__ == "__main__":
    chosen = ExplainSettings()
    logs.configure("explain", chosen.log_level)
    status = 0
    try:
        asyncio.run(main(chosen))
    except Exception:
        log.exception("failed")
        status = 1
    # A framework may still be importing on a thread that nobody can stop: taking the interpreter
    # down beneath it ends in an abort.
    os._exit(status)
