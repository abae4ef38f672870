"""Explain and PlanExplain: what is checked first, what is passed on, what is let go."""

import asyncio
from typing import Any

import grpc
import pytest

from pellucid.api.explain.v1.methods_pb2 import (
    SCORE_SPACE_PROBABILITY,
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


async def test_the_prediction_comes_first_and_all_else_is_passed_on(stage: Stage) -> None:
    kinds = [event.WhichOneof("event") for event in await events(stage, ask())]
    assert kinds == ["prediction", "progress", "partial", "explanation", "comparison"]


async def test_the_prediction_waits_for_no_explanation(stage: Stage) -> None:
    stage.explain.hangs = True
    call = stage.stub.Explain(ask())
    first = await asyncio.wait_for(call.read(), 5)
    assert first.WhichOneof("event") == "prediction"
    call.cancel()


async def test_the_window_is_told_without_its_tensor(stage: Stage) -> None:
    explained = (await events(stage, ask()))[0].prediction
    assert explained.window.digest == explained.prediction.windows[0].input_digest
    assert not explained.window.HasField("tensor")


async def test_all_available_methods_are_the_default(stage: Stage) -> None:
    await events(stage, ask())
    (request,) = stage.explain.asked
    assert [method.WhichOneof("method") for method in request.methods] == ["lime"]


async def test_targets_are_resolved_on_the_overall_scores(stage: Stage) -> None:
    stage.preprocess.windows = [(0, 5, 0), (6, 0, 0), (0, 5, 0)]  # overall: grey
    explained = (await events(stage, ask()))[0].prediction
    assert [target.label for target in explained.targets] == ["grey"]
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


async def test_scores_are_told_on_the_scale_that_is_explained(stage: Stage) -> None:
    logit = (await events(stage, ask()))[0].prediction.targets[0]
    options = ExplainOptions(score_space=SCORE_SPACE_PROBABILITY)
    probability = (await events(stage, ask(options=options)))[0].prediction.targets[0]
    assert (logit.score, probability.score) == pytest.approx((2, 0.6652), abs=1e-4)
    assert not logit.HasField("baseline_score")


@pytest.mark.parametrize(
    ("request_", "kind", "field"),
    [
        (ask(content=b""), UnreadableMedia, "content"),
        (ask(methods=[LIME] * 17), InvalidArgument, "methods"),
        (ask(methods=[LIME, Method()]), InvalidArgument, "methods[1]"),
        (ask(methods=[LIME, Method(grad_cam=GradCam()), LIME]), InvalidArgument, "methods[2]"),
        (
            ask(options=ExplainOptions(targets=[Target(label="loud")])),
            UnknownLabel,
            "options.targets[0].label",
        ),
    ],
    ids=["empty file", "too many", "empty method", "twice", "unknown label"],
)
async def test_what_is_wrong_is_refused_before_anything_is_paid(
    stage: Stage, request_: ExplainRequest, kind: type, field: str
) -> None:
    error = await refused(stage, request_)
    assert (type(error), error.field) == (kind, field)
    assert error.remedy
    assert (stage.explain.planned, stage.preprocess.calls, stage.models.inferred) == ([], [], 0)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("0", field="methods[0].lime.samples", remedy="10 to 10000"),
        MethodUnavailable("no copy", field="methods[0]", remedy="choose another"),
    ],
    ids=["parameter", "method"],
)
async def test_what_the_explain_service_refuses_is_refused_before_the_file_is_read(
    stage: Stage, error: Any
) -> None:
    stage.explain.fails_plan = error
    assert vars(await refused(stage, ask(methods=[LIME]))) == vars(error)
    assert (stage.preprocess.calls, stage.models.inferred) == ([], 0)


async def test_a_window_that_is_not_there_is_refused(stage: Stage) -> None:
    error = await refused(stage, ask(window=1))
    assert (type(error), error.field) == (InvalidArgument, "window")
    assert error.remedy == "choose 0 to 0"


async def test_maps_of_another_tensor_are_never_passed_on(stage: Stage) -> None:
    stage.explain.lies_about_input = True
    seen = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in stage.stub.Explain(ask()):
            seen.append(event.WhichOneof("event"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert seen == ["prediction"]


async def test_a_client_that_goes_stops_the_explanation(stage: Stage) -> None:
    stage.explain.hangs = True
    call = stage.stub.Explain(ask())
    await call.read()
    await stage.explain.started.wait()
    call.cancel()
    await asyncio.wait_for(stage.explain.let_go.wait(), 2)


async def test_an_explain_service_that_dies_meanwhile_is_named(stage: Stage) -> None:
    stage.explain.hangs = True
    call = stage.stub.Explain(ask())
    await call.read()
    await stage.explain.started.wait()
    await stage.explain_server.stop(None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    error = refusal(caught.value)
    assert type(error) is BackendUnavailable
    assert error.metadata["peer"] == "explain service"


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
    plan = await stage.stub.PlanExplain(PlanExplainRequest(model="shade"))
    assert [method.method for method in plan.methods] == ["lime"]
    assert not plan.HasField("seconds")
