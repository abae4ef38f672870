"""What a caller of the client sees, against a gateway without models behind it."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import StringValue

from pellucid.api.explain.v1 import methods_pb2
from pellucid.client import (
    AboveThreshold,
    Baseline,
    Client,
    Comparison,
    ExplainedInput,
    Explanation,
    GradCam,
    Grade,
    Grid,
    ImageFacts,
    Index,
    IntegratedGradients,
    Label,
    Lime,
    MethodFailure,
    MethodProgress,
    ModelState,
    OutOfDistribution,
    Partial,
    ResolvedTargets,
    ScoreSpace,
    Slic,
    TopK,
)
from pellucid.errors import InvalidArgument
from tests.support.fake_gateway import FakeGateway
from tests.support.gateway_responses import METHODS, failed_model, picture, png

PNG = png(picture(26, 32))


def test_capabilities_come_back_typed(client: Client) -> None:
    found = client.capabilities()
    xray = found.model("xray")
    assert [model.name for model in found.models] == ["xray", "speech"]
    assert xray.labels == ("normal", "other")
    assert xray.operating_points == {"balanced": {"normal": 0.5}, "lax": {"normal": 0.125}}
    assert next(iter(xray.operating_points)) == "balanced"
    assert xray.card == {"licence": "CC0"}
    grad_cam = next(method for method in xray.methods if method.name == "grad_cam")
    assert not grad_cam.available
    assert grad_cam.unavailable_reason == "the card names no layer"
    assert xray.methods[0].parameters[0].maximum == 10_000
    assert xray.parity is None
    assert (xray.state, xray.state_reason, xray.ready) == (ModelState.READY, "", True)
    assert xray.baselines == (Baseline.MEAN, Baseline.BLUR)
    assert xray.segmentations[0].parameters[0].name == "segments"
    assert "grad_cam" not in xray.available_methods
    assert found.limits.max_content_bytes == 20 << 20


def test_a_method_says_what_it_is_and_what_its_maps_come_with(client: Client) -> None:
    lime = client.capabilities().model("xray").methods[0]
    assert (lime.name, lime.title, lime.paper) == ("lime", "LIME", "arXiv:1602.04938")
    assert lime.on_segments
    assert lime.parameters_message == methods_pb2.Lime.DESCRIPTOR.full_name
    assert [(measure.name, measure.title) for measure in lime.measures] == [("r_squared", "R²")]


def test_a_model_that_failed_says_why(client: Client, gateway: FakeGateway) -> None:
    gateway.models.append(failed_model("broken"))
    broken = client.capabilities().model("broken")
    assert (broken.state, broken.ready) == (ModelState.FAILED, False)
    assert broken.state_reason == "its card has no labels"


def test_capabilities_are_filtered_by_media_type(client: Client) -> None:
    assert [model.name for model in client.capabilities("audio/flac").models] == ["speech"]


def test_a_prediction_comes_back_typed(client: Client) -> None:
    prediction = client.classify(PNG, model="xray")
    assert prediction.top_label == "other"
    assert prediction.score("normal").above_threshold is False
    assert prediction.score("other").above_threshold is None
    assert isinstance(prediction.facts, ImageFacts)
    assert prediction.facts.width == 320
    with pytest.raises(KeyError):
        prediction.score("nothing")


def test_a_file_unlike_the_training_data_says_so(client: Client) -> None:
    found = client.classify(b"RIFF....WAVE", model="speech")
    assert found.out_of_distribution == OutOfDistribution(2.5, 1.5, True, "mahalanobis")
    assert [window.distance for window in found.windows] == [2.5, 2.5, 2.5]
    film = client.classify(PNG, model="xray")
    assert (film.out_of_distribution, film.windows[0].distance) == (None, None)


def test_a_refusal_of_unlike_files_is_asked_for(client: Client, gateway: FakeGateway) -> None:
    client.classify(PNG, "xray", refuse_out_of_distribution=True)
    client.explain_all(PNG, "xray", refuse_out_of_distribution=True)
    client.classify(PNG, "xray")
    asked = [request.refuse_out_of_distribution for request in gateway.requests]
    assert asked == [True, True, False]


def test_a_file_is_given_as_a_path_too(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(PNG)
    client.classify(path, model="xray")
    client.classify(str(path), model="xray")
    assert [request.content for request in gateway.requests] == [PNG, PNG]


@pytest.mark.parametrize(
    ("content", "model"),
    [(PNG, "xray"), (b"\xff\xd8\xff\xe0", "xray"), (b"RIFF....WAVE", "speech")],
)
def test_the_only_model_for_a_files_type_is_chosen(
    client: Client, gateway: FakeGateway, content: bytes, model: str
) -> None:
    assert client.classify(content).model == model
    assert client.choose_model(content) == model


def test_a_file_of_no_known_kind_is_refused_with_the_kinds_that_are_read(client: Client) -> None:
    with pytest.raises(InvalidArgument) as caught:
        client.classify(b"what is this")
    assert caught.value.field == "content"
    assert "image/png" in caught.value.remedy


def test_a_file_that_no_model_accepts_is_refused(client: Client) -> None:
    with pytest.raises(InvalidArgument) as caught:
        client.classify(b"OggS")
    assert caught.value.field == "model"


def test_events_come_in_the_order_of_the_contract(client: Client) -> None:
    events = list(client.explain(PNG, "xray", methods=["lime", IntegratedGradients()]))
    kinds = [type(event) for event in events]
    one_method = [MethodProgress, Partial, MethodProgress, Explanation]
    assert kinds == [ExplainedInput, ResolvedTargets, *one_method, *one_method, Comparison]


def test_a_whole_explanation_is_collected(client: Client) -> None:
    result = client.explain_all(PNG, "xray")
    assert [e.method for e in result.explanations] == [m for m in METHODS if m != "grad_cam"]
    assert result.prediction.top_label == "other"
    assert result.comparison is not None
    lime = result.get("lime", "other")
    assert lime.map.dtype == np.float32
    assert lime.map.shape == (224, 224)
    assert lime.segment_scores is not None
    assert lime.segment_scores.values.shape == (64,)
    assert lime.segment_scores.low is not None
    assert result.get("partition_shap").segment_scores.low is None  # type: ignore[union-attr]
    assert result.get("occlusion").segment_scores is None
    assert lime.receipt.method == Lime(samples=500)
    assert lime.receipt.segmentation == Grid(rows=8, columns=8)
    assert lime.receipt.baseline is Baseline.MEAN
    assert (lime.title, lime.description) == ("LIME", "How lime works.")
    assert lime.finished
    assert result.targets == (lime.target,)
    assert (result.partials, result.failures) == ((), ())
    with pytest.raises(KeyError):
        result.get("grad_cam")


def test_the_measures_of_a_map_are_read_by_name_or_one_after_another(client: Client) -> None:
    trust = client.explain_all(PNG, "xray", methods="lime").get("lime").trust
    assert trust["r_squared"].value == 0.62
    assert trust["r_squared"].grade is Grade.FAIR
    assert [measure.title for measure in trust] == ["R²"]
    assert "r_squared" in trust
    assert "coverage" not in trust
    with pytest.raises(KeyError):
        trust["coverage"]


def test_a_method_that_failed_is_in_the_result_and_the_others_go_on(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.failing = frozenset({"lime"})
    result = client.explain_all(PNG, "xray", methods=["lime", "occlusion"])
    assert [explanation.method for explanation in result.explanations] == ["occlusion"]
    (failure,) = result.failures
    assert isinstance(failure, MethodFailure)
    assert (failure.method, failure.reason) == ("lime", "BACKEND_UNAVAILABLE")
    assert failure.retriable


def test_maps_cannot_be_changed_by_accident(client: Client) -> None:
    explanation = client.explain_all(PNG, "xray", methods="lime").get("lime")
    assert explanation.segment_scores is not None
    for array in (explanation.map, explanation.segment_scores.values):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_every_option_reaches_the_server(client: Client, gateway: FakeGateway) -> None:
    client.explain_all(
        PNG,
        "xray",
        methods=[Lime(samples=20, ridge=0.5), GradCam(positive_only=False)],
        target=["normal", Label("other"), Index(1), TopK(2), AboveThreshold()],
        score_space="probability",
        baseline=Baseline.BLUR,
        segmentation=Slic(segments=30),
        seed=7,
        window=0,
        request_id="mine",
    )
    request = gateway.requests[-1]
    lime, grad_cam = request.methods
    assert (lime.lime.samples, lime.lime.ridge) == (20, 0.5)
    assert not lime.lime.HasField("kernel_width")
    assert grad_cam.grad_cam.positive_only is False
    assert grad_cam.grad_cam.HasField("positive_only")
    targets = [target.WhichOneof("target") for target in request.options.targets]
    assert targets == ["label", "label", "index", "top_k", "above_threshold"]
    assert request.options.score_space == methods_pb2.SCORE_SPACE_PROBABILITY
    assert request.options.baseline == methods_pb2.BASELINE_BLUR
    assert request.options.segmentation.slic.segments == 30
    assert request.options.seed == 7
    assert request.HasField("window")
    assert gateway.metadata[-1]["x-request-id"] == "mine"


def test_what_is_left_out_is_left_to_the_server(client: Client, gateway: FakeGateway) -> None:
    client.explain_all(PNG, "xray")
    request = gateway.requests[-1]
    assert not request.methods
    assert not request.options.targets
    assert not request.options.HasField("segmentation")
    assert not request.HasField("window")


def test_a_segmentation_by_name_takes_its_defaults(client: Client, gateway: FakeGateway) -> None:
    client.explain_all(PNG, "xray", segmentation="grid", methods="lime")
    segmentation = gateway.requests[-1].options.segmentation
    assert segmentation.WhichOneof("segmentation") == "grid"


def test_a_method_is_given_as_the_message_of_its_parameters_too(
    client: Client, gateway: FakeGateway
) -> None:
    own, other = methods_pb2.Lime(samples=20), StringValue(value="parameters of another method")
    result = client.explain_all(PNG, "xray", methods=[own, other, methods_pb2.Occlusion()])
    first, second, third = gateway.requests[-1].methods
    assert first.lime.samples == 20
    assert second.extension.Is(StringValue.DESCRIPTOR)
    assert third.WhichOneof("method") == "occlusion"
    received = result.explanations[1].receipt.method
    assert isinstance(received, AnyMessage)
    assert received.Is(StringValue.DESCRIPTOR)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"methods": "nope"}, "methods[0]"),
        ({"methods": [Lime(samples=-1)]}, "methods[0].lime.samples"),
        ({"methods": [Lime(samples="many")]}, "methods[0].lime.samples"),
        ({"target": [3]}, "options.targets[0]"),
        ({"target": Index(-1)}, "options.targets[0].index"),
        ({"score_space": "odds"}, "options.score_space"),
        ({"baseline": "white"}, "options.baseline"),
        ({"segmentation": "hexagons"}, "options.segmentation"),
        ({"segmentation": Grid(rows=-1)}, "options.segmentation.grid.rows"),
        ({"seed": -1}, "options.seed"),
        ({"deadline": 0}, "deadline"),
        ({"deadline": float("nan")}, "deadline"),
    ],
)
def test_an_option_of_the_wrong_kind_is_named(
    client: Client, options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        client.explain_all(PNG, "xray", **options)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.remedy


def test_an_option_that_does_not_exist_is_a_type_error(client: Client) -> None:
    with pytest.raises(TypeError):
        client.explain_all(PNG, "xray", samples=3)  # type: ignore[call-arg]


def test_a_plan_counts_calls(client: Client) -> None:
    plan = client.plan(model="xray", methods=["lime", "occlusion"])
    assert plan.model_calls == 20
    assert plan.methods[1].method == "occlusion"
    assert plan.seconds is None


def test_a_plan_finds_the_model_of_a_file(client: Client, gateway: FakeGateway) -> None:
    client.plan(PNG)
    assert gateway.requests[-1].model == "xray"


def test_choices_are_plain_strings_too() -> None:
    assert ScoreSpace("logit") is ScoreSpace.LOGIT
    assert f"{ScoreSpace.LOGIT}" == ScoreSpace.LOGIT == "logit"
