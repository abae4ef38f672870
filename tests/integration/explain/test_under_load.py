"""Many requests, large ones, late ones and cancelled ones, through a real Triton."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from math import ceil
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from explain_service.attribution import Attribution, ExplainInput
from explain_service.methods import MethodRegistry
from explain_service.run_control import RunControl
from explain_service.settings import ExplainSettings
from pellucid.api.explain.v1 import explanation_pb2, methods_pb2
from pellucid.api.explain.v1.methods_pb2 import KernelShap, Lime, Method
from pellucid.errors import QueueFull
from tests.integration.explain.conftest import Serve
from tests.integration.explain.networks import TORCH_NETWORK
from tests.integration.explain.requests import GRADIENTS, METHODS, picture, request
from tests.support.explain_client import Stub, explain, measure, refused
from tests.support.known_models import LinearModel
from tests.support.toy_methods import ScriptedMethod


@pytest.mark.parametrize("convolutional", [False, True], ids=["linear", "convolutional"])
async def test_the_same_receipt_gives_the_same_bytes_alone_and_under_load(
    explain_service: Serve,
    known: Mapping[str, LinearModel],
    served_pair: Path,
    convolutional: bool,
) -> None:
    model = TORCH_NETWORK if convolutional else known["linear"]
    methods = (*METHODS, *GRADIENTS) if convolutional else METHODS
    async with explain_service(workers=4, queue_length=8) as stub:
        asked = [request(model, picture(model, seed), methods, seed=3) for seed in (0, 1)]
        alone = [await explain(stub, one) for one in asked]
        together = await asyncio.gather(*(explain(stub, one) for one in asked * 4))
    for place, answer in enumerate(together):
        for mine, other in zip(alone[place % 2].explanations, answer.explanations, strict=True):
            assert mine.map.data == other.map.data
            assert mine.segment_scores == other.segment_scores
            assert without_seconds(mine.receipt) == without_seconds(other.receipt)


def without_seconds(receipt: explanation_pb2.Receipt) -> explanation_pb2.Receipt:
    found = explanation_pb2.Receipt()
    found.CopyFrom(receipt)
    found.ClearField("seconds")
    return found


async def test_a_cancel_stops_triton_within_the_calls_in_flight(
    stub: Stub, large: LinearModel, triton_client: InferenceServerClient
) -> None:
    asked = request(large, picture(large), [Method(kernel_shap=KernelShap(samples=5_000))])
    before = executions(triton_client)
    call = stub.Explain(asked, timeout=60)
    async for message in call:
        if message.progress.calls_done > 0:
            break
    call.cancel()
    at_cancel = executions(triton_client)
    progress = message.progress
    assert progress.calls_done < progress.calls_total
    await asyncio.sleep(1.0)
    settled = executions(triton_client)
    await asyncio.sleep(0.5)
    assert settled - at_cancel <= 3  # two in flight, and one between cancel and counter
    assert executions(triton_client) == settled
    assert settled - before < ceil(progress.calls_total / ExplainSettings().masks_per_call) / 2


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
    explain_service: Serve, large: LinearModel
) -> None:
    """One mask a call is too slow on any machine; shap's own drawing fits on a slow one."""
    methods = [Method(lime=Lime(samples=10_000)), Method(kernel_shap=KernelShap(samples=10_000))]
    asked = request(large, picture(large), methods)
    async with explain_service(masks_per_call=1) as stub:
        answer = await explain(stub, asked, timeout=14)
    assert [found.truncated for found in answer.explanations] == [True, True]
    assert all(np.isfinite(values).all() for values in answer.maps)
    assert {found.method for found in answer.partials} <= {"kernel_shap", "lime"}
    shap = answer.explanations[1]
    assert shap.receipt.model_calls < 10_000
    assert measure(shap, "additivity_gap") == pytest.approx(0, abs=1e-4)


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


def until_the_time_is_up(inputs: ExplainInput, control: RunControl) -> list[Attribution]:
    """Waits for ever, and has a map at any time."""
    while not control.out_of_time:
        control.advance(1)
        sleep(0.02)
    return [Attribution(map=np.ones(inputs.plane, np.float32), truncated=True)]


async def test_a_service_that_is_stopped_ends_its_explanations_with_what_there_is(
    explain_service: Serve, large: LinearModel
) -> None:
    registry = MethodRegistry([ScriptedMethod(name, until_the_time_is_up) for name in ("a", "b")])
    asked = request(large, picture(large), [method.asked for method in registry])
    async with AsyncExitStack() as stack:
        stub = await stack.enter_async_context(explain_service(registry, grace_s=6.0))
        call = stub.Explain(asked, timeout=600)
        events = []
        stopping = None
        async for message in call:
            events.append(message)
            if stopping is None:
                # As after SIGTERM; the client's channel is closed only after the server.
                stopping = asyncio.create_task(stack.aclose())
        assert stopping is not None
        await stopping
    maps = [message.explanation for message in events if message.HasField("explanation")]
    assert [found.method for found in maps] == ["a", "b"]
    assert all(found.truncated for found in maps)
