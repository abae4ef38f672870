"""What happens around every call: ids, statuses, metrics, log lines."""

import asyncio
import gc
import json
import logging
import time
import urllib.request
from contextlib import suppress
from importlib import metadata
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest, ExplainRequest
from pellucid.serving import logs
from pellucid.serving.server import Server
from tests.unit.serving.scripted import SECRET, SERVICE, Scripted


async def classify(stub: Any, model: str, **options: Any) -> None:
    await stub.Classify(ClassifyRequest(model=model), **options)


async def explain(stub: Any, model: str, **options: Any) -> None:
    async for _ in stub.Explain(ExplainRequest(model=model), **options):
        pass


BOTH = pytest.mark.parametrize("call", [classify, explain], ids=["unary", "stream"])


def info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    status = rpc_status.from_call(error)
    assert status is not None
    found = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(found)
    return found


async def scrape(server: Server) -> dict[str, float]:
    """Every sample of the server's metrics, by name with labels."""
    url = f"http://127.0.0.1:{server.metrics_port}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def scrape_once_counted(
    server: Server, name: str, before: dict[str, float]
) -> dict[str, float]:
    """Every sample once a counter has grown: a client may have its answer before it is counted."""
    async with asyncio.timeout(10):
        while (after := await scrape(server))[name] == before.get(name, 0):
            await asyncio.sleep(0.02)
    return after


def series(name: str, method: str, code: str = "") -> str:
    kind = "server_stream" if method == "Explain" else "unary"
    service = f'grpc_method="{method}",grpc_service="{SERVICE.full_name}",grpc_type="{kind}"'
    code_label = f'grpc_code="{code}",' if code else ""
    return f"grpc_server_{name}{{{code_label}{service}}}"


@BOTH
async def test_an_error_of_the_family_becomes_its_status(stub: Any, call: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, "bad")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info(caught.value).reason == "INVALID_ARGUMENT"
    assert dict(info(caught.value).metadata) == {
        "field": "model",
        "remedy": "choose `ok`",
        "limit": "7",
    }


@BOTH
async def test_a_bug_tells_nothing_of_the_inside(stub: Any, call: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, "bug")
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert info(caught.value).reason == "INTERNAL"
    assert SECRET not in caught.value.debug_error_string()
    assert SECRET not in str(caught.value.trailing_metadata())


@pytest.mark.parametrize("method", ["Classify", "Explain"])
async def test_a_message_that_cannot_be_read_is_the_callers_fault(
    channel: grpc.aio.Channel, server: Server, method: str
) -> None:
    name = series("handled_total", method, "InvalidArgument")
    before = await scrape(server)
    call = channel.unary_stream(f"/{SERVICE.full_name}/{method}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff" * 50).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info(caught.value).reason == "INVALID_ARGUMENT"
    assert (await scrape_once_counted(server, name, before))[name] == before[name] + 1


@BOTH
async def test_the_callers_request_id_is_used_and_given_back(
    stub: Any, scripted: Scripted, call: Any
) -> None:
    await call(stub, "ok", metadata=(("x-request-id", "mine-1"),))
    assert scripted.seen == ["mine-1"]


@pytest.mark.parametrize("given", ["", "with space", "x" * 65, "a/b"])
async def test_an_unusable_request_id_is_replaced(
    stub: Any, scripted: Scripted, given: str
) -> None:
    await classify(stub, "ok", metadata=(("x-request-id", given),))
    (used,) = scripted.seen
    assert used != given and len(used) == 32


@pytest.mark.parametrize("model", ["ok", "bad", "bug"])
async def test_every_answer_carries_the_request_id(stub: Any, model: str) -> None:
    call = stub.Classify(ClassifyRequest(model=model), metadata=(("x-request-id", "mine-2"),))
    metadata = dict(await call.trailing_metadata())
    assert metadata["x-request-id"] == "mine-2"


async def test_series_exist_before_the_first_call(server: Server) -> None:
    samples = await scrape(server)
    for method in ("GetCapabilities", "Classify", "PlanExplain", "Explain"):
        assert series("started_total", method) in samples
        assert series("handling_seconds_count", method) in samples
        for code in ("OK", "InvalidArgument", "DeadlineExceeded", "Internal", "Unavailable"):
            assert series("handled_total", method, code) in samples


@BOTH
@pytest.mark.parametrize(
    ("model", "reason"), [("bad", "INVALID_ARGUMENT"), ("bug", "INTERNAL"), ("ok", None)]
)
async def test_errors_are_counted_by_their_reason(
    stub: Any, server: Server, call: Any, model: str, reason: str | None
) -> None:
    method = "Classify" if call is classify else "Explain"
    before = await scrape(server)
    counted = {name for name in before if "pellucid_errors_total" in name and method in name}
    assert any("QUEUE_FULL" in name for name in counted)
    with suppress(grpc.aio.AioRpcError):
        await call(stub, model)
    ended = {"bad": "InvalidArgument", "bug": "Internal", "ok": "OK"}[model]
    after = await scrape_once_counted(server, series("handled_total", method, ended), before)
    grown = {name for name in counted if after[name] > before[name]}
    assert len(grown) == (reason is not None)
    assert all(f'reason="{reason}"' in name for name in grown)


async def test_a_blocked_event_loop_is_seen(server: Server) -> None:
    slow = 'pellucid_event_loop_lag_seconds_bucket{le="0.1"}'
    every = "pellucid_event_loop_lag_seconds_count"
    before = await scrape(server)
    time.sleep(0.8)
    after = await scrape_once_counted(server, every, before)
    assert after[every] - before[every] > after[slow] - before[slow]


async def test_the_versions_that_run_are_named(server: Server) -> None:
    (name,) = [name for name in await scrape(server) if name.startswith("pellucid_build_info")]
    assert f'version="{metadata.version("pellucid")}"' in name


@pytest.mark.parametrize(
    ("model", "code", "sent"),
    [("ok", "OK", 2), ("bad", "InvalidArgument", 1), ("bug", "Internal", 1)],
)
async def test_streams_are_counted_by_how_they_end(
    stub: Any, server: Server, model: str, code: str, sent: int
) -> None:
    before = await scrape(server)
    try:
        await explain(stub, model)
    except grpc.aio.AioRpcError as error:
        assert model != "ok", error
    handled = series("handled_total", "Explain", code)
    after = await scrape_once_counted(server, handled, before)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown[series("started_total", "Explain")] == 1
    assert grown[series("msg_received_total", "Explain")] == 1
    assert grown[series("msg_sent_total", "Explain")] == sent
    assert grown[handled] == 1
    assert grown[series("handling_seconds_count", "Explain")] == 1


@pytest.mark.parametrize(("method", "call"), [("Classify", classify), ("Explain", explain)])
async def test_time_that_is_up_is_counted_as_such(
    stub: Any, server: Server, method: str, call: Any
) -> None:
    name = series("handled_total", method, "DeadlineExceeded")
    before = await scrape(server)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, "slow", timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await scrape_once_counted(server, name, before))[name] == before[name] + 1


async def test_a_cancelled_stream_lets_go_of_what_it_holds(
    stub: Any, server: Server, scripted: Scripted
) -> None:
    name = series("handled_total", "Explain", "Canceled")
    before = await scrape(server)
    call = stub.Explain(ExplainRequest(model="slow"))
    await call.read()
    await scripted.started.wait()
    call.cancel()
    await asyncio.wait_for(scripted.released.wait(), 2)
    assert (await scrape_once_counted(server, name, before))[name] == before[name] + 1


async def test_an_unread_stream_lets_go_of_what_it_holds(stub: Any, scripted: Scripted) -> None:
    call = stub.Explain(ExplainRequest(model="slow"))
    await scripted.started.wait()
    call.cancel()
    await asyncio.wait_for(scripted.released.wait(), 2)


async def test_a_deadline_of_a_millisecond_logs_no_error(
    stub: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(30):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await classify(stub, "bad", timeout=0.001)
        assert caught.value.code() in {
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.INVALID_ARGUMENT,
        }
    await asyncio.sleep(0.1)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@BOTH
@pytest.mark.parametrize("model", ["ok", "bad"])
async def test_what_a_call_worked_on_is_freed_without_the_garbage_collector(
    stub: Any, scripted: Scripted, call: Any, model: str
) -> None:
    gc.disable()
    try:
        with suppress(grpc.aio.AioRpcError):
            await call(stub, model)
        await asyncio.sleep(0.05)
        assert scripted.load is not None
        assert scripted.load() is None
    finally:
        gc.enable()


async def test_a_call_leaves_one_line_of_json(stub: Any, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure("scripted", "INFO")
        with pytest.raises(grpc.aio.AioRpcError):
            await explain(stub, "bad", metadata=(("x-request-id", "mine-3"),))
        await asyncio.sleep(0.05)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (line,) = [line for line in lines if line["message"] == "call"]
    assert line["service"] == "scripted"
    assert line["request_id"] == "mine-3"
    assert line["grpc_method"].endswith("/Explain")
    assert (line["grpc_code"], line["reason"]) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert line["seconds"] >= 0
