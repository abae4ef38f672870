"""The explain service through a real Triton, on models whose explanation is known."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from pellucid import tensors
from pellucid.api.explain.v1 import explain_pb2 as pb
from pellucid.api.explain.v1 import explanation_pb2, methods_pb2
from pellucid.api.explain.v1.methods_pb2 import (
    ExplainOptions,
    Grid,
    KernelShap,
    Lime,
    Method,
    Occlusion,
    PartitionShap,
    Segmentation,
    Target,
)
from pellucid.errors import (
    InvalidArgument,
    MethodUnavailable,
    PellucidError,
    QueueFull,
    UnknownModel,
)
from pellucid.status import from_rpc_error
from tests.integration.explain.conftest import Serve
from tests.models import LinearModel

GRID = Segmentation(grid=Grid(rows=4, columns=4))
METHODS = (
    Method(lime=Lime(samples=200, ridge=0)),
    Method(kernel_shap=KernelShap(samples=200)),
    Method(partition_shap=PartitionShap(evaluations=300)),
    Method(occlusion=Occlusion()),
)
Stub = Any
Floats = np.typing.NDArray[np.float32]


@dataclass
class Answer:
    """A stream, sorted by kind of message."""

    kinds: list[str] = field(default_factory=list)
    targets: pb.ResolvedTargets = field(default_factory=pb.ResolvedTargets)
    progress: list[explanation_pb2.Progress] = field(default_factory=list)
    partials: list[explanation_pb2.Explanation] = field(default_factory=list)
    explanations: list[explanation_pb2.Explanation] = field(default_factory=list)
    comparison: explanation_pb2.Comparison = field(default_factory=explanation_pb2.Comparison)

    @property
    def maps(self) -> list[Floats]:
        return [tensors.decode(found.map, "map") for found in self.explanations]


def request(
    model: LinearModel, image: Floats, methods: Sequence[Method] = METHODS, **options: Any
) -> pb.ExplainRequest:
    options.setdefault("segmentation", GRID)
    return pb.ExplainRequest(
        model=model.card.name,
        input=tensors.encode(image),
        methods=methods,
        options=ExplainOptions(**options),
    )


async def explain(stub: Stub, asked: pb.ExplainRequest, timeout: float = 60) -> Answer:
    answer = Answer()
    async for message in stub.Explain(asked, timeout=timeout):
        kind = message.WhichOneof("event")
        answer.kinds.append(kind)
        match kind:
            case "targets":
                answer.targets = message.targets
            case "progress":
                answer.progress.append(message.progress)
            case "partial":
                answer.partials.append(message.partial)
            case "explanation":
                answer.explanations.append(message.explanation)
            case "comparison":
                answer.comparison = message.comparison
    return answer


async def refused(stub: Stub, asked: pb.ExplainRequest) -> PellucidError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await explain(stub, asked)
    error = from_rpc_error(caught.value, "explain service")
    assert error is not None
    return error


def picture(model: LinearModel, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random(model.card.preprocess.shape, np.float32)


def drops(model: LinearModel, image: Floats, target: int, baseline: float) -> Floats:
    """What each point contributes to a linear model's logit."""
    found: Floats = (model.weights[target] * (image - baseline)).sum(axis=0)
    return found


def over_grid(values: Floats) -> Floats:
    side = values.shape[0] // 4
    found: Floats = values.reshape(4, side, 4, side).sum(axis=(1, 3)).ravel()
    return found


async def test_every_method_gives_a_linear_models_closed_form(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    model = known["linear"]
    image = picture(model)
    targets = [Target(label="third"), Target(index=0)]
    answer = await explain(stub, request(model, image, targets=targets))
    assert len(answer.explanations) == 8
    for found, values in zip(answer.explanations, answer.maps, strict=True):
        expected = drops(model, image, found.target.index, float(image.mean()))
        assert found.target.score == pytest.approx(
            model.logits(image[np.newaxis])[0, found.target.index], abs=1e-4
        )
        if found.method == "occlusion":
            total, count = np.zeros((32, 32)), np.zeros((32, 32))
            for top in range(0, 29, 2):
                for left in range(0, 29, 2):
                    area = np.s_[top : top + 4, left : left + 4]
                    total[area] += expected[area].sum()
                    count[area] += 1
            assert values == pytest.approx(total / count, abs=1e-4)
            assert found.trust.coverage == 1
        else:
            assert found.segment_scores.values == pytest.approx(over_grid(expected), abs=1e-4)
        if found.method.endswith("shap"):
            assert found.trust.additivity_gap == pytest.approx(0, abs=1e-5)
        if found.method == "lime":
            assert found.trust.r_squared == pytest.approx(1, abs=1e-6)


async def test_a_stream_begins_with_the_targets_and_ends_with_the_comparison(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    image = picture(known["linear"])
    answer = await explain(stub, request(known["linear"], image))
    assert answer.kinds[0] == "targets"
    assert answer.kinds[-1] == "comparison"
    assert len(answer.comparison.agreements) == 6
    digests = {found.receipt.input_digest for found in answer.explanations}
    assert digests == {answer.targets.input_digest, tensors.digest(image)}
    for method in ("lime", "kernel_shap", "partition_shap", "occlusion"):
        own = [message for message in answer.progress if message.method == method]
        assert own[0].calls_done == 0
        assert own[-1].calls_done == own[-1].calls_total > 0
        assert all(a.calls_done <= b.calls_done for a, b in pairwise(own))


async def test_the_receipt_tells_all_that_decides_the_bytes(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    methods = [Method(lime=Lime())]
    answer = await explain(
        stub, request(known["linear"], picture(known["linear"]), methods, seed=9)
    )
    receipt = answer.explanations[0].receipt
    assert receipt.method == Method(lime=Lime(samples=500, kernel_width=0.25, ridge=1))
    assert (receipt.model, receipt.model_version, receipt.seed) == ("linear", "1", 9)
    assert len(receipt.weights_digest) == 64
    assert receipt.baseline == methods_pb2.BASELINE_MEAN
    assert receipt.score_space == methods_pb2.SCORE_SPACE_LOGIT
    assert receipt.segmentation == GRID
    assert receipt.precision == "float32"
    assert receipt.model_calls in range(490, 501)
    assert {"lime", "scikit-learn", "pellucid"} <= set(receipt.library_versions)


async def test_every_method_finds_the_planted_patch(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    image = np.random.default_rng(1).uniform(0.1, 0.3, (1, 32, 32)).astype(np.float32)
    image[0, 8:16, 16:24] = 1
    target = [Target(label="patch")]
    answer = await explain(stub, request(known["planted_patch"], image, targets=target))
    for values in answer.maps:
        inside = values[8:16, 16:24].sum()
        assert inside > 0.7 * np.maximum(values, 0).sum()


async def test_every_method_finds_the_planted_tone(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    model = known["planted_tone"]
    sound = np.random.default_rng(2).uniform(0, 0.2, model.card.preprocess.shape)
    sound[12:16] = 0.9
    asked = request(
        model,
        sound.astype(np.float32),
        targets=[Target(label="tone")],
        segmentation=Segmentation(grid=Grid(rows=8, columns=2)),
    )
    answer = await explain(stub, asked)
    for found, values in zip(answer.explanations, answer.maps, strict=True):
        assert found.receipt.baseline == methods_pb2.BASELINE_SILENCE
        assert values[12:16].sum() > 0.7 * np.maximum(values, 0).sum()


async def test_the_negative_class_of_one_logit_is_its_negation(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    model = known["binary"]
    both = [Target(label="well"), Target(label="ill")]
    answer = await explain(stub, request(model, picture(model), METHODS[1:2], targets=both))
    well, ill = answer.explanations
    assert well.target.score == pytest.approx(-ill.target.score)
    assert answer.maps[0] == pytest.approx(-answer.maps[1], abs=1e-5)
    logit = model.logits(picture(model)[np.newaxis])[0, 0]
    assert ill.target.score == pytest.approx(logit, abs=1e-4)


async def test_kernel_shap_with_all_coalitions_gives_the_shapley_values(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    """On probabilities, where segments depend on each other; enumerated with numpy."""
    model = known["linear"]
    image = picture(model)
    asked = request(
        model,
        image,
        [Method(kernel_shap=KernelShap(samples=300))],
        targets=[Target(index=1)],
        segmentation=Segmentation(grid=Grid(rows=2, columns=4)),
        score_space=methods_pb2.SCORE_SPACE_PROBABILITY,
    )
    found = (await explain(stub, asked)).explanations[0]
    segments = tensors.decode(found.segment_scores.segments, "segments")
    masks = np.array([[n >> k & 1 for k in range(8)] for n in range(256)], np.uint8)
    inputs = np.where(masks[:, segments][:, None] == 1, image, np.float32(image.mean()))
    logits = model.logits(inputs.astype(np.float32)).astype(np.float64)
    scores = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[:, 1]
    values, count = np.zeros(8), 0
    for order in permutations(range(8)):
        kept, count = 0, count + 1
        for segment in order:
            values[segment] += scores[kept | 1 << segment] - scores[kept]
            kept |= 1 << segment
    assert found.segment_scores.values == pytest.approx(values / count, abs=1e-6)
    assert found.segment_scores.low == pytest.approx(found.segment_scores.high)


async def test_the_same_receipt_gives_the_same_bytes_alone_and_under_load(
    explain_service: Serve, known: Mapping[str, LinearModel]
) -> None:
    async with explain_service(workers=4, queue_length=8) as stub:
        asked = [
            request(known["linear"], picture(known["linear"], seed), seed=3) for seed in (0, 1)
        ]
        alone = [await explain(stub, one) for one in asked]
        together = await asyncio.gather(*(explain(stub, one) for one in asked * 4))
    for place, answer in enumerate(together):
        for mine, other in zip(alone[place % 2].explanations, answer.explanations, strict=True):
            assert mine.map.data == other.map.data
            assert mine.segment_scores == other.segment_scores


async def test_a_cancel_stops_triton_within_the_calls_in_flight(
    stub: Stub, large: LinearModel, triton_client: InferenceServerClient
) -> None:
    asked = request(large, picture(large), [Method(kernel_shap=KernelShap(samples=5_000))])
    call = stub.Explain(asked, timeout=60)
    async for message in call:
        if message.progress.calls_done > 0:
            break
    call.cancel()
    at_cancel = executions(triton_client)
    await asyncio.sleep(1.0)
    settled = executions(triton_client)
    await asyncio.sleep(0.5)
    assert settled - at_cancel <= 3  # two in flight, and one between cancel and counter
    assert executions(triton_client) == settled


def executions(client: InferenceServerClient) -> int:
    found = client.get_inference_statistics("large_masked").model_stats[0]
    return int(found.execution_count)


async def test_a_thousand_perturbations_pass_between_peers_with_default_limits(
    explain_service: Serve, large: LinearModel
) -> None:
    async with explain_service(max_message_bytes=4 << 20) as stub:
        asked = request(
            large,
            picture(large),
            [Method(lime=Lime(samples=1_000))],
            baseline=methods_pb2.BASELINE_BLUR,
        )
        answer = await explain(stub, asked)
    assert answer.explanations[0].receipt.model_calls > 950
    assert not answer.explanations[0].truncated


async def test_what_is_there_at_the_deadline_comes_back_as_truncated(
    stub: Stub, large: LinearModel
) -> None:
    methods = [Method(lime=Lime(samples=10_000)), Method(kernel_shap=KernelShap(samples=5_000))]
    answer = await explain(stub, request(large, picture(large), methods), timeout=6)
    assert [found.truncated for found in answer.explanations] == [True, True]
    assert all(np.isfinite(values).all() for values in answer.maps)
    assert {found.method for found in answer.partials} <= {"kernel_shap", "lime"}
    shap = answer.explanations[1]
    assert shap.receipt.model_calls < 5_000
    assert shap.trust.additivity_gap == pytest.approx(0, abs=1e-4)


async def test_one_more_than_the_queue_holds_is_told_when_to_come_back(
    explain_service: Serve, large: LinearModel
) -> None:
    async with explain_service(workers=1, queue_length=1) as stub:
        asked = request(large, picture(large), [Method(kernel_shap=KernelShap(samples=5_000))])
        calls = [stub.Explain(asked, timeout=60) for _ in range(2)]
        await calls[0].read()
        await asyncio.sleep(0.2)
        error = await refused(stub, asked)
        assert isinstance(error, QueueFull)
        assert error.retry_after_s is not None
        for call in calls:
            call.cancel()
        await asyncio.sleep(1.0)
        quick = request(large, picture(large), [Method(lime=Lime(samples=10))])
        assert (await explain(stub, quick)).explanations


async def test_a_model_that_sees_nothing_is_flagged(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    black = np.zeros((1, 32, 32), np.float32)
    answer = await explain(stub, request(known["planted_patch"], black))
    for found, values in zip(answer.explanations, answer.maps, strict=True):
        assert found.trust.all_zero
        assert found.trust.warnings
        assert not values.any()
    assert not any(pair.HasField("rank_correlation") for pair in answer.comparison.agreements)


@pytest.mark.parametrize(
    ("change", "kind", "field"),
    [
        ({"model": "nothing"}, UnknownModel, "model"),
        ({"methods": []}, InvalidArgument, "methods"),
        ({"methods": [Method(lime=Lime(samples=3))]}, InvalidArgument, "methods[0].lime.samples"),
        (
            {"methods": [METHODS[0], Method(grad_cam=methods_pb2.GradCam())]},
            MethodUnavailable,
            "methods[1].grad_cam",
        ),
        ({"input": tensors.encode(np.ones((3, 4), np.float32))}, InvalidArgument, "input.shape"),
        (
            {"input": tensors.encode(np.full((1, 32, 32), np.nan, np.float32))},
            InvalidArgument,
            "input.data",
        ),
        (
            {"input": tensors.encode(np.ones((1, 32, 32), np.uint8))},
            InvalidArgument,
            "input.data_type",
        ),
        (
            {"options": ExplainOptions(targets=[Target(label="nobody")])},
            InvalidArgument,
            "options.targets[0].label",
        ),
        (
            {"options": ExplainOptions(baseline=methods_pb2.BASELINE_SILENCE)},
            InvalidArgument,
            "options.baseline",
        ),
        (
            {"options": ExplainOptions(segmentation=Segmentation(grid=Grid(rows=65)))},
            InvalidArgument,
            "options.segmentation.grid.rows",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_field_is_named(
    stub: Stub,
    known: Mapping[str, LinearModel],
    change: dict[str, Any],
    kind: type[PellucidError],
    field: str,
) -> None:
    right = {
        "model": "linear",
        "input": tensors.encode(picture(known["linear"])),
        "methods": METHODS[:1],
    }
    error = await refused(stub, pb.ExplainRequest(**{**right, **change}))
    assert isinstance(error, kind)
    assert error.field == field
    assert error.remedy


async def test_methods_are_listed_with_the_reason_where_they_do_not_work(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    answer = await stub.ListMethods(pb.ListMethodsRequest())
    models = {model.model: model for model in answer.models}
    assert set(known) <= set(models)
    methods = {found.method: found for found in models["linear"].methods}
    assert methods["lime"].available
    assert methods["lime"].runtime == pb.RUNTIME_TRITON
    assert methods["lime"].parameters[0].maximum == 10_000
    assert not methods["grad_cam"].available
    assert methods["grad_cam"].unavailable_reason


async def test_a_plan_counts_what_an_explanation_then_takes(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    asked = request(known["linear"], picture(known["linear"]))
    first = await stub.Plan(pb.PlanRequest(model="linear", methods=METHODS, options=asked.options))
    assert [plan.HasField("seconds") for plan in first.methods] == [False] * 4
    answer = await explain(stub, asked)
    for plan, found in zip(first.methods, answer.explanations, strict=True):
        assert plan.method == found.method
        assert found.receipt.model_calls <= plan.model_calls
        assert plan.bytes_to_triton > plan.model_calls
    again = await stub.Plan(pb.PlanRequest(model="linear", methods=METHODS, options=asked.options))
    assert all(plan.seconds > 0 for plan in again.methods)
