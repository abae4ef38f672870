"""Classify: what is checked, in which order, and what comes back."""

import math
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.classification import Scores
from gateway.peers import RESERVE_S
from pellucid.api.gateway.v1.gateway_pb2 import ClassifyRequest, ExplainRequest
from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    InvalidArgument,
    MediaLimitExceeded,
    ModelBroken,
    ModelChanged,
    ModelNotReady,
    UnknownModel,
    UnreadableMedia,
)
from tests.unit.gateway.conftest import Stage
from tests.unit.gateway.fakes import LABELS, card
from tests.unit.gateway.refusals import refusal


async def refused(stage: Stage, **request: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.stub.Classify(ClassifyRequest(**request))
    return refusal(caught.value)


async def test_scores_come_in_the_cards_order_with_the_way_they_were_made(stage: Stage) -> None:
    answer = await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"))
    prediction = answer.prediction
    assert [score.label for score in prediction.scores] == list(LABELS)
    assert [score.logit for score in prediction.scores] == [0, 1, 2]
    assert sum(score.score for score in prediction.scores) == pytest.approx(1)
    assert prediction.top_label == "bright"
    assert (prediction.model_version, prediction.precision) == ("1", "float32")
    assert prediction.facts.media_type == "image/png"
    assert len(prediction.windows[0].input_digest) == 64


async def test_the_overall_score_is_the_mean_of_the_windows(stage: Stage) -> None:
    stage.preprocess.windows = [(0, 0, 9), (0, 9, 0), (0, 0, 9)]
    answer = await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"))
    prediction = answer.prediction
    assert [window.start_seconds for window in prediction.windows] == [0, 1, 2]
    for place in range(3):
        scores = [window.scores[place].score for window in prediction.windows]
        assert prediction.scores[place].score == pytest.approx(sum(scores) / 3)
    assert prediction.scores[2].logit == pytest.approx(6)
    assert stage.triton.calls["ModelInfer"] == 1


POINTS = {"balanced": {"bright": 0.9, "dark": 0.01}, "lax": {"bright": 0.2}}


@pytest.mark.parametrize(
    ("asked", "used", "said"),
    [
        ("", "balanced", [True, None, False]),
        ("balanced", "balanced", [True, None, False]),
        ("lax", "lax", [None, None, True]),
    ],
)
async def test_only_labels_with_a_threshold_at_the_operating_point_are_above_or_below_it(
    stage: Stage, asked: str, used: str, said: list[bool | None]
) -> None:
    stage.load(card(operating_points=POINTS))
    request = ClassifyRequest(model="shade", content=b"file", operating_point=asked)
    prediction = (await stage.stub.Classify(request)).prediction
    assert prediction.operating_point == used
    for scores in (prediction.scores, prediction.windows[0].scores):
        assert said == [
            score.above_threshold if score.HasField("above_threshold") else None for score in scores
        ]


async def test_an_operating_point_that_the_model_does_not_have_is_refused(stage: Stage) -> None:
    stage.load(card(operating_points=POINTS))
    error = await refused(stage, model="shade", content=b"file", operating_point="lucky")
    assert (type(error), error.field) == (InvalidArgument, "operating_point")
    assert error.remedy == "choose one of: balanced, lax"
    assert stage.preprocess.calls == []


async def test_each_window_has_raw_and_calibrated_scores_and_their_means_are_the_overall_ones(
    stage: Stage,
) -> None:
    stage.load(card(calibration={"temperature": 3}))
    stage.preprocess.windows = [(0, 0, 9), (0, 9, 0), (0, 0, 9)]
    request = ClassifyRequest(model="shade", content=b"file")
    prediction = (await stage.stub.Classify(request)).prediction
    sure, unsure = 1 / (1 + 2 * math.exp(-9)), 1 / (1 + 2 * math.exp(-3))
    first = prediction.windows[0].scores[2]
    assert (first.score, first.calibrated_score) == pytest.approx((sure, unsure))
    for place in range(3):
        scores = [window.scores[place].calibrated_score for window in prediction.windows]
        assert prediction.scores[place].calibrated_score == pytest.approx(sum(scores) / 3)


async def test_without_a_temperature_there_is_no_calibrated_score(stage: Stage) -> None:
    answer = await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"))
    assert not any(score.HasField("calibrated_score") for score in answer.prediction.scores)


def test_the_spread_of_an_ensemble_is_the_deviation_over_its_members() -> None:
    members = np.array([[[0.2], [0.4]], [[0.6], [1.0]]], np.float32)
    pair = np.zeros((2, 2), np.float32)
    scores = Scores(pair, pair, pair, members)
    assert scores.spread == pytest.approx(np.array([[0.1, 0.1], [0.2, 0.2]]))
    # Of the means of the windows, .4 and .7.
    assert scores.overall.spread == pytest.approx([0.15, 0.15])
    assert np.isnan(Scores(pair, pair, pair, members[:, :0]).overall.spread).all()


async def test_an_empty_file_is_unreadable(stage: Stage) -> None:
    error = await refused(stage, model="shade")
    assert (type(error), error.field) == (UnreadableMedia, "content")
    assert error.remedy
    assert stage.preprocess.calls == []


async def test_a_file_that_is_too_large_is_refused_by_the_name_of_the_limit(stage: Stage) -> None:
    error = await refused(stage, model="shade", content=bytes(1_025))
    assert (type(error), error.field) == (MediaLimitExceeded, "content")
    assert error.metadata == {"limit": "max_content_bytes", "maximum": "1024", "actual": "1025"}
    assert stage.preprocess.calls == []


@pytest.mark.parametrize(("name", "kind"), [("", InvalidArgument), ("nope", UnknownModel)])
async def test_a_model_that_is_not_there_is_answered_with_those_that_are(
    stage: Stage, name: str, kind: type
) -> None:
    error = await refused(stage, model=name, content=b"file")
    assert (type(error), error.field) == (kind, "model")
    assert "shade" in error.remedy
    assert stage.preprocess.calls == []


async def test_what_the_preprocess_service_refuses_is_passed_on(stage: Stage) -> None:
    stage.preprocess.fails = UnreadableMedia("cut off", field="content", remedy="send all of it")
    error = await refused(stage, model="shade", content=b"file")
    assert vars(error) == vars(stage.preprocess.fails)


async def test_a_contract_that_cannot_be_met_is_the_models_fault(stage: Stage) -> None:
    stage.preprocess.fails = InvalidArgument("too wide", field="contract.image.width", remedy="x")
    error = await refused(stage, model="shade", content=b"file")
    assert (type(error), error.field) == (ModelBroken, "model")


async def test_a_model_that_answers_nonsense_is_broken(stage: Stage) -> None:
    stage.preprocess.windows = [(0, float("nan"), 1)]
    error = await refused(stage, model="shade", content=b"file")
    assert type(error) is ModelBroken


async def test_a_warm_classification_asks_triton_nothing_but_for_the_inference(
    stage: Stage,
) -> None:
    asked = stage.triton.metadata_calls
    for _ in range(3):
        await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"))
    assert (stage.triton.metadata_calls, stage.triton.calls["ModelInfer"]) == (asked, 3)


async def test_a_bug_behind_the_gateway_is_internal(stage: Stage) -> None:
    stage.preprocess.fails = ValueError("secret")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value)


async def test_a_service_that_is_gone_is_named(stage: Stage) -> None:
    await stage.preprocess_server.stop(None)
    error = await refused(stage, model="shade", content=b"file")
    assert type(error) is BackendUnavailable
    assert error.metadata["peer"] == "preprocess service"
    assert error.retry_after_s


async def test_the_callers_time_shrinks_on_the_way(stage: Stage) -> None:
    await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"), timeout=0.9)
    assert stage.preprocess.seconds_left is not None
    # Below a second, gRPC carries milliseconds.
    assert 0 < stage.preprocess.seconds_left < 0.9 - RESERVE_S / 2


async def test_no_time_is_a_clean_refusal(stage: Stage) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"), timeout=0.015)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    if caught.value.trailing_metadata():
        assert type(refusal(caught.value)) is DeadlineTooShort
    assert stage.preprocess.calls == []


async def test_the_request_id_goes_on(stage: Stage) -> None:
    answer = await stage.stub.Classify(
        ClassifyRequest(model="shade", content=b"file"), metadata=(("x-request-id", "mine"),)
    )
    assert answer.prediction.request_id == "mine"
    assert stage.preprocess.metadata["x-request-id"] == "mine"


async def test_a_model_that_was_loaded_again_answers_as_what_it_is_now(stage: Stage) -> None:
    request = ClassifyRequest(model="shade", content=b"file")
    await stage.stub.Classify(request)
    contract = {**card().preprocess.model_dump(), "mean": [0.5]}
    stage.triton.load(card(preprocess=contract), "2")  # and nobody tells the catalogue
    answer = await stage.stub.Classify(request)
    assert answer.prediction.model_version == "2"
    assert stage.preprocess.calls[-1].contract.image.mean == [0.5]


async def test_other_weights_under_the_same_version_are_noticed_by_their_answer(
    stage: Stage,
) -> None:
    request = ClassifyRequest(model="shade", content=b"file")
    await stage.stub.Classify(request)
    changed = card(labels=["low", "middle", "high"])
    stage.triton.load(changed, digest="new").says["weights_digest"] = "new"
    assert (await stage.stub.Classify(request)).prediction.top_label == "high"


async def test_a_model_that_takes_less_at_once_than_before_is_asked_again(stage: Stage) -> None:
    stage.preprocess.windows = [(0, 0, 9)] * 3
    request = ClassifyRequest(model="shade", content=b"file")
    await stage.stub.Classify(request)
    stage.triton.load(card(), max_batch=2)
    assert len((await stage.stub.Classify(request)).prediction.windows) == 3


async def test_a_model_that_changes_all_the_time_is_retriable(stage: Stage) -> None:
    stage.load(card()).answers_as = "another"
    error = await refused(stage, model="shade", content=b"file")
    assert type(error) is ModelChanged
    assert error.retry_after_s
    assert stage.triton.calls["ModelInfer"] == 2


@pytest.mark.parametrize(("remains", "kind"), [(True, ModelNotReady), (False, UnknownModel)])
async def test_a_model_that_is_gone_says_so_at_the_next_answer(
    stage: Stage, remains: bool, kind: type
) -> None:
    await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"))
    if remains:
        stage.triton.unload("shade")
    else:
        del stage.triton.graphs["shade"]
    error = await refused(stage, model="shade", content=b"file")
    assert (type(error), error.field) == (kind, "model")


async def test_a_service_that_takes_longer_than_it_may_is_unavailable(stage: Stage) -> None:
    stage.preprocess.hangs = True
    error = await refused(stage, model="shade", content=b"file")
    assert type(error) is BackendUnavailable
    assert error.metadata["peer"] == "preprocess service"


async def test_pictures_for_people_are_made_for_explanations_alone(stage: Stage) -> None:
    await stage.stub.Classify(ClassifyRequest(model="shade", content=b"file"))
    _ = [
        event async for event in stage.stub.Explain(ExplainRequest(model="shade", content=b"file"))
    ]
    assert [call.without_display for call in stage.preprocess.calls] == [True, False]
