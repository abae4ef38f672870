"""The explain service through a real Triton: streams, receipts, refusals, capabilities, plans."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from pellucid import tensors
from pellucid.api.explain.v1 import explain_pb2 as pb
from pellucid.api.explain.v1 import methods_pb2
from pellucid.api.explain.v1.methods_pb2 import (
    ExplainOptions,
    Grid,
    Lime,
    Method,
    Segmentation,
    Target,
)
from pellucid.errors import InvalidArgument, MethodUnavailable, PellucidError, UnknownModel
from tests.integration.explain.requests import GRID, METHODS, picture, request
from tests.support.explain_client import Stub, explain, refused
from tests.support.known_models import LinearModel


async def test_a_stream_begins_with_its_acceptance_and_ends_with_the_comparison(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    image = picture(known["linear"])
    answer = await explain(stub, request(known["linear"], image))
    assert answer.kinds[:2] == ["accepted", "targets"]
    assert answer.accepted.queue_position == 0
    assert answer.kinds[-1] == "comparison"
    assert len(answer.comparison.agreements) == 6
    digests = {found.receipt.input_digest for found in answer.explanations}
    assert digests == {answer.accepted.input_digest, tensors.digest(image)}
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


@pytest.mark.parametrize(
    ("change", "kind", "field"),
    [
        ({"model": "nothing"}, UnknownModel, "model"),
        ({"methods": [Method()]}, InvalidArgument, "methods[0]"),
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


async def test_without_methods_every_one_that_is_available_explains(
    stub: Stub, known: Mapping[str, LinearModel]
) -> None:
    answer = await explain(stub, request(known["linear"], picture(known["linear"]), ()))
    found = [one.method for one in answer.explanations]
    assert found == ["lime", "kernel_shap", "partition_shap", "occlusion"]
    assert [one.title for one in answer.explanations][:2] == ["LIME", "Kernel SHAP"]


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
    again = await stub.Plan(pb.PlanRequest(model="linear", methods=METHODS, options=asked.options))
    assert all(plan.seconds > 0 for plan in again.methods)


REFERENCE_BYTES = 4 * 32 * 32 + 2 * 32 * 32 + 4 + 2
"""Of the call that a request begins with: the input, one segment, a constant, two masks."""


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.WhichOneof("method"))
async def test_the_planned_bytes_are_those_that_are_sent(
    stub: Stub, known: Mapping[str, LinearModel], method: Method
) -> None:
    asked = request(known["linear"], picture(known["linear"]), [method])
    answer = await stub.Plan(
        pb.PlanRequest(model="linear", methods=[method], options=asked.options)
    )
    planned = answer.methods[0].bytes_to_triton
    before = sent_bytes("linear")
    await explain(stub, asked)
    sent = sent_bytes("linear") - before - REFERENCE_BYTES
    if method.HasField("occlusion"):
        assert sent == planned  # no window is tried twice
    else:
        assert 0.6 * planned <= sent <= planned, sent / planned


def sent_bytes(model: str) -> float:
    return REGISTRY.get_sample_value("pellucid_triton_sent_bytes_total", {"model": model}) or 0
