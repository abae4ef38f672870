"""The figures of a card on scores whose figures are known."""

import numpy as np
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, roc_auc_score

from tests.support.known_models import linear_model, write_ensemble
from training.calibration import temperature
from training.digests import NoWeights
from training.evaluate import Network
from training.evaluation import (
    evaluate,
    mean_auc,
    recall_by_group,
)
from training.figures import (
    Cases,
    auc,
    brier,
    calibration_error,
    equal_error_rate,
    thresholded,
    with_intervals,
)
from training.places import Places

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
EACH_ITS_OWN = [str(number) for number in range(8)]


def value(measure, labels, scores) -> float:
    cases = Cases.of(labels, scores, [str(number) for number in range(len(labels))])
    return float(measure(cases, np.ones((1, len(labels))))[0])


def accuracy(labels, scores, owners):
    cases = Cases.of(labels, scores, owners)
    return with_intervals({"accuracy": thresholded(0.5)["accuracy"]}, cases)["accuracy"]


def test_classes_that_do_not_overlap_have_no_error():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    assert value(equal_error_rate, LABELS, scores) == 0
    figures = evaluate(LABELS, scores, 0.5, EACH_ITS_OWN)
    for name in ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity"):
        assert figures[name] == {"value": 1, "low": 1, "high": 1}


def test_one_case_of_four_on_the_wrong_side_of_each_class_is_an_equal_error_of_a_quarter():
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.35, 0.6, 0.8, 0.9])
    assert value(equal_error_rate, LABELS, scores) == pytest.approx(0.25)


def test_equal_scores_tell_nothing():
    assert value(equal_error_rate, LABELS, np.full(8, 0.5)) == pytest.approx(0.5)


def test_the_equal_error_rate_of_two_normal_distributions_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20_000)
    scores = rng.normal(2.0 * labels)
    assert value(equal_error_rate, labels, scores) == pytest.approx(0.1587, abs=0.005)


def test_the_interval_counts_patients_not_their_images():
    labels = np.repeat([0, 1], 200)
    scores = labels.astype(float)
    scores[:20], scores[200:220] = 1, 0
    owners = [str(number // 4) for number in range(400)]  # four images each, all right or all wrong
    figure = accuracy(labels, scores, owners)
    half = 1.96 * np.sqrt(0.9 * 0.1 / 100)
    assert (figure.low, figure.high) == pytest.approx((0.9 - half, 0.9 + half), abs=0.01)


def test_the_interval_of_an_accuracy_is_that_of_the_binomial():
    labels = np.repeat([0, 1], 200)
    scores = labels.astype(float)
    scores[:20], scores[200:220] = 1, 0
    owners = [str(number) for number in range(400)]
    figure = accuracy(labels, scores, owners)
    half = 1.96 * np.sqrt(0.9 * 0.1 / 400)
    assert figure.value == pytest.approx(0.9)
    assert (figure.low, figure.high) == pytest.approx((0.9 - half, 0.9 + half), abs=0.005)


def test_every_measure_of_every_resample_is_that_of_the_library():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)
    scores = np.round(rng.uniform(size=60) * 0.5 + labels * 0.3, 1)  # many are equal
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    cases = Cases.of(labels, scores, ["one"] * 60)
    at_half = thresholded(0.5)
    for measure, library in (
        (auc, lambda y, s, w: roc_auc_score(y, s, sample_weight=w)),
        (brier, lambda y, s, w: brier_score_loss(y, s, sample_weight=w)),
        (at_half["f1"], lambda y, s, w: f1_score(y, s >= 0.5, sample_weight=w)),
        (
            at_half["balanced_accuracy"],
            lambda y, s, w: balanced_accuracy_score(y, s >= 0.5, sample_weight=w),
        ),
    ):
        expected = [library(labels, scores, row) for row in weights]
        np.testing.assert_allclose(measure(cases, weights), expected)


def test_the_recall_of_a_group_counts_its_own_class():
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.35, 0.6, 0.8, 0.9])
    groups = ("voice", "voice", "room", "room", "old", "old", "new", "new")
    recall = recall_by_group(LABELS, scores, groups, 0.5)
    assert recall == {"new": 1.0, "old": 0.5, "room": 0.5, "voice": 1.0}


def test_scores_that_mean_what_they_say_have_no_calibration_error():
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=50_000)
    labels = (rng.uniform(size=50_000) < scores).astype(int)
    assert value(calibration_error, labels, scores) < 0.01
    assert value(brier, labels, scores) == pytest.approx(1 / 6, abs=0.01)
    assert value(calibration_error, labels, scores**3) > 0.1


def test_the_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    labels = (rng.uniform(size=20_000) < 1 / (1 + np.exp(-logits))).astype(int)
    assert temperature(labels, 3 * logits) == pytest.approx(3, rel=0.05)


def test_the_mean_auc_leaves_out_labels_without_both_classes_and_unknown_targets():
    targets = np.array([[1, 1, np.nan], [0, 1, 1], [0, 1, 0], [1, 1, 1]], float)
    scores = np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.9], [0.2, 0.3, 0.1], [0.8, 0.4, 0.8]])
    assert mean_auc(targets, scores) == 1


def test_what_was_brought_and_ensembles_have_no_weights_to_measure(tmp_path):
    members = [linear_model(tmp_path, name, temperature=2) for name in ("one", "two")]
    write_ensemble(tmp_path, "both", members)
    program = linear_model(tmp_path, "program").folder
    (program / "1/network.pt2").touch()
    card = yaml.safe_load((program / "card.yaml").read_text())
    card["architecture"] = {"framework": "torch"}
    (program / "card.yaml").write_text(yaml.safe_dump(card))
    for name in ("one", "both", "program"):
        with pytest.raises(NoWeights, match=f"{name} has no weights.safetensors"):
            Network.served(name, Places(repository=tmp_path))
