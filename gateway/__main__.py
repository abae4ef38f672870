"""Run the gateway: `python -m gateway`."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

import grpc

from gateway.capabilities import Capabilities
from gateway.classification import Classifier
from gateway.explanation import Explainer
from gateway.health import HealthWatch, serving
from gateway.peers import EXPLAIN, PREPROCESS, ExplainPeer, ExplainPools, PreprocessPeer
from gateway.quotas import Quotas
from gateway.servicer import GatewayServicer
from gateway.settings import GatewaySettings
from gateway.similar_cases import SimilarCases
from pellucid.api.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from pellucid.serving import logs
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.channels import open_channel
from pellucid.serving.server import Server
from pellucid.serving.triton import TritonInference

SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
EXPLAIN_CALL = f"{SERVICE.full_name}/Explain"
NEEDS = {
    SERVICE.full_name: ("triton", "preprocess"),
    EXPLAIN_CALL: ("triton", "preprocess", "explain"),
}
"""What must be healthy, by name in `grpc.health.v1`: what can be classified is classified, also
while nothing can be explained."""


async def main(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    async with AsyncExitStack() as stack:
        catalogue = await stack.enter_async_context(ModelCatalogue(settings.triton_url, settings))
        inference = await stack.enter_async_context(
            TritonInference(settings.triton_url, settings, catalogue.mark_stale)
        )
        preprocess = await stack.enter_async_context(
            open_channel(settings.preprocess_url, settings)
        )
        explain = await stack.enter_async_context(open_channel(settings.explain_url, settings))
        pools = {
            name: await stack.enter_async_context(open_channel(url, settings))
            for name, url in settings.explain_pools.items()
        }
        quotas = await stack.enter_async_context(Quotas(settings))
        servicer = build(catalogue, inference, preprocess, explain, pools, quotas, settings)
        register = partial(gateway_pb2_grpc.add_GatewayServiceServicer_to_server, servicer)
        server = await stack.enter_async_context(Server(settings, SERVICE, register))

        async def triton_ready() -> bool:
            return catalogue.ready

        checks = {
            "triton": triton_ready,
            "preprocess": serving(preprocess, PREPROCESS),
            "explain": serving(explain, EXPLAIN),
            # Where one of these is away, the models of the others are explained all the same.
            **{f"explain {name}": serving(pool, EXPLAIN) for name, pool in pools.items()},
        }
        await server.report(EXPLAIN_CALL, ready=False)
        watch = HealthWatch(checks, NEEDS, server.report, settings)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            await server.stopped()
            watching.cancel()


def build(
    catalogue: ModelCatalogue,
    inference: TritonInference,
    preprocess: grpc.aio.Channel,
    explain: grpc.aio.Channel,
    pools: Mapping[str, grpc.aio.Channel],
    quotas: Quotas,
    settings: GatewaySettings,
) -> GatewayServicer:
    """The gateway's use cases over Triton and the channels to the services behind it."""
    to_preprocess = PreprocessPeer(preprocess, settings.preprocess_timeout_s)
    to_explain = ExplainPools(
        ExplainPeer(explain, settings.explain_timeout_s),
        {name: ExplainPeer(channel, settings.explain_timeout_s) for name, channel in pools.items()},
    )
    classifier = Classifier(catalogue, inference, to_preprocess, settings)
    similar_cases = SimilarCases(classifier, settings)
    return GatewayServicer(
        Capabilities(catalogue, to_preprocess, to_explain, similar_cases, settings),
        classifier,
        Explainer(classifier, to_explain, catalogue.mark_stale),
        similar_cases,
        quotas,
        settings,
    )


if __name__ == "__main__":
    chosen = GatewaySettings()
    logs.configure("gateway", chosen.log_level)
    asyncio.run(main(chosen))
