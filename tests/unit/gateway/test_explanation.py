"""Explain and PlanExplain: what is checked first, what is passed on, what is let go."""

import asyncio
from typing import Any

import grpc
import pytest

from pellucid.api.explain.v1.methods_pb2 import (
    ExplainOptions,
    GradCam,
    Lime,
    Method,
    Target,
)
from pellucid.api.gateway.v1.gateway_pb2 import ExplainRequest, PlanExplainRequest
from pellucid.errors import (
    BackendUnavailable,
    InvalidArgument,
    MethodUnavailable,
    ModelChanged,
    UnknownLabel,
    UnreadableMedia,
)
from tests.unit.gateway.conftest import Stage
from tests.unit.gateway.refusals import refusal

LIME = Method(lime=Lime())


def ask(**more: Any) -> ExplainRequest:
    return ExplainRequest(**{"model": "shade", "content": b"file", **more})


async def events(stage: Stage, request: ExplainRequest, **options: Any) -> list[Any]:
    return [event async for event in stage.stub.Explain(request, **options)]


async def refused(stage: Stage, request: ExplainRequest) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events(stage, request)
    return refusal(caught.value)


async def broken(stage: Stage) -> tuple[list[str], grpc.aio.AioRpcError]:
    """The events that came before the stream broke, and how it did."""
    seen = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in stage.stub.Explain(ask()):
            seen.append(event.WhichOneof("event"))
    return seen, caught.value


async def test_the_prediction_comes_first_and_all_else_is_passed_on(stage: Stage) -> None:
    found = await events(stage, ask())
    assert [event.WhichOneof("event") for event in found] == [
        "prediction",
        "targets",
        "progress",
        "partial",
        "explanation",
        "failure",
        "comparison",
    ]
    assert found[0].prediction.queue_position == 2
    (target,) = found[1].targets.targets
    assert (target.score, target.baseline_score) == (2, 0.5)
    assert found[5].failure.reason == "BACKEND_UNAVAILABLE"


async def test_the_prediction_waits_until_the_request_is_accepted_and_no_longer(
    stage: Stage,
) -> None:
    stage.explain.hangs = "targets"
    call = stage.stub.Explain(ask())
    first = await asyncio.wait_for(call.read(), 5)
    assert first.WhichOneof("event") == "prediction"
    call.cancel()


async def test_a_request_that_is_not_accepted_in_time_is_retriable(stage: Stage) -> None:
    stage.explain.hangs = "accepted"
    error = await refused(stage, ask())
    assert type(error) is BackendUnavailable
    assert error.metadata["peer"] == "explain service"
    assert error.retry_after_s


async def test_a_warm_explanation_asks_triton_for_one_inference_and_plans_nothing(
    stage: Stage,
) -> None:
    asked = stage.triton.metadata_calls
    await events(stage, ask())
    assert (stage.triton.metadata_calls, stage.triton.calls["ModelInfer"]) == (asked, 1)
    assert stage.explain.planned == []


async def test_the_window_is_told_without_its_tensor(stage: Stage) -> None:
    explained = (await events(stage, ask()))[0].prediction
    assert explained.window.digest == explained.prediction.windows[0].input_digest
    assert not explained.window.HasField("tensor")


async def test_no_method_is_passed_on_as_none(stage: Stage) -> None:
    await events(stage, ask())
    assert list(stage.explain.asked[0].methods) == []


async def test_targets_are_resolved_on_the_overall_scores(stage: Stage) -> None:
    stage.preprocess.windows = [(0, 5, 0), (6, 0, 0), (0, 5, 0)]  # overall: grey
    await events(stage, ask())
    (request,) = stage.explain.asked
    assert [target.index for target in request.options.targets] == [1]
    assert request.options.targets[0].WhichOneof("target") == "index"


async def test_the_window_where_the_first_target_scores_highest_is_explained(
    stage: Stage,
) -> None:
    stage.preprocess.windows = [(0, 0, 1), (0, 0, 3), (0, 0, 2)]
    options = ExplainOptions(targets=[Target(label="bright"), Target(label="dark")])
    explained = (await events(stage, ask(options=options)))[0].prediction
    assert explained.window_index == 1
    assert stage.explain.asked[0].input.data == bytes(8) + b"\0\0\x40\x40"


async def test_the_window_that_is_asked_for_is_explained(stage: Stage) -> None:
    stage.preprocess.windows = [(0, 0, 1), (0, 0, 3)]
    assert (await events(stage, ask(window=0)))[0].prediction.window_index == 0


@pytest.mark.parametrize(
    ("request_", "kind", "field"),
    [
        (ask(content=b""), UnreadableMedia, "content"),
        (ask(methods=[LIME] * 17), InvalidArgument, "methods"),
        (
            ask(options=ExplainOptions(targets=[Target(label="loud")])),
            UnknownLabel,
            "options.targets[0].label",
        ),
    ],
    ids=["empty file", "too many", "unknown label"],
)
async def test_what_is_wrong_is_refused_before_anything_is_paid(
    stage: Stage, request_: ExplainRequest, kind: type, field: str
) -> None:
    error = await refused(stage, request_)
    assert (type(error), error.field) == (kind, field)
    assert error.remedy
    assert (stage.explain.asked, stage.preprocess.calls) == ([], [])
    assert stage.triton.calls["ModelInfer"] == 0


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("0", field="methods[0].lime.samples", remedy="10 to 10000"),
        MethodUnavailable("no copy", field="methods[0]", remedy="choose another"),
    ],
    ids=["parameter", "method"],
)
async def test_what_the_explain_service_refuses_is_refused_in_its_words(
    stage: Stage, error: Any
) -> None:
    stage.explain.fails = error
    assert vars(await refused(stage, ask(methods=[LIME]))) == vars(error)
    request = PlanExplainRequest(model="shade", methods=[LIME])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.stub.PlanExplain(request)
    assert vars(refusal(caught.value)) == vars(error)


async def test_a_window_that_is_not_there_is_refused(stage: Stage) -> None:
    error = await refused(stage, ask(window=1))
    assert (type(error), error.field) == (InvalidArgument, "window")
    assert error.remedy == "choose 0 to 0"


async def test_maps_of_another_tensor_are_never_passed_on(stage: Stage) -> None:
    stage.explain.lies_about_input = True
    seen, error = await broken(stage)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert seen == []


async def test_maps_of_another_version_are_never_passed_on(stage: Stage) -> None:
    stage.explain.version = "2"
    seen, error = await broken(stage)
    assert type(refusal(error)) is ModelChanged
    assert seen == ["prediction", "targets", "progress"]


@pytest.mark.parametrize("before", ["accepted", "targets", "comparison"])
async def test_a_client_that_goes_stops_the_explanation(stage: Stage, before: str) -> None:
    stage.explain.hangs = before
    call = stage.stub.Explain(ask())
    await stage.explain.started.wait()
    call.cancel()
    await asyncio.wait_for(stage.explain.let_go.wait(), 2)


async def test_an_explain_service_that_dies_leaves_what_it_said_and_a_retriable_error(
    stage: Stage,
) -> None:
    stage.explain.hangs = "explanation"
    reading = asyncio.create_task(broken(stage))
    await stage.explain.started.wait()
    await asyncio.sleep(0.1)
    await stage.explain_server.stop(None)
    seen, failed = await reading
    assert seen == ["prediction", "targets", "progress", "partial"]
    error = refusal(failed)
    assert type(error) is BackendUnavailable
    assert error.metadata["peer"] == "explain service"
    assert error.retry_after_s


async def test_time_and_id_go_on_to_the_explain_service(stage: Stage) -> None:
    await events(stage, ask(), timeout=10, metadata=(("x-request-id", "mine"),))
    assert stage.explain.seconds_left is not None
    # gRPC rounds a timeout up to three digits on its way; the default would be a minute.
    assert 5 < stage.explain.seconds_left < 10.5
    assert stage.explain.metadata["x-request-id"] == "mine"


async def test_a_plan_adds_its_methods_up(stage: Stage) -> None:
    request = PlanExplainRequest(model="shade", methods=[LIME, Method(grad_cam=GradCam())])
    plan = await stage.stub.PlanExplain(request)
    assert [method.method for method in plan.methods] == ["lime", "grad_cam"]
    assert (plan.model_calls, plan.bytes_to_triton, plan.seconds) == (20, 200, 1)


async def test_a_plan_with_an_unknown_part_has_no_time(stage: Stage) -> None:
    stage.explain.seconds = None
    plan = await stage.stub.PlanExplain(PlanExplainRequest(model="shade", methods=[LIME]))
    assert [method.method for method in plan.methods] == ["lime"]
    assert not plan.HasField("seconds")
