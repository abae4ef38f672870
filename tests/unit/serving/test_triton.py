"""Inference: what is asked of Triton, and what its answers and failures mean."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pellucid.cards import Card
from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    ModelBroken,
    ModelChanged,
    ModelNotReady,
)
from pellucid.serving.channels import open_blocking_triton_channel
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import ServedModel
from pellucid.serving.settings import TritonSettings
from pellucid.serving.triton import TritonInference, translate
from tests.support.scripted_triton import Graph, ScriptedTriton, one_address
from tests.unit.serving.test_catalogue import card

INPUTS = np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3)
SETTINGS = TritonSettings(triton_call_timeout_s=0.2)


def served(of: Card | None = None, version: str = "1", **more: Any) -> ServedModel:
    return ServedModel(of or card(), version, **{"weights_digest": "abc", "masked": True, **more})


@pytest.fixture
async def triton() -> AsyncIterator[ScriptedTriton]:
    async with ScriptedTriton() as found:
        yield found


@pytest.fixture
def graph(triton: ScriptedTriton) -> Graph:
    return triton.load(card())


@pytest.fixture
def stale() -> list[str]:
    """Names of the models that were marked."""
    return []


@pytest.fixture
async def inference(triton: ScriptedTriton, stale: list[str]) -> AsyncIterator[TritonInference]:
    async with TritonInference(triton.url, SETTINGS, stale.append) as found:
        yield found


async def ask(inference: TritonInference, model: ServedModel, inputs: Any = INPUTS) -> Any:
    return await inference.infer(model, inputs, Deadline.after(5))


async def test_every_call_names_the_version(
    triton: ScriptedTriton, graph: Graph, inference: TritonInference
) -> None:
    answer = await ask(inference, served(max_batch=1))
    assert answer.logits.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert [request.model_version for request in triton.inferred] == ["1", "1"]


@pytest.mark.parametrize(
    ("said", "configured", "precision"),
    [
        ({"precision": "bfloat16"}, "bfloat16", "bfloat16"),
        ({"precision": "bfloat16"}, "unknown", "bfloat16"),
        ({}, "float32", "float32"),
        ({}, "unknown", "unknown"),
    ],
)
async def test_the_answer_says_the_precision_else_the_configuration_does(
    graph: Graph, inference: TritonInference, said: dict, configured: str, precision: str
) -> None:
    graph.says |= said
    assert (await ask(inference, served(precision=configured))).precision == precision


@pytest.mark.parametrize(
    ("says", "answers_as", "model"),
    [
        ({}, "2", served()),
        ({"weights_digest": "new"}, "", served()),
        ({"precision": "bfloat16"}, "", served(precision="float32")),
    ],
    ids=["version", "weights", "precision"],
)
async def test_an_answer_of_another_model_is_no_answer(
    graph: Graph,
    inference: TritonInference,
    stale: list[str],
    says: dict[str, str],
    answers_as: str,
    model: ServedModel,
) -> None:
    graph.says, graph.answers_as = says, answers_as
    with pytest.raises(ModelChanged) as caught:
        await ask(inference, model)
    assert caught.value.retry_after_s
    assert stale == ["shade"]


async def test_weights_that_one_side_does_not_know_are_not_compared(
    graph: Graph, inference: TritonInference
) -> None:
    graph.says["weights_digest"] = "new"
    assert len((await ask(inference, served(weights_digest=""))).logits) == 2


async def test_parts_in_two_precisions_are_no_answer() -> None:
    async with ScriptedTriton() as first, ScriptedTriton() as second:
        first.load(card()).says["precision"] = "float32"
        second.load(card()).says["precision"] = "bfloat16"
        url = one_address((first, second))
        model = served(max_batch=1)
        many = np.zeros((8, 1, 1, 3), np.float32)
        async with TritonInference(url, SETTINGS, lambda name: None) as inference:
            with pytest.raises(ModelChanged, match="bfloat16 and in float32"):
                await ask(inference, model, many)


@pytest.mark.parametrize(
    ("version", "error"), [("2", ModelChanged), (None, ModelNotReady)], ids=["reloaded", "gone"]
)
async def test_a_model_that_went_meanwhile_says_so(
    triton: ScriptedTriton,
    graph: Graph,
    inference: TritonInference,
    stale: list[str],
    version: str | None,
    error: type,
) -> None:
    del triton.graphs["shade"]
    if version:
        triton.load(card(), version)
    with pytest.raises(error) as caught:
        await ask(inference, served())
    assert caught.value.retry_after_s
    assert stale == ["shade"]


async def test_a_version_that_was_unloaded_is_a_change(
    triton: ScriptedTriton, graph: Graph, stale: list[str]
) -> None:
    triton.unload("shade")
    settings = TritonSettings(triton_call_timeout_s=5)
    async with TritonInference(triton.url, settings, stale.append) as inference:
        with pytest.raises(ModelChanged):
            await ask(inference, served())
    assert stale == ["shade"]


@pytest.mark.parametrize(
    ("labels", "inputs"),
    [(("a", "b"), INPUTS), (("a", "b", "c"), np.full_like(INPUTS, np.nan))],
    ids=["width", "no numbers"],
)
async def test_a_graph_that_is_not_as_its_card_says_is_broken(
    graph: Graph, inference: TritonInference, labels: tuple[str, ...], inputs: Any
) -> None:
    with pytest.raises(ModelBroken) as caught:
        await ask(inference, served(card(labels=labels)), inputs)
    assert caught.value.remedy and not caught.value.retry_after_s


async def test_a_triton_that_is_busy_is_asked_again(
    triton: ScriptedTriton, graph: Graph, stale: list[str]
) -> None:
    triton.failures_left = 2
    async with TritonInference(triton.url, TritonSettings(), stale.append) as inference:
        assert len((await ask(inference, served(max_batch=2))).logits) == 2
    assert triton.calls["ModelInfer"] == 3


async def test_large_inputs_are_sent_again_as_well(
    triton: ScriptedTriton, graph: Graph, stale: list[str]
) -> None:
    triton.failures_left = 1
    large = np.zeros((1, 3, 1_000, 300), np.float32)
    async with TritonInference(triton.url, TritonSettings(), stale.append) as inference:
        assert len((await ask(inference, served(), large)).logits) == 1


async def test_a_triton_that_stays_busy_is_unavailable(
    triton: ScriptedTriton, graph: Graph, stale: list[str]
) -> None:
    triton.failures_left = 10
    async with TritonInference(triton.url, TritonSettings(), stale.append) as inference:
        with pytest.raises(BackendUnavailable) as caught:
            await ask(inference, served())
    assert caught.value.metadata["peer"] == "Triton"
    assert triton.calls["ModelInfer"] == 3
    assert stale == []


@pytest.mark.parametrize(("seconds", "error"), [(5, BackendUnavailable), (0.1, DeadlineTooShort)])
async def test_time_that_runs_out_is_the_callers_only_if_the_deadline_was(
    triton: ScriptedTriton, graph: Graph, inference: TritonInference, seconds: float, error: type
) -> None:
    triton.holds.clear()
    with pytest.raises(error):
        await inference.infer(served(), INPUTS, Deadline.after(seconds))


async def test_a_request_that_triton_finds_wrong_is_a_bug_of_ours(
    triton: ScriptedTriton, graph: Graph, inference: TritonInference
) -> None:
    triton.fails = grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError):
        await ask(inference, served())


def test_a_backend_process_that_died_is_no_bug_of_ours(stale: list[str]) -> None:
    said = "Stub process 'shade_0_0' is not healthy."
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), details=said
    )
    meant = translate(error, served(), Deadline.after(5), stale.append)
    assert type(meant) is BackendUnavailable
    assert stale == []


async def test_calls_that_block_fail_alike(triton: ScriptedTriton, stale: list[str]) -> None:
    def ask() -> Exception:
        with open_blocking_triton_channel(triton.url, SETTINGS) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            request = service_pb2.ModelInferRequest(model_name="shade", model_version="1")
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(request, timeout=5)
        return translate(caught.value, served(), Deadline.after(5), stale.append)

    assert type(await asyncio.to_thread(ask)) is ModelNotReady
    triton.load(card(), "2")
    assert type(await asyncio.to_thread(ask)) is ModelChanged
    await triton.stop()
    assert type(await asyncio.to_thread(ask)) is BackendUnavailable
    assert stale == ["shade", "shade"]
