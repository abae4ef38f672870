"""An ensemble of linear models in the real Triton, and its Shapley values."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from pellucid import tensors
from pellucid.api.explain.v1 import methods_pb2
from pellucid.api.explain.v1.methods_pb2 import (
    Grid,
    IntegratedGradients,
    KernelShap,
    Method,
    Segmentation,
    Target,
)
from pellucid.cards import MEMBER_SCORES
from pellucid.embedded.system import EmbeddedTriton
from pellucid.scores import probabilities
from tests.integration.explain.requests import METHODS, picture, request
from tests.support.explain_client import Stub, explain, refused
from tests.support.known_models import Ensemble, linear_model, write_ensemble
from tests.support.shapley import every_mask, shapley_values

NAMES = ("both", "both_masked")


@pytest.fixture(scope="module")
def both(repository: Path, triton_client: InferenceServerClient) -> Iterator[Ensemble]:
    """Members that are not loaded themselves."""
    members = [
        linear_model(repository, name, seed=seed, temperature=temperature)
        for name, seed, temperature in (("one", 1, 0.5), ("two", 2, 3.0))
    ]
    found = write_ensemble(repository, "both", members)
    for name in NAMES:
        triton_client.load_model(name)
    yield found
    for name in NAMES:
        triton_client.unload_model(name)
    for name in (*NAMES, "one", "one_masked", "two", "two_masked"):
        shutil.rmtree(repository / name)


def test_triton_answers_the_mean_and_what_each_member_says(
    triton: EmbeddedTriton, both: Ensemble, triton_client: InferenceServerClient
) -> None:
    inputs = np.random.default_rng(0).random((5, *both.card.preprocess.shape), np.float32)
    tensor = InferInput("input", inputs.shape, "FP32")
    tensor.set_data_from_numpy(inputs)
    answer = triton_client.infer("both", [tensor])
    assert answer.as_numpy(MEMBER_SCORES) == pytest.approx(both.member_scores(inputs), abs=1e-5)
    served = probabilities(both.card, answer.as_numpy("logits"))
    assert served == pytest.approx(both.scores(inputs), abs=1e-5)


async def test_kernel_shap_of_the_score_is_exact(stub: Stub, both: Ensemble) -> None:
    image = picture(both)
    asked = request(
        both,
        image,
        [Method(kernel_shap=KernelShap(samples=300))],
        targets=[Target(index=1)],
        score_space=methods_pb2.SCORE_SPACE_PROBABILITY,
        segmentation=Segmentation(grid=Grid(rows=2, columns=3)),
    )
    found = (await explain(stub, asked)).explanations[0]
    segments = tensors.decode(found.segment_scores.segments, "segments")
    shown = np.where(every_mask(6)[:, segments][:, None] == 1, image, np.float32(image.mean()))
    scores = both.scores(shown.astype(np.float32))[:, 1].astype(np.float64)
    assert found.segment_scores.values == pytest.approx(shapley_values(scores), abs=1e-5)


async def test_every_perturbation_method_explains_it_and_no_gradient_method_does(
    stub: Stub, both: Ensemble
) -> None:
    image = picture(both)
    asked = request(both, image, METHODS)
    assert len((await explain(stub, asked)).explanations) == len(METHODS)
    asked = request(both, image, [Method(integrated_gradients=IntegratedGradients())])
    assert "it is an ensemble" in str(await refused(stub, asked))
