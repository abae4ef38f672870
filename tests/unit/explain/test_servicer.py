"""The service over gRPC, in front of a Triton that does what a test says."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from explain_service.__main__ import serve
from explain_service.methods import METHODS
from explain_service.methods.base import Backends
from explain_service.planner import Planner
from explain_service.resolution import Dependencies
from explain_service.servicer import ExplainServicer
from explain_service.settings import ExplainSettings
from pellucid import tensors
from pellucid.api.explain.v1 import explain_pb2, explain_pb2_grpc
from pellucid.api.explain.v1 import methods_pb2 as pb
from pellucid.errors import InvalidArgument, ModelChanged, UnknownModel
from pellucid.serving import request_id
from pellucid.serving.deadline import Shutdown
from pellucid.serving.served_model import ServedModel
from tests.support.cards import GREY, LAYERED, served
from tests.support.explain_client import explain, explain_until_error, refused
from tests.support.fake_triton import FakeTriton

SERVICE = "pellucid.api.explain.v1.ExplainService"
LIME = pb.Method(lime=pb.Lime(samples=50))
OCCLUSION = pb.Method(occlusion=pb.Occlusion())


class OneModel:
    """A catalogue of one model."""

    async def get(self, name: str) -> ServedModel:
        return served(LAYERED)


class WatchedCopies:
    """Says on which thread, and for which request, it was asked whether there is a copy."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []

    def unavailable(self, model: Any) -> str:
        self.asked.append((threading.get_ident(), request_id.current()))
        return ""


async def test_the_digest_of_a_copy_is_not_taken_on_the_event_loop() -> None:
    copies = WatchedCopies()
    catalogue: Any = OneModel()
    calls: Any = None
    engine: Any = None
    context: Any = None
    backends = Backends(calls, copies)  # type: ignore[arg-type]
    dependencies = Dependencies(backends, Planner(24), finish_s=1.0, partial_every_s=2.0)
    servicer = ExplainServicer(
        catalogue, METHODS, dependencies, engine, ExplainSettings(), Shutdown()
    )
    mine = request_id.adopt((("x-request-id", "follow-me"),))
    asked = explain_pb2.PlanRequest(model="model", methods=[pb.Method(grad_cam=pb.GradCam())])
    assert (await servicer.Plan(asked, context)).methods[0].model_calls == 1
    ((thread, request),) = copies.asked
    assert thread != threading.get_ident()
    assert request == mine


@pytest.fixture
async def stub(triton: FakeTriton, tmp_path: Path) -> AsyncIterator[Any]:
    """A client of a whole service, which looks for models once a minute."""
    triton.card = GREY
    settings = ExplainSettings(
        triton_url=triton.url, model_repository=tmp_path, catalogue_interval_s=60, drain_s=0
    )
    async with (
        serve(settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60)
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                watch.cancel()  # else the server waits for it when it stops
                break
        yield explain_pb2_grpc.ExplainServiceStub(channel)  # type: ignore[no-untyped-call]
        triton.speak()


def asked(*methods: pb.Method, model: str = "model", **options: Any) -> explain_pb2.ExplainRequest:
    return explain_pb2.ExplainRequest(
        model=model,
        input=tensors.encode(np.zeros(GREY.preprocess.shape, np.float32)),
        methods=methods or [LIME],
        options=pb.ExplainOptions(segmentation=pb.Segmentation(grid=pb.Grid()), **options),
    )


async def test_explaining_asks_triton_nothing_but_inferences(stub: Any, triton: FakeTriton) -> None:
    before = triton.metadata_calls
    for _ in range(3):
        assert (await explain(stub, asked(LIME, OCCLUSION))).comparison.agreements
        await stub.Plan(explain_pb2.PlanRequest(model="model", methods=[LIME]))
        await stub.ListMethods(explain_pb2.ListMethodsRequest())
    assert triton.metadata_calls == before
    assert all(triton.rows)


async def test_a_stream_says_first_that_it_was_accepted(stub: Any) -> None:
    answer = await explain(stub, asked(LIME, OCCLUSION))
    assert answer.kinds[:2] == ["accepted", "targets"]
    assert answer.kinds[-1] == "comparison"
    assert [one.title for one in answer.explanations] == ["LIME", "Occlusion"]


@pytest.mark.parametrize(
    ("request_", "kind", "field"),
    [
        (asked(model="nothing"), UnknownModel, "model"),
        (asked(pb.Method(lime=pb.Lime(samples=3))), InvalidArgument, "methods[0].lime.samples"),
    ],
    ids=["model", "parameter"],
)
async def test_what_is_wrong_is_said_instead_of_an_acceptance(
    stub: Any, request_: explain_pb2.ExplainRequest, kind: type[Exception], field: str
) -> None:
    error = await refused(stub, request_)
    assert type(error) is kind
    assert error.field == field


async def test_another_version_than_was_classified_is_not_explained(stub: Any) -> None:
    request_ = asked(LIME)
    request_.model_version = "7"
    error = await refused(stub, request_)
    assert isinstance(error, ModelChanged)
    assert error.retry_after_s


async def test_a_version_that_the_snapshot_does_not_have_yet_is_explained(
    stub: Any, triton: FakeTriton
) -> None:
    triton.version = "2"
    request_ = asked(LIME)
    request_.model_version = "2"
    answer = await explain(stub, request_)
    assert {one.receipt.model_version for one in answer.explanations} == {"2"}


async def test_a_client_that_goes_away_cancels_what_was_sent(stub: Any, triton: FakeTriton) -> None:
    def fall_silent_in_the_middle(number: int) -> None:
        if number == 2:
            triton.fall_silent()

    triton.at_call = fall_silent_in_the_middle
    call = stub.Explain(asked(OCCLUSION), timeout=60)
    reading = asyncio.create_task(_drain(call))
    await asyncio.to_thread(triton.wait_until, lambda: len(triton.rows) == 4)
    call.cancel()
    await asyncio.to_thread(triton.wait_until, lambda: triton.cancelled == 2)
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(triton.rows) == 4


async def _drain(call: Any) -> None:
    async for _ in call:
        pass


async def test_a_model_that_changes_ends_the_method_and_is_there_for_the_next_request(
    stub: Any, triton: FakeTriton
) -> None:
    def change_in_the_middle(number: int) -> None:
        if number == 3:
            triton.version = "2"

    triton.at_call = change_in_the_middle
    answer, error = await explain_until_error(stub, asked(pb.Method(lime=pb.Lime(samples=500))))
    assert isinstance(error, ModelChanged)
    assert error.retry_after_s
    assert not answer.explanations
    (failure,) = answer.failures
    assert (failure.method, failure.reason) == ("lime", "MODEL_CHANGED")
    assert failure.retriable
    again = await explain(stub, asked())
    assert again.explanations[0].receipt.model_version == "2"


async def test_a_method_that_fails_is_told_of_before_the_maps_that_follow(
    stub: Any, triton: FakeTriton
) -> None:
    unavailable = grpc.StatusCode.UNAVAILABLE
    triton.fails = lambda number, masks: unavailable if masks.shape[1] == 64 else None
    answer, error = await explain_until_error(stub, asked(LIME, OCCLUSION))
    assert [one.method for one in answer.explanations] == ["occlusion"]
    assert answer.kinds.index("failure") < answer.kinds.index("explanation")
    assert answer.failures[0].remedy
    assert error.reason == answer.failures[0].reason == "BACKEND_UNAVAILABLE"
    assert error.metadata["methods"] == "lime"
