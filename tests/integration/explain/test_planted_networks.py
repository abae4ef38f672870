"""All six methods, through a real Triton and checked copies, find what was planted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from pellucid import tensors
from pellucid.api.explain.v1 import explain_pb2
from pellucid.api.explain.v1.methods_pb2 import (
    ExplainOptions,
    GradCam,
    Grid,
    IntegratedGradients,
    Method,
    Segmentation,
    Target,
)
from tests.integration.explain.networks import Network, serving
from tests.integration.explain.requests import METHODS
from tests.support import planted_networks
from tests.support.explain_client import Stub, explain

ALL = (
    *METHODS,
    Method(grad_cam=GradCam()),
    Method(integrated_gradients=IntegratedGradients(steps=20)),
)


@pytest.fixture(scope="module", autouse=True)
def served(repository: Path, triton_client: InferenceServerClient) -> Iterator[None]:
    """Both networks, loaded into the running Triton, and gone afterwards."""
    makers = {
        "torch_patch": planted_networks.torch_patch,
        "keras_tone": planted_networks.keras_tone,
    }
    networks = [
        Network(planted_networks.card(name), "tests.support.planted_networks", make)
        for name, make in makers.items()
    ]
    with serving(repository, triton_client, networks):
        yield


async def test_every_method_finds_the_planted_patch(stub: Stub) -> None:
    image = np.random.default_rng(1).uniform(0.1, 0.3, (1, 32, 32)).astype(np.float32)
    image[0, 8:16, 16:24] = 1
    await assert_found(stub, "torch_patch", image, np.s_[8:16, 16:24], Grid(rows=4, columns=4))


async def test_every_method_finds_the_planted_tone(stub: Stub) -> None:
    sound = np.random.default_rng(2).uniform(0, 0.2, (32, 63, 1)).astype(np.float32)
    sound[12:16] = 0.9
    await assert_found(stub, "keras_tone", sound, np.s_[12:16], Grid(rows=8, columns=2))


async def assert_found(
    stub: Stub, model: str, image: np.ndarray, place: object, grid: Grid
) -> None:
    """Each map has its highest tenth at the planted place more than anywhere else."""
    asked = explain_pb2.ExplainRequest(
        model=model,
        input=tensors.encode(image),
        methods=ALL,
        options=ExplainOptions(
            targets=[Target(label="planted")], segmentation=Segmentation(grid=grid)
        ),
    )
    answer = await explain(stub, asked, timeout=120)
    assert len(answer.maps) == len(ALL)
    inside = np.zeros(answer.maps[0].shape, dtype=bool)
    inside[place] = True  # type: ignore[index]
    for found, values in zip(answer.explanations, answer.maps, strict=True):
        top = values >= np.sort(values[inside])[len(values[inside]) // 2]
        assert inside[top].mean() > 0.7, found.method
        assert values[inside].mean() > 4 * abs(values[~inside]).mean(), found.method
