"""The real service on a loopback port, spoken to over gRPC."""

import asyncio
import socket
import threading
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
from preprocess_service import answers, display, metrics, pipeline, sniffing, warmup
from preprocess_service.media import Preprocessed
from preprocess_service.preprocessor import Preprocessor
from preprocess_service.servicer import PreprocessServicer
from preprocess_service.settings import PreprocessSettings
from tests.unit.preprocess.files import (
    image_contract,
    pixels,
    png,
    smooth_jpeg,
    sound,
    sound_contract,
    tone,
)

SERVICE = preprocess_pb2.DESCRIPTOR.services_by_name["PreprocessService"]
ANSWER_S = 30.0


class Service(NamedTuple):
    """A running service and what talks to it."""

    stub: Any
    health: Any
    server: Server
    preprocessor: Preprocessor

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
async def running(**changes: Any) -> AsyncIterator[Service]:
    settings = PreprocessSettings(**changes)
    async with AsyncExitStack() as stack:
        preprocessor = await stack.enter_async_context(Preprocessor(settings))
        servicer = PreprocessServicer(preprocessor, settings)

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
            preprocessor,
        )


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as found:
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


async def test_an_answer_without_pictures_may_have_more_windows():
    async with running(max_message_bytes=1 << 20) as service:
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
    of_the_queue = {"max_waiting", "max_concurrent_rpcs", "max_deadline_s"}
    settable = {name for name in PreprocessSettings.model_fields if name.startswith("max_")}
    assert settable - of_the_queue == {name for name in told if name.startswith("max_")}


@pytest.mark.parametrize(
    ("content", "contract"),
    [
        (png(pixels()), image_contract(height=600, width=600)),
        (sound(tone(5.0)), sound_contract(hop_seconds=0.01)),
    ],
    ids=["picture", "recording"],
)
async def test_an_answer_beyond_the_message_is_refused_by_name(content: bytes, contract: Any):
    async with running(max_message_bytes=1 << 20) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(content, contract)
    error = from_rpc_error(caught.value, "preprocess service")
    assert type(error) is MediaLimitExceeded
    assert error.metadata["limit"] == "max_message_bytes"


async def test_the_answer_that_just_fits_is_sent():
    """Tensors of noise: what is foreseen for the pictures must be enough."""
    noise = np.random.default_rng(7).uniform(-1, 1, 16_000)
    contract = sound_contract(hop_seconds=0.0125, n_mels=8)
    async with running(max_message_bytes=1 << 20) as service:
        for content, wanted in (
            (sound(noise), contract),
            (png(pixels(400, 500)), image_contract(height=400, width=500)),
        ):
            response = await service.read(content, wanted)
            foreseen = answers._FACTS_BYTES + len(response.windows) * answers._window_bytes(
                wanted, True
            )
            assert response.ByteSize() <= foreseen <= 1 << 20


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


async def test_a_bad_contract_is_named_by_its_field(service: Service):
    request = preprocess_pb2.PreprocessRequest(content=png(pixels()))
    request.contract.image.height = 5000
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Preprocess(request, timeout=ANSWER_S)
    error = from_rpc_error(caught.value, "preprocess service")
    assert type(error) is InvalidArgument
    assert error.field.startswith("contract.image.")


class Gate:
    """Stands in for the work: it takes as long as the test wants, and counts what was started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.started, self.stopped = threading.Event(), 0, 0
        self._work = pipeline.preprocess
        monkeypatch.setattr(pipeline, "preprocess", self._wait)

    def _wait(self, *arguments: Any, **options: Any) -> Preprocessed:
        self.started += 1
        self.open.wait(ANSWER_S)
        try:
            return self._work(*arguments, **options)
        except BaseException:
            self.stopped += 1
            raise


async def until(condition: Any) -> None:
    async with asyncio.timeout(ANSWER_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_one_file_more_than_may_wait_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch):
    gate = Gate(monkeypatch)
    async with running(workers=1, max_waiting=1) as service:
        calls = [
            asyncio.ensure_future(service.read(png(pixels()), image_contract())) for _ in range(2)
        ]
        await until(lambda: service.preprocessor._admitted == 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(png(pixels()), image_contract())
        error = from_rpc_error(caught.value, "preprocess service")
        assert type(error) is QueueFull
        assert error.retry_after_s == 1.0
        gate.open.set()
        assert all(len(response.windows) == 1 for response in await asyncio.gather(*calls))


async def test_a_file_that_nobody_waits_for_is_dropped(monkeypatch: pytest.MonkeyPatch):
    gate = Gate(monkeypatch)
    async with running(workers=1) as service:
        calls = [
            asyncio.ensure_future(service.read(png(pixels()), image_contract())) for _ in range(3)
        ]
        await until(lambda: gate.started == 1 and service.preprocessor._admitted == 3)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0.2)  # the cancellation travels
        gate.open.set()
        await until(lambda: service.preprocessor._admitted == 0)
        assert gate.started == 1  # the two that waited were never begun
        assert gate.stopped == 1  # and the first stopped at its next checkpoint
        assert len((await service.read(png(pixels()), image_contract())).windows) == 1


async def test_pictures_are_drawn_in_turn_and_only_while_somebody_waits(
    monkeypatch: pytest.MonkeyPatch,
):
    drawn, draw, go_on = [], display.spectrogram_png, threading.Event()

    def held(*arguments: Any) -> bytes:
        drawn.append(threading.current_thread().name)
        go_on.wait(ANSWER_S)
        return draw(*arguments)

    monkeypatch.setattr(display, "spectrogram_png", held)
    async with running(workers=1) as service:
        call = asyncio.ensure_future(service.read(sound(tone(1.0)), sound_contract()))
        await until(lambda: drawn)
        assert service.preprocessor._admitted == 1  # drawing holds the worker
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(0.2)  # the cancellation travels
        go_on.set()
        await until(lambda: service.preprocessor._admitted == 0)
    assert len(drawn) == 1  # of three windows
    assert drawn[0].startswith("preprocess")


async def test_time_that_runs_out_says_so(monkeypatch: pytest.MonkeyPatch):
    gate = Gate(monkeypatch)
    async with running(max_deadline_s=0.2) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.read(png(pixels()), image_contract())
        gate.open.set()
    assert type(from_rpc_error(caught.value, "preprocess service")) is DeadlineTooShort


async def test_it_is_ready_only_once_it_is_warm(service: Service):
    asked = health_pb2.HealthCheckRequest(service=SERVICE.full_name)
    before = await service.health.Check(asked, timeout=ANSWER_S)
    assert before.status == health_pb2.HealthCheckResponse.NOT_SERVING
    await asyncio.to_thread(warmup.warm_up)
    await service.server.ready()
    after = await service.health.Check(asked, timeout=ANSWER_S)
    assert after.status == health_pb2.HealthCheckResponse.SERVING


def test_each_kind_is_warmed_up_and_none_is_counted(monkeypatch: pytest.MonkeyPatch):
    read, work = [], pipeline.preprocess

    def watched(*arguments: Any, **options: Any) -> Preprocessed:
        result = work(*arguments, **options)
        read.append(result.media_type)
        return result

    def counted() -> float:
        (family,) = metrics.SECONDS.collect()
        return sum(sample.value for sample in family.samples if sample.name.endswith("_count"))

    before = counted()
    monkeypatch.setattr(pipeline, "preprocess", watched)
    warmup.warm_up()
    assert sorted(read) == sorted(sum(sniffing.ACCEPTED.values(), ()))
    assert counted() == before


def test_the_warm_up_does_not_depend_on_the_limits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREPROCESS_MAX_PIXELS", "1")
    monkeypatch.setenv("PREPROCESS_MAX_AUDIO_SECONDS", "0.01")
    warmup.warm_up()


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
        env={**os.environ, "PREPROCESS_PORT": str(port), "PYTHONPATH": os.getcwd()},
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
