"""How often a client may ask; counted in memory, and in a real Redis."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from prometheus_client import REGISTRY

from gateway.quotas import Context, Quotas
from gateway.settings import GatewaySettings
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.embedded.ports import LOOPBACK, resolve_ports
from pellucid.errors import QuotaExceeded
from pellucid.status import from_rpc_error
from tests.support.child import guarded
from tests.unit.gateway.conftest import SETTINGS, Stage
from tests.unit.gateway.fakes import card

REDIS = shutil.which("redis-server")


def caller(
    address: str = "192.0.2.1",
    port: int = 50_000,
    header: str = "",
    certificate: bytes = b"",
    family: str = "ipv4",
) -> Context:
    """The context of a call, as far as it says who calls."""
    return cast(
        Context,
        SimpleNamespace(
            peer=lambda: f"{family}:{address}:{port}",
            invocation_metadata=lambda: (("x-forwarded-for", header),) if header else (),
            peer_identities=lambda: [certificate] if certificate else None,
        ),
    )


async def allowed(quotas: Quotas, context: Context, calls: int = 5) -> int:
    """How many of some calls are answered."""
    answered = 0
    for _ in range(calls):
        try:
            await quotas.count_prediction(context)
        except QuotaExceeded:
            continue
        answered += 1
    return answered


async def test_a_client_has_its_quota_and_no_more() -> None:
    quotas = Quotas(GatewaySettings(quota="3/minute"))
    assert await allowed(quotas, caller()) == 3
    # Another connection of the same client is no other client.
    assert await allowed(quotas, caller(port=50_001)) == 0
    assert await allowed(quotas, caller("192.0.2.2")) == 3


async def test_of_several_windows_the_narrowest_counts() -> None:
    quotas = Quotas(GatewaySettings(quota="2/second; 600/minute"))
    assert await allowed(quotas, caller()) == 2


async def test_without_a_quota_nothing_is_counted() -> None:
    assert await allowed(Quotas(GatewaySettings()), caller(), calls=50) == 50


async def test_explanations_have_a_quota_of_their_own() -> None:
    quotas = Quotas(GatewaySettings(quota="3/minute", explain_quota="1/minute"))
    assert await allowed(quotas, caller()) == 3
    async with quotas.explanation(caller()):
        pass
    with pytest.raises(QuotaExceeded) as caught:
        async with quotas.explanation(caller()):
            pass
    assert caught.value.metadata == {"quota": "explain_quota", "maximum": "1 per 1 minute"}
    assert 0 < (caught.value.retry_after_s or 0) <= 60


async def test_a_client_has_so_many_explanations_at_once() -> None:
    quotas = Quotas(GatewaySettings(explanations_per_client=1))
    for _ in range(2):
        async with quotas.explanation(caller()), quotas.explanation(caller("192.0.2.2")):
            with pytest.raises(QuotaExceeded) as caught:
                async with quotas.explanation(caller(port=50_001)):
                    pass
    assert caught.value.metadata["quota"] == "explanations_per_client"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[2001:db8:0:1::1]", "[2001:db8:0:1:ffff::2]"),
        ("%5B2001:db8:0:1::1%5D", "%5B2001:db8:0:1::2%5D"),
    ],
)
async def test_all_addresses_of_an_ipv6_network_are_one_client(one: str, other: str) -> None:
    quotas = Quotas(GatewaySettings(quota="3/minute"))
    assert await allowed(quotas, caller(one, family="ipv6")) == 3
    assert await allowed(quotas, caller(other, family="ipv6")) == 0
    assert await allowed(quotas, caller("[2001:db8:0:2::1]", family="ipv6")) == 3


async def test_an_edge_names_ipv6_clients_by_their_network_too() -> None:
    quotas = Quotas(GatewaySettings(quota="3/minute", client_header="x-forwarded-for"))
    assert await allowed(quotas, caller(header="2001:db8:0:1::1")) == 3
    assert await allowed(quotas, caller(header="2001:db8:0:1::2")) == 0


async def test_a_client_is_known_by_its_certificate_rather_than_its_address() -> None:
    quotas = Quotas(GatewaySettings(quota="3/minute"))
    assert await allowed(quotas, caller("192.0.2.1", certificate=b"clinic")) == 3
    assert await allowed(quotas, caller("192.0.2.9", certificate=b"clinic")) == 0


async def test_metadata_names_the_client_only_where_an_edge_sets_it() -> None:
    believed = Quotas(GatewaySettings(quota="3/minute", client_header="X-Forwarded-For"))
    assert await allowed(believed, caller(header="198.51.100.1")) == 3
    assert await allowed(believed, caller(header="198.51.100.2")) == 3
    ignored = Quotas(GatewaySettings(quota="3/minute"))
    assert await allowed(ignored, caller(header="198.51.100.1")) == 3
    assert await allowed(ignored, caller(header="198.51.100.2")) == 0


@pytest.mark.parametrize(
    ("setting", "value"), [("quota", "many"), ("explain_quota", "10"), ("quota_store", "nowhere")]
)
def test_a_setting_that_cannot_be_read_is_named(setting: str, value: str) -> None:
    with pytest.raises(ValueError, match=setting):
        Quotas(GatewaySettings(**cast(Any, {"quota": "1/minute", setting: value})))


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis on a loopback port, and its address."""
    port = resolve_ports({"redis": (LOOPBACK, 0)})["redis"]
    assert REDIS is not None
    command = [REDIS, "--port", str(port), "--bind", LOOPBACK, "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(guarded(command), stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


needs_redis = pytest.mark.skipif(REDIS is None, reason="no Redis here: apt install redis-server")


@needs_redis
async def test_gateways_that_share_a_redis_count_together(tmp_path: Path) -> None:
    with redis(tmp_path) as store:
        await answering(store)
        settings = GatewaySettings(quota="5/minute", quota_store=store)
        async with Quotas(settings) as one, Quotas(settings) as other:
            assert await allowed(one, caller(), calls=3) == 3
            assert await allowed(other, caller(), calls=5) == 2


@needs_redis
async def test_calls_are_answered_uncounted_while_redis_is_away(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with redis(tmp_path) as store:
            await answering(store)
            settings = GatewaySettings(quota="2/minute", quota_store=store)
            quotas = await stack.enter_async_context(Quotas(settings))
            assert await allowed(quotas, caller()) == 2
        before = uncounted()
        assert await allowed(quotas, caller()) == 5
        assert uncounted() == before + 5


async def answering(store: str) -> None:
    """Wait until calls are counted there."""
    async with Quotas(GatewaySettings(quota="999/minute", quota_store=store)) as quotas:
        for _ in range(100):
            before = uncounted()
            await quotas.count_prediction(caller("203.0.113.1"))
            if uncounted() == before:
                return
            await asyncio.sleep(0.05)
    raise AssertionError("Redis does not answer")


def uncounted() -> float:
    return REGISTRY.get_sample_value("pellucid_quota_uncounted_total") or 0.0


class TestOverTheWire:
    """The gateway's answers."""

    @pytest.fixture
    def settings(self) -> GatewaySettings:
        return SETTINGS.model_copy(update={"quota": "1/minute", "explain_quota": "1/minute"})

    async def test_one_call_too_many_is_refused_with_when_to_come_back(self, stage: Stage) -> None:
        request = gateway_pb2.ClassifyRequest(model=card().name, content=b"file")
        await stage.stub.Classify(request)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.stub.Classify(request)
        error = from_rpc_error(caught.value, "gateway")
        assert isinstance(error, QuotaExceeded)
        assert error.retry_after_s
        # What is served may still be asked for.
        await stage.stub.GetCapabilities(gateway_pb2.GetCapabilitiesRequest())
