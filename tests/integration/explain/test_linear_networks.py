"""Gradients through the whole service, on a served network whose explanation has a closed form."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from pellucid.api.explain.v1 import methods_pb2
from pellucid.api.explain.v1.methods_pb2 import IntegratedGradients, Method, Target
from tests.integration.explain.networks import LINEAR, WEIGHTS, serving
from tests.integration.explain.requests import picture, request
from tests.support.explain_client import Stub, explain, measure

BLACK = -2.0
"""The pixel value 0 in the space of the input."""


@pytest.fixture(scope="module", autouse=True)
def served(repository: Path, triton_client: InferenceServerClient) -> Iterator[None]:
    with serving(repository, triton_client, [LINEAR]):
        yield


@pytest.mark.parametrize("steps", [10, 25])
async def test_integrated_gradients_of_a_linear_network_are_weight_times_difference(
    stub: Stub, steps: int
) -> None:
    image = picture(LINEAR)
    asked = request(
        LINEAR,
        image,
        [Method(integrated_gradients=IntegratedGradients(steps=steps))],
        targets=[Target(label="c"), Target(index=0)],
        baseline=methods_pb2.BASELINE_BLACK,
    )
    answer = await explain(stub, asked)
    assert [found.target.index for found in answer.explanations] == [2, 0]
    for found, values in zip(answer.explanations, answer.maps, strict=True):
        expected = (WEIGHTS[found.target.index] * (image - BLACK)).sum(axis=0)
        assert values == pytest.approx(expected, abs=1e-6)
        assert measure(found, "completeness_gap") < 1e-5
        # Nothing is missed; only a baseline that says no less than the input is warned of.
        falls = found.target.baseline_score >= found.target.score
        assert ["another baseline" in warning for warning in found.trust.warnings] == [True] * falls
