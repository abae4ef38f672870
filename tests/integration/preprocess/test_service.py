"""The real service on a loopback port, spoken to over gRPC."""

import asyncio
import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pellucid import tensors
from pellucid.api.preprocess.v1 import preprocess_pb2, preprocess_pb2_grpc
from pellucid.contracts import ImageContract, LogMelContract
from pellucid.errors import (
    DeadlineTooShort,
    InvalidArgument,
    MediaLimitExceeded,
    QueueFull,
    UnreadableMedia,
    UnsupportedMedia,
)
from pellucid.serving.server import Server
from pellucid.status import from_rpc_error
from preprocess_service import response_limits
from preprocess_service.decoding_pool import DecodingPool
from preprocess_service.fork_server import ForkServer
from preprocess_service.preprocessor import Preprocessor
from preprocess_service.servicer import PreprocessServicer
from preprocess_service.settings import PreprocessSettings
from tests.unit.preprocess.commanded_worker import BUG, CRASH, HANG
from tests.unit.preprocess.files import (
    image_contract,
    pixels,
    png,
    smooth_jpeg,
    sound,
    sound_contract,
    tone,
)
from tests.unit.preprocess.workers import until

SERVICE = preprocess_pb2.DESCRIPTOR.services_by_name["PreprocessService"]
ANSWER_S = 30.0


class Service(NamedTuple):
    """A running service and what talks to it."""

    stub: Any
    health: Any
    server: Server
    pool: DecodingPool

    async def read(
        self,
        content: bytes,
        contract: ImageContract | LogMelContract,
        timeout: float = ANSWER_S,
        **fields: Any,
    ) -> preprocess_pb2.PreprocessResponse:
        request = preprocess_pb2.PreprocessRequest(
            content=content, contract=contract.to_message(), **fields
        )
        response = await self.stub.Preprocess(request, timeout=timeout)
        assert isinstance(response, preprocess_pb2.PreprocessResponse)
        return response


@asynccontextmanager
async def running(
    fork_server: ForkServer, *, start: bool = True, **changes: Any
) -> AsyncIterator[Service]:
    settings = PreprocessSettings(**changes)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(DecodingPool(settings, fork_server))
        if start:
            await pool.start()
        servicer = PreprocessServicer(Preprocessor(settings, pool), settings)

        def register(server: grpc.aio.Server) -> None:
            preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server(servicer, server)

        server = await stack.enter_async_context(Server(settings, SERVICE, register))
        limits = [
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
        ]
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", limits)
        )
        yield Service(
            preprocess_pb2_grpc.PreprocessServiceStub(channel),
            health_pb2_grpc.HealthStub(channel),
            server,
            pool,
        )


@pytest.fixture
async def service(fork_server: ForkServer) -> AsyncIterator[Service]:
    async with running(fork_server) as found:
        yield found


async def test_a_picture_comes_back_as_one_window(service: Service):
    values = pixels()
    response = await service.read(png(values), image_contract())
    (window,) = response.windows
    tensor = tensors.decode(window.tensor, "tensor")
    np.testing.assert_array_equal(tensor[0], values.astype(np.float32) / np.float32(255))
    assert window.digest == tensors.digest(tensor)
    assert (window.to_original.a, window.to_original.e) == (1, 1)
    assert response.facts.media_type == "image/png"
    assert (response.facts.image.width, response.facts.image.height) == (32, 24)
    assert not window.HasField("axes")


async def test_a_recording_comes_back_as_windows_with_axes(service: Service):
    response = await service.read(sound(tone(1.0), "FLAC"), sound_contract())
    assert [window.start_seconds for window in response.windows] == [0, 0.25, 0.5]
    axes = response.windows[1].axes
    assert (len(axes.frequency_hz), len(axes.time_seconds)) == (40, 51)
    assert axes.time_seconds[0] == 0.25
    assert response.facts.audio.sample_rate_hz == 16_000


@pytest.mark.parametrize(
    ("content", "contract"), [(png(pixels()), image_contract()), (sound(tone()), sound_contract())]
)
async def test_a_caller_may_do_without_the_pictures(
    service: Service, content: bytes, contract: Any
):
    with_them = await service.read(content, contract)
    without = await service.read(content, contract, without_display=True)
    assert all(window.display_png.startswith(b"\x89PNG") for window in with_them.windows)
    assert not any(window.display_png for window in without.windows)
    for window in with_them.windows:
        window.ClearField("display_png")
    assert without == with_them


async def test_a_response_without_pictures_may_have_more_windows(fork_server: ForkServer):
    async with running(fork_server, max_message_bytes=1 << 20) as service:
        content, contract = png(pixels()), image_contract(height=480, width=500)
        with pytest.raises(grpc.aio.AioRpcError):
            await service.read(content, contract)
        assert await service.read(content, contract, without_display=True)


async def test_limits_are_told(service: Service):
    limits = await service.stub.GetLimits(preprocess_pb2.GetLimitsRequest(), timeout=ANSWER_S)
    assert limits.max_content_bytes == 32 << 20
    assert limits.max_pixels == 1 << 26
    assert limits.max_audio_seconds == 300
    assert limits.max_audio_samples == 1 << 26
    assert limits.max_inflated_bytes == 256 << 20
    assert limits.max_windows == 512
    assert limits.max_tensor_bytes == 80 << 20
    assert limits.max_message_bytes == 128 << 20
    assert "application/dicom" in limits.image_media_types
    assert "audio/ogg" in limits.audio_media_types


async def test_every_limit_of_a_file_that_can_be_set_is_told(service: Service):
    limits = await service.stub.GetLimits(preprocess_pb2.GetLimitsRequest(), timeout=ANSWER_S)
    told = {field.name for field in limits.DESCRIPTOR.fields}
    of_calls = {"max_waiting", "max_concurrent_rpcs", "max_deadline_s", "max_connection_age_s"}
    of_calls |= {"max_request_bytes", "max_parameter_bytes"}
    settable = {name for name in PreprocessSettings.model_fields if name.startswith("max_")}
    assert settable - of_calls == {name for name in told if name.startswith("max_")}


@pytest.mark.parametrize(
    ("content", "contract"),
    [
        (png(pixels()), image_contract(height=600, width=600)),
        (sound(tone(5.0)), sound_contract(hop_seconds=0.01)),
    ],
    ids=["picture", "recording"],
)
async def test_a_response_beyond_the_message_is_refused_by_name(
    fork_server: ForkServer, content: bytes, contract: Any
):
    async with running(fork_server, max_message_bytes=1 << 20) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(content, contract)
    error = from_rpc_error(caught.value, "preprocess service")
    assert type(error) is MediaLimitExceeded
    assert error.metadata["limit"] == "max_message_bytes"


async def test_the_response_that_just_fits_is_sent(fork_server: ForkServer):
    """Tensors of noise: what is foreseen for the pictures must be enough."""
    noise = np.random.default_rng(7).uniform(-1, 1, 16_000)
    contract = sound_contract(hop_seconds=0.0125, n_mels=8)
    async with running(fork_server, max_message_bytes=1 << 20) as service:
        for content, wanted in (
            (sound(noise), contract),
            (png(pixels(400, 500)), image_contract(height=400, width=500)),
        ):
            response = await service.read(content, wanted)
            foreseen = len(response.windows) * response_limits.window_bytes(wanted, True)
            assert response.ByteSize() <= foreseen + 1024 <= 1 << 20


@pytest.mark.parametrize(
    ("content", "contract", "kind"),
    [
        (b"", image_contract(), UnreadableMedia),
        (smooth_jpeg()[:-300], image_contract(), UnreadableMedia),
        (b"plain text", image_contract(), UnsupportedMedia),
        (png(pixels()), sound_contract(), UnsupportedMedia),
        (bytes(100 << 20), image_contract(), MediaLimitExceeded),
    ],
    ids=["empty", "cut", "text", "picture for sound", "100 MB"],
)
async def test_a_bad_file_gets_its_reason_and_the_next_one_works(
    service: Service, content: bytes, contract: Any, kind: type[InvalidArgument]
):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.read(content, contract)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    error = from_rpc_error(caught.value, "preprocess service")
    assert type(error) is kind
    assert error.field == "content"
    assert error.remedy
    assert len((await service.read(png(pixels()), image_contract())).windows) == 1


async def test_a_file_of_too_many_bytes_is_refused_with_both_sizes(fork_server: ForkServer):
    async with running(fork_server, max_content_bytes=100) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(bytes(101), image_contract())
    error = from_rpc_error(caught.value, "preprocess service")
    assert type(error) is MediaLimitExceeded
    assert error.metadata["limit"] == "max_content_bytes"
    assert (error.metadata["maximum"], error.metadata["actual"]) == ("100", "101")


async def test_a_bad_contract_is_named_by_its_field(service: Service):
    request = preprocess_pb2.PreprocessRequest(content=png(pixels()))
    request.contract.image.height = 5000
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Preprocess(request, timeout=ANSWER_S)
    error = from_rpc_error(caught.value, "preprocess service")
    assert type(error) is InvalidArgument
    assert error.field.startswith("contract.image.")


async def test_one_file_more_than_may_wait_is_told_to_come_back(
    commanded_fork_server: ForkServer,
):
    limits = {"workers": 1, "max_waiting": 1}
    async with running(commanded_fork_server, **limits) as service:
        hanging = asyncio.ensure_future(service.read(HANG, image_contract()))
        await until(lambda: service.pool.load == 1)
        waiting = asyncio.ensure_future(service.read(png(pixels()), image_contract()))
        await until(lambda: service.pool.load == 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(png(pixels()), image_contract())
        error = from_rpc_error(caught.value, "preprocess service")
        assert type(error) is QueueFull
        assert error.retry_after_s == 1.0
        hanging.cancel()
        assert len((await waiting).windows) == 1


async def test_cancelled_files_free_their_worker(commanded_fork_server: ForkServer):
    async with running(commanded_fork_server, workers=1) as service:
        calls = [asyncio.ensure_future(service.read(HANG, image_contract())) for _ in range(3)]
        await until(lambda: service.pool.load == 3)
        for call in calls:
            call.cancel()
        await until(lambda: service.pool.load == 0)
        assert len((await service.read(png(pixels()), image_contract())).windows) == 1


async def test_time_that_runs_out_says_so(commanded_fork_server: ForkServer):
    async with running(commanded_fork_server, max_deadline_s=0.2) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(HANG, image_contract())
        assert type(from_rpc_error(caught.value, "preprocess service")) is DeadlineTooShort
        await until(lambda: service.pool.load == 0)


async def test_a_file_that_crashes_its_decoder_is_unreadable_and_the_next_one_works(
    commanded_fork_server: ForkServer,
):
    async with running(commanded_fork_server) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(CRASH, image_contract())
        assert type(from_rpc_error(caught.value, "preprocess service")) is UnreadableMedia
        assert len((await service.read(png(pixels()), image_contract())).windows) == 1


async def test_a_bug_is_internal_and_says_nothing_of_its_inside(
    commanded_fork_server: ForkServer,
):
    async with running(commanded_fork_server) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(BUG, image_contract())
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert "ZeroDivision" not in str(caught.value.details())


async def test_it_is_ready_only_once_its_workers_are_warm(fork_server: ForkServer):
    asked = health_pb2.HealthCheckRequest(service=SERVICE.full_name)
    async with running(fork_server, start=False) as service:
        before = await service.health.Check(asked, timeout=ANSWER_S)
        assert before.status == health_pb2.HealthCheckResponse.NOT_SERVING
        await service.pool.start()
        await service.server.ready()
        after = await service.health.Check(asked, timeout=ANSWER_S)
        assert after.status == health_pb2.HealthCheckResponse.SERVING


async def test_what_was_read_and_refused_is_counted(service: Service):
    def scrape() -> dict[str, float]:
        url = f"http://127.0.0.1:{service.server.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=ANSWER_S) as page:
            lines = page.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    read = 'pellucid_preprocess_seconds_count{media_type="image/png"}'
    refused = 'pellucid_preprocess_rejected_total{reason="UNREADABLE_MEDIA"}'
    await service.read(png(pixels()), image_contract())
    with pytest.raises(grpc.aio.AioRpcError):
        await service.read(b"", image_contract())
    before = await asyncio.to_thread(scrape)
    await service.read(png(pixels()), image_contract())
    with pytest.raises(grpc.aio.AioRpcError):
        await service.read(b"", image_contract())
    after = await asyncio.to_thread(scrape)
    assert after[read] == before[read] + 1
    assert after[refused] == before[refused] + 1


async def test_the_process_starts_answers_and_stops_on_sigterm():
    import os
    import signal
    import sys

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "preprocess_service",
        env={**os.environ, "PELLUCID_PREPROCESS_PORT": str(port), "PYTHONPATH": os.getcwd()},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest(service=SERVICE.full_name)
            async with asyncio.timeout(90):
                while True:
                    answer = await health.Check(asked, wait_for_ready=True)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        break
                    await asyncio.sleep(0.05)
            stub: Any = preprocess_pb2_grpc.PreprocessServiceStub(channel)
            request = preprocess_pb2.PreprocessRequest(
                content=png(pixels()), contract=image_contract().to_message()
            )
            assert len((await stub.Preprocess(request, timeout=ANSWER_S)).windows) == 1
    finally:
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert b'"message": "stopped"' in logged
    assert b"Traceback" not in logged


async def test_the_process_stops_on_sigterm_before_its_decoders_are_warm():
    import signal
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "preprocess_service", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            assert b'"message": "listening"' in await process.stderr.readline()
            await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        logged = await asyncio.wait_for(process.stderr.read(), 30)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    assert b'"message": "stopped"' in logged
    assert b'"message": "ready"' not in logged
    assert b"Traceback" not in logged
