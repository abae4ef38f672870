"""Thresholds that a few unlucky cases do not move."""

import numpy as np
import pytest

from training.operating_points import ScoredTwice, best_threshold, operating_points, plateau_middle


def cases(negatives, positives, shift=0.0, owners=None) -> ScoredTwice:
    scores = np.concatenate([negatives, positives])
    labels = np.repeat([0, 1], [len(negatives), len(positives)])
    names = [str(n) for n in range(len(scores))] if owners is None else owners
    return ScoredTwice(labels, scores, np.clip(scores + shift, 0, 1), np.array(names))


def spread(count, low, high):
    return np.linspace(low, high, count)


def test_classes_that_do_not_overlap_are_parted_in_the_middle():
    assert plateau_middle([cases(spread(20, 0.0, 0.4), spread(20, 0.6, 1.0))]) == pytest.approx(0.5)


def test_the_middle_of_the_plateau_stands_where_the_highest_accuracy_is_an_accident():
    """Two positives at .10 and .12 put the argmax below nearly all of the plateau."""
    negatives = np.concatenate([spread(96, 0, 0.08), [0.62, 0.64, 0.66]])
    positives = np.concatenate([[0.1, 0.12], spread(300, 0.6, 1)])
    found = cases(negatives, positives)
    argmax = max(
        np.unique(found.plain),
        key=lambda t: np.mean(positives >= t) + np.mean(negatives < t),
    )
    assert argmax == pytest.approx(0.1)
    assert plateau_middle([found]) == pytest.approx(0.34, abs=0.02)
    assert best_threshold([found]) == pytest.approx(0.34, abs=0.02)


def test_a_threshold_has_to_hold_for_changed_scores_too():
    negatives, positives = spread(50, 0.0, 0.2), spread(50, 0.6, 1.0)
    plain = plateau_middle([cases(negatives, positives)])
    darker = plateau_middle([cases(negatives, positives, shift=-0.2)])
    assert plain == pytest.approx(0.4)
    assert darker == pytest.approx(0.3)


def test_the_set_that_does_worse_decides():
    low = cases(spread(50, 0.0, 0.1), spread(50, 0.45, 1.0))
    high = cases(spread(50, 0.0, 0.5), spread(50, 0.7, 1.0))
    assert plateau_middle([low]) == pytest.approx(0.275, abs=0.03)
    assert plateau_middle([high]) == pytest.approx(0.6, abs=0.03)
    # At 0.45 one loses a tenth of its negatives, at 0.5 the other a tenth of its positives.
    assert plateau_middle([low, high]) == pytest.approx(0.475, abs=0.03)


def test_pictures_of_one_patient_are_left_out_together():
    negatives = np.concatenate([spread(60, 0.0, 0.1), np.full(6, 0.45)])
    positives = spread(60, 0.6, 1.0)
    owners = [f"n{n}" for n in range(60)] + ["one"] * 6 + [f"p{n}" for n in range(60)]
    found = cases(negatives, positives, owners=owners)
    folds = found.folds
    assert len(set(folds[60:66])) == 1
    assert all(len(set(folds[found.labels == label])) == 5 for label in (0, 1))


def test_a_class_with_one_owner_keeps_it():
    found = cases(spread(20, 0.0, 0.4), spread(20, 0.6, 1.0), owners=["a"] * 20 + ["b"] * 20)
    assert best_threshold([found]) == pytest.approx(0.5)


def test_operating_points_keep_what_their_names_promise():
    rng = np.random.default_rng(0)
    logits = [rng.normal(mean, 1, 1_000) for mean in (-1, 1)]
    found = cases(*(1 / (1 + np.exp(-each)) for each in logits))
    points = operating_points([found])
    assert list(points) == ["balanced", "sensitive", "specific", "fixed_0.3"]
    positive = found.labels == 1
    assert np.mean(found.plain[positive] >= points["sensitive"]) == pytest.approx(0.95, abs=0.01)
    assert np.mean(found.plain[~positive] < points["specific"]) == pytest.approx(0.95, abs=0.01)
    assert points["fixed_0.3"] == 0.3


def test_where_the_classes_hardly_overlap_no_point_is_on_the_wrong_side_of_another():
    points = operating_points([cases(spread(100, 0, 0.3), spread(100, 0.7, 1))])
    assert points["sensitive"] == points["balanced"] == points["specific"] == 0.5
