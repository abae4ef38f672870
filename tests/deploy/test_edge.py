"""The real Envoy, with the files that the manifests mount, before servers like the gateway's."""

import asyncio
import copy
import re
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from pellucid.api.gateway.v1 import gateway_pb2_grpc
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest
from pellucid.metadata import REQUEST_ID
from pellucid.serving.settings import ServiceSettings
from tests.support import envoy
from tests.support.edge import SETTINGS, Edge, serving
from tests.support.envoy_configuration import CLIENT_HEADER
from tests.support.manifests import Document, compose, kustomize, of_kind

pytestmark = [
    pytest.mark.skipif(kustomize() is None, reason="there is no kustomize: `make tools`"),
    pytest.mark.skipif(not envoy.is_installed(), reason=envoy.MISSING),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return compose(tmp_path_factory.mktemp("overlay"), ["edge"])


@pytest.fixture
async def edge(plain: list[Document], tmp_path: Path) -> AsyncIterator[Edge]:
    async with serving(plain, tmp_path) as found:
        yield found


async def test_calls_and_streams_go_through_to_every_gateway(edge: Edge) -> None:
    for _ in range(6):
        await edge.classify()
    assert [len(gateway.seen) for gateway in edge.gateways] == [3, 3]
    for _ in range(20):
        assert len([one async for one in edge.explain()]) == 2
    assert all(len(gateway.seen) > 3 for gateway in edge.gateways)


async def test_the_messages_of_a_stream_come_as_they_are_sent(edge: Edge) -> None:
    events = aiter(edge.explain("slow"))
    await anext(events)
    working = await edge.working()
    assert not working.released.is_set()
    working.finish.set()
    assert len([one async for one in events]) == 1


async def test_an_explanation_ends_when_its_client_goes(edge: Edge) -> None:
    call = edge.explain("slow")
    await anext(aiter(call))
    working = await edge.working()
    call.cancel()
    async with asyncio.timeout(10):
        await working.released.wait()


async def test_the_details_of_an_error_pass_unchanged(edge: Edge) -> None:
    named = [(REQUEST_ID, "one-of-mine")]
    with pytest.raises(grpc.aio.AioRpcError) as passed:
        await edge.classify("bad", metadata=named)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.servers[0].port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as direct:
            await gateway_pb2_grpc.GatewayServiceStub(channel).Classify(
                ClassifyRequest(model="bad"), metadata=named
            )
    assert passed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert passed.value.details() == direct.value.details()
    found, wanted = (dict(one.value.trailing_metadata()) for one in (passed, direct))
    assert "grpc-status-details-bin" in wanted
    assert found == wanted | {"date": found["date"]}  # which HTTP wants of Envoy


async def test_deadlines_pass_and_none_is_added(edge: Edge) -> None:
    await edge.classify(timeout=700)
    await edge.classify(timeout=None)
    (short,), (absent,) = (gateway.timeouts for gateway in edge.gateways)
    if short is None:
        short, absent = absent, short
    assert 680 < short <= 700
    assert absent is None


async def test_a_deadline_that_passes_ends_the_call_at_the_gateway(edge: Edge) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [one async for one in edge.explain("slow", timeout=1)]
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    working = await edge.working()
    async with asyncio.timeout(10):
        await working.released.wait()


async def test_a_request_keeps_the_id_that_its_client_gave(edge: Edge) -> None:
    await edge.classify(metadata=[(REQUEST_ID, "one-of-mine")])
    await edge.classify()
    ids = {gateway.seen[0] for gateway in edge.gateways}
    (own,) = ids - {"one-of-mine"}
    # The gateway made it: an id of Envoy's would have hyphens.
    assert len(own) == 32 and own.isalnum()


async def test_clients_do_not_choose_by_what_quotas_know_them(edge: Edge) -> None:
    await edge.classify(metadata=[(CLIENT_HEADER, "192.0.2.1"), ("x-forwarded-for", "192.0.2.1")])
    (metadata,) = [one for gateway in edge.gateways for one in gateway.metadata]
    assert metadata[CLIENT_HEADER] == "127.0.0.1"


@pytest.mark.parametrize(
    "path",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/pellucid.api.gateway.v1.GatewayService/Unknown",
        "/pellucid.api.explain.v1.ExplainService/Explain",
    ],
)
async def test_what_is_not_public_is_not_there(edge: Edge, path: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edge.channel.unary_unary(path)(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert all(gateway.seen == [] for gateway in edge.gateways)


async def test_a_file_of_the_largest_size_passes_and_a_larger_message_is_refused(
    plain: list[Document], tmp_path: Path
) -> None:
    small = ServiceSettings(health_port=0, grace_s=0, max_message_bytes=40 << 20)
    async with serving(plain, tmp_path, [small]) as edge:
        await edge.stub.Classify(ClassifyRequest(model="ok", content=bytes(33 << 20)), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            request = ClassifyRequest(model="ok", content=bytes(41 << 20))
            await edge.stub.Classify(request, timeout=30)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_that_no_gateway_would_read_is_cut(
    plain: list[Document], tmp_path: Path
) -> None:
    """By the edge itself, here with a limit that is below the gateway's."""
    documents = copy.deepcopy(plain)
    (data,) = [
        one["data"]
        for name, one in of_kind(documents, "ConfigMap").items()
        if name.startswith("edge")
    ]
    limit = "max_request_bytes: "
    data["listener.yaml"] = re.sub(rf"{limit}\d+", f"{limit}1000", data["listener.yaml"])
    async with serving(documents, tmp_path) as edge:
        await edge.classify()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.stub.Classify(ClassifyRequest(content=bytes(100_000)), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert sum(len(gateway.seen) for gateway in edge.gateways) == 1
        assert "client" not in edge.envoy.log.read_text()


async def test_the_log_has_a_line_a_call_and_nothing_of_the_client(edge: Edge) -> None:
    await edge.classify(metadata=[(REQUEST_ID, "one-of-mine"), ("x-patient", "swordfish")])
    with pytest.raises(grpc.aio.AioRpcError):
        await edge.classify("bad")
    with pytest.raises(grpc.aio.AioRpcError):
        await edge.channel.unary_unary("/swordfish/of?patient=swordfish")(b"", timeout=20)
    async with asyncio.timeout(20):
        while len(edge.envoy.calls()) < 3:
            await asyncio.sleep(0.1)
    found = edge.envoy.calls()
    assert [one["grpc_code"] for one in found] == ["OK", "InvalidArgument", "Unimplemented"]
    assert [one.get("grpc_method") for one in found] == ["Classify", "Classify", None]
    assert found[0]["request_id"] == "one-of-mine"
    text = edge.envoy.log.read_text()
    assert "swordfish" not in text
    upstreams = {f"127.0.0.1:{server.port}" for server in edge.servers}
    assert {one["upstream"] for one in found[:2]} == upstreams
    assert text.count("127.0.0.1") == 2


async def test_health_and_metrics_are_on_ports_of_their_own(edge: Edge) -> None:
    await edge.classify()
    assert "LIVE" in edge.envoy.page("health", "/ready")
    assert edge.envoy.page("health", "/live") == ""
    assert 'envoy_cluster_name="gateway"' in edge.envoy.page("metrics", "/metrics")
    for port in ("health", "metrics"):
        for path in ("/quitquitquit", "/config_dump", "/stats"):
            with pytest.raises(OSError, match="404"):
                edge.envoy.page(port, path)


async def test_a_dead_gateways_calls_go_to_the_other(plain: list[Document], tmp_path: Path) -> None:
    """Its health is still believed to be good, as in the moment in which it dies."""
    async with serving(plain, tmp_path) as edge:
        await edge.servers[0]._server.stop(0)
        for _ in range(6):
            await edge.classify()
        _ = [one async for one in edge.explain()]
        assert len(edge.gateways[1].seen) == 7


async def test_no_call_is_lost_while_a_gateway_drains(
    plain: list[Document], tmp_path: Path
) -> None:
    gone = ServiceSettings(health_port=0, drain_s=4, grace_s=5)
    async with serving(plain, tmp_path, [SETTINGS, gone]) as edge:
        leaving = asyncio.create_task(edge.servers[1].__aexit__(None, None, None))
        calls = 0
        while not leaving.done():
            await edge.classify()
            calls += 1
            await asyncio.sleep(0.05)
        await leaving
        seen = len(edge.gateways[1].seen)
        for _ in range(4):
            await edge.classify()
        assert 0 < seen < calls
        assert len(edge.gateways[1].seen) == seen
