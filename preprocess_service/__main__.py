"""Start the preprocess service: `python -m preprocess_service`; see its `settings.py`."""

import asyncio
from contextlib import AsyncExitStack

from pellucid.api.preprocess.v1 import preprocess_pb2, preprocess_pb2_grpc
from pellucid.serving import logs
from pellucid.serving.server import Server
from preprocess_service import metrics
from preprocess_service.decoding_pool import DecodingPool
from preprocess_service.fork_server import ForkServer
from preprocess_service.preprocessor import Preprocessor
from preprocess_service.servicer import PreprocessServicer
from preprocess_service.settings import PreprocessSettings


async def main(settings: PreprocessSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    metrics.create_series()
    async with AsyncExitStack() as stack:
        fork_server = stack.enter_context(ForkServer())
        pool = await stack.enter_async_context(DecodingPool(settings, fork_server))
        servicer = PreprocessServicer(Preprocessor(settings, pool), settings)
        server = await stack.enter_async_context(
            Server(
                settings,
                preprocess_pb2.DESCRIPTOR.services_by_name["PreprocessService"],
                lambda grpc_server: preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server(
                    servicer, grpc_server
                ),
            )
        )
        async with asyncio.TaskGroup() as group:
            # A service may be told to end before its decoders are warm.
            starting = group.create_task(_start(pool, server))
            await server.stopped()
            starting.cancel()


async def _start(pool: DecodingPool, server: Server) -> None:
    await pool.start()
    await server.ready()


if __name__ == "__main__":
    read = PreprocessSettings()
    logs.configure("preprocess", read.log_level)
    asyncio.run(main(read))
