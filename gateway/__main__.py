"""Run the gateway: `python -m gateway`."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from gateway.capabilities import Capabilities
from gateway.classification import Classification
from gateway.explanation import Explanation
from gateway.health import HealthWatch, serving
from gateway.peers import ExplainPeer, PreprocessPeer
from gateway.servicer import GatewayServicer
from gateway.settings import GatewaySettings
from pellucid.api.explain.v1 import explain_pb2
from pellucid.api.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from pellucid.api.preprocess.v1 import preprocess_pb2
from pellucid.serving import logs
from pellucid.serving.channels import open_channel
from pellucid.serving.server import Server
from pellucid.serving.triton import TritonModels

SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
PREPROCESS = preprocess_pb2.DESCRIPTOR.services_by_name["PreprocessService"].full_name
EXPLAIN = explain_pb2.DESCRIPTOR.services_by_name["ExplainService"].full_name


async def main(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    async with AsyncExitStack() as stack:
        models = TritonModels(settings.triton_url, settings)
        stack.push_async_callback(models.close)
        preprocess = await stack.enter_async_context(
            open_channel(settings.preprocess_url, settings)
        )
        explain = await stack.enter_async_context(open_channel(settings.explain_url, settings))
        servicer = build(models, PreprocessPeer(preprocess), ExplainPeer(explain), settings)
        register = partial(gateway_pb2_grpc.add_GatewayServiceServicer_to_server, servicer)
        server = await stack.enter_async_context(Server(settings, SERVICE, register))
        looks = {
            "triton": models.ready,
            "preprocess": serving(preprocess, PREPROCESS),
            "explain": serving(explain, EXPLAIN),
        }
        watch = HealthWatch(looks, server.ready, server.not_ready, settings)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(watch.run())
            await server.stopped()
            looking.cancel()


def build(
    models: TritonModels,
    preprocess: PreprocessPeer,
    explain: ExplainPeer,
    settings: GatewaySettings,
) -> GatewayServicer:
    """The gateway's use cases over the services behind it."""
    classification = Classification(models, preprocess, settings.max_content_bytes)
    return GatewayServicer(
        Capabilities(models, preprocess, explain, settings),
        classification,
        Explanation(classification, explain),
        settings,
    )


if __name__ == "__main__":
    chosen = GatewaySettings()
    logs.configure("gateway", chosen.log_level)
    asyncio.run(main(chosen))
