"""Gradient copies next to the models that a real Triton serves."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion
from safetensors.numpy import load_file, save_file

from explain_service.gradient.copies import GradientCopies
from explain_service.gradient.loading import NoCopy
from explain_service.run_control import RunControl
from explain_service.settings import ExplainSettings
from explain_service.triton_calls import TritonCalls
from pellucid.api.explain.v1 import explain_pb2, methods_pb2
from pellucid.architectures.weights import load_torch
from pellucid.embedded.system import EmbeddedTriton
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.served_model import ServedModel
from pellucid.tensors import decode, encode
from tests.support import framework_pairs
from tests.support.explain_client import measure

FRAMEWORKS = ("torch", "keras")
CLOSE = 1e-4
"""What float32 in another order may differ by, on the scale of probabilities."""


@pytest.fixture
def calls(triton: EmbeddedTriton) -> Iterator[TritonCalls]:
    settings = ExplainSettings(triton_url=triton.triton_url)
    found = TritonCalls(settings, mark_stale=lambda name: None)
    yield found
    found.close()


async def described(triton: EmbeddedTriton, name: str) -> ServedModel:
    async with ModelCatalogue(triton.triton_url, ExplainSettings()) as catalogue:
        return await catalogue.get(name)


async def load(copies: GradientCopies, model: ServedModel) -> None:
    await asyncio.to_thread(copies.checked, model, RunControl(total=0))


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_copy_answers_as_what_is_served(
    triton: EmbeddedTriton, served_pair: Path, calls: TritonCalls, framework: str
) -> None:
    model = await described(triton, f"{framework}_network")
    copies = GradientCopies(served_pair, calls.predict)
    await load(copies, model)
    parity = copies.parity(model)
    assert parity is not None
    assert parity.passed
    assert parity.max_score_difference < CLOSE


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_copy_with_other_weights_than_served_drifts_and_is_refused(
    triton: EmbeddedTriton,
    served_pair: Path,
    calls: TritonCalls,
    framework: str,
    tmp_path: Path,
) -> None:
    model = await described(triton, f"{framework}_network")
    source = served_pair / model.card.name / "1" / "weights.safetensors"
    other = framework_pairs.write_folder(tmp_path, model.card) / "weights.safetensors"
    save_file({key: value * np.float16(1.5) for key, value in load_file(source).items()}, other)
    mistaken = replace(model, weights_digest=hashlib.sha256(other.read_bytes()).hexdigest())
    copies = GradientCopies(tmp_path, calls.predict)
    with pytest.raises(NoCopy):
        await load(copies, mistaken)
    parity = copies.parity(mistaken)
    assert parity is not None
    assert parity.max_score_difference > parity.tolerance
    assert "differ from the served ones" in copies.unavailable(mistaken)


async def test_new_weights_wait_until_triton_serves_them(
    triton: EmbeddedTriton, served_pair: Path, calls: TritonCalls
) -> None:
    model = await described(triton, "torch_network")
    file = served_pair / "torch_network" / "1" / "weights.safetensors"
    before = file.read_bytes()
    copies = GradientCopies(served_pair, calls.predict)
    try:
        save_file({key: value * np.float16(1.5) for key, value in load_file(file).items()}, file)
        assert "load the model again" in copies.unavailable(model)
        with pytest.raises(NoCopy):
            await load(copies, model)
    finally:
        file.write_bytes(before)
    assert copies.unavailable(model) == ""


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_the_service_gives_captums_maps_of_what_is_served(
    served_pair: Path, stub: Any, framework: str
) -> None:
    picture = np.random.default_rng(4).normal(size=(3, *framework_pairs.SIZE)).astype(np.float32)
    tensor = picture if framework == "torch" else picture.transpose(1, 2, 0)
    request = explain_pb2.ExplainRequest(
        model=f"{framework}_network",
        input=encode(tensor),
        methods=[
            methods_pb2.Method(grad_cam=methods_pb2.GradCam(positive_only=False)),
            methods_pb2.Method(integrated_gradients=methods_pb2.IntegratedGradients(steps=20)),
            methods_pb2.Method(
                occlusion=methods_pb2.Occlusion(window_height=1 / 3, window_width=1 / 4, stride=0.5)
            ),
        ],
        options=methods_pb2.ExplainOptions(
            targets=[methods_pb2.Target(label="c")], baseline=methods_pb2.BASELINE_BLACK
        ),
    )
    found = {
        event.explanation.method: event.explanation
        async for event in stub.Explain(request, timeout=120)
        if event.HasField("explanation")
    }
    for method, expected in captums_maps(picture, served_pair).items():
        values = decode(found[method].map, "map")
        assert np.abs(expected).max() > 1e-2
        np.testing.assert_allclose(values, expected, atol=1e-5)
    assert found["grad_cam"].receipt.method.grad_cam.layer == "features"
    assert measure(found["integrated_gradients"], "completeness_gap") >= 0


def captums_maps(picture: np.ndarray, repository: Path) -> dict[str, np.ndarray]:
    module = framework_pairs.torch_network().eval()
    load_torch(module, repository / "torch_network" / "1" / "weights.safetensors")
    x = torch.from_numpy(picture[None])
    small = LayerGradCam(module, module.get_submodule("features")).attribute(x, target=2)
    ig = IntegratedGradients(module).attribute(
        x, baselines=-2.0, target=2, n_steps=20, method="gausslegendre"
    )
    # Windows of 4 by 4 in steps of 2, as are asked for on a plane of 12 by 16; over all channels.
    occlusion = Occlusion(module).attribute(
        x, sliding_window_shapes=(3, 4, 4), strides=(3, 2, 2), baselines=-2.0, target=2
    )
    return {
        "grad_cam": LayerAttribution.interpolate(small, framework_pairs.SIZE, "bilinear")[0, 0]
        .detach()
        .numpy(),
        "integrated_gradients": ig[0].sum(dim=0).numpy(),
        "occlusion": occlusion[0, 0].detach().numpy(),
    }


async def test_the_capabilities_tell_how_far_the_copies_drift(served_pair: Path, stub: Any) -> None:
    async with asyncio.timeout(60):
        while True:
            answer = await stub.ListMethods(explain_pb2.ListMethodsRequest(), timeout=30)
            known = {model.model: model for model in answer.models}
            if all(known[f"{name}_network"].HasField("parity") for name in FRAMEWORKS):
                break
            await asyncio.sleep(0.2)
    for name in FRAMEWORKS:
        model = known[f"{name}_network"]
        assert model.parity.passed
        assert model.parity.probes == 8
        gradient = {one.method: one for one in model.methods if one.available}
        assert {"grad_cam", "integrated_gradients"} <= set(gradient)


async def test_an_unknown_layer_is_an_invalid_argument(served_pair: Path, stub: Any) -> None:
    request = explain_pb2.ExplainRequest(
        model="torch_network",
        input=encode(np.zeros((3, *framework_pairs.SIZE), np.float32)),
        methods=[methods_pb2.Method(grad_cam=methods_pb2.GradCam(layer="nope"))],
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.Explain(request, timeout=60):
            pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
