"""The perturbation methods through a real Triton, on models whose explanation is known."""

from collections.abc import Mapping

import numpy as np
import pytest

from pellucid import tensors
from pellucid.api.explain.v1 import methods_pb2
from pellucid.api.explain.v1.methods_pb2 import Grid, KernelShap, Method, Segmentation, Target
from tests.integration.explain.requests import METHODS, picture, request
from tests.support.explain_client import Floats, Stub, explain, measure
from tests.support.known_models import LinearModel
from tests.support.shapley import every_mask, shapley_values


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
            assert measure(found, "coverage") == 1
        else:
            assert found.segment_scores.values == pytest.approx(over_grid(expected), abs=1e-4)
        if found.method.endswith("shap"):
            assert measure(found, "additivity_gap") == pytest.approx(0, abs=1e-5)
        if found.method == "lime":
            assert measure(found, "r_squared") == pytest.approx(1, abs=1e-6)


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
    inputs = np.where(every_mask(8)[:, segments][:, None] == 1, image, np.float32(image.mean()))
    logits = model.logits(inputs.astype(np.float32)).astype(np.float64)
    scores = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[:, 1]
    assert found.segment_scores.values == pytest.approx(shapley_values(scores), abs=1e-6)
    assert found.segment_scores.low == pytest.approx(found.segment_scores.high)


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
