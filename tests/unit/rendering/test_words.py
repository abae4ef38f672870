from dataclasses import replace

import numpy as np
import pytest

from pellucid.client import Result
from pellucid.client.results import SegmentScores
from pellucid.rendering.words import Grade, cautions, facts, findings, number, parameters, title


@pytest.mark.parametrize(
    ("gap", "grade"), [(0.0, Grade.GOOD), (0.05, Grade.GOOD), (0.2, Grade.FAIR), (2, Grade.POOR)]
)
def test_a_gap_is_judged_against_the_scores_change(film: Result, gap: float, grade: Grade) -> None:
    explanation = film.get("integrated_gradients")  # its score changes by 3.75
    trust = replace(explanation.trust, completeness_gap=gap, warnings=())
    assert findings(replace(explanation, trust=trust))[0].grade is grade


def test_a_gap_without_any_change_is_poor(film: Result) -> None:
    explanation = film.get("integrated_gradients")
    target = replace(explanation.target, baseline_score=explanation.target.score)
    assert findings(replace(explanation, target=target))[0].grade is Grade.POOR


@pytest.mark.parametrize(
    ("r_squared", "grade"), [(0.9, Grade.GOOD), (0.5, Grade.FAIR), (-3, Grade.POOR)]
)
def test_the_fit_of_lime_is_judged(film: Result, r_squared: float, grade: Grade) -> None:
    explanation = film.get("lime")
    trust = replace(explanation.trust, r_squared=r_squared)
    assert findings(replace(explanation, trust=trust))[0].grade is grade


def test_a_truncated_or_empty_map_is_cautioned_against(film: Result) -> None:
    explanation = film.get("lime")
    trust = replace(explanation.trust, all_zero=True)
    found = cautions(replace(explanation, trust=trust, truncated=True, segment_scores=None))
    assert len(found) == 2


def test_numbers_and_names_are_for_people(film: Result, clip: Result) -> None:
    assert number(-0.00012345) == "\N{MINUS SIGN}0.000123"
    assert number(0) == "0"
    assert title("grad_cam") == "Grad-CAM"
    assert title("something_new") == "something new"
    assert facts(film.prediction).startswith("image/png · 320 by 260 pixels")
    assert "3.40 s" in facts(clip.prediction)
    assert parameters(film.get("lime").receipt).startswith("samples = 500")


def test_no_number_of_a_truncated_map_reads_as_good(film: Result) -> None:
    explanation = film.explanations[0]
    trust = replace(explanation.trust, completeness_gap=0.0, coverage=1.0, r_squared=0.9)
    cut = findings(replace(explanation, trust=trust, truncated=True))
    assert {finding.grade for finding in cut} == {Grade.FAIR}


def test_a_gap_that_is_small_by_construction_outweighs_no_warning(film: Result) -> None:
    explanation = replace(film.explanations[0], segment_scores=None)
    trust = replace(
        explanation.trust,
        completeness_gap=None,
        additivity_gap=0.0,
        r_squared=None,
        coverage=None,
        warnings=("too few coalitions for a unique solution",),
    )
    assert [found.grade for found in findings(replace(explanation, trust=trust))] == [Grade.FAIR]
    trust = replace(trust, warnings=())
    assert [found.grade for found in findings(replace(explanation, trust=trust))] == [Grade.GOOD]


def test_intervals_around_zero_and_a_high_baseline_are_cautioned_against(film: Result) -> None:
    explanation = film.explanations[0]
    scores = SegmentScores(
        segments=np.zeros((1, 1), np.uint16),
        values=np.array([1.0, 2.0, 3.0]),
        low=np.array([-1.0, -1.0, 2.0]),
        high=np.array([3.0, 5.0, 4.0]),
    )
    high = replace(explanation.target, baseline_score=explanation.target.score + 1)
    found = cautions(replace(explanation, method="lime", segment_scores=scores, target=high))
    assert any("intervals of 2 of 3 segments contain 0" in one for one in found)
    assert any("baseline scores" in one for one in found)
    sure = replace(scores, low=np.array([0.5, -1.0, 2.0]))
    found = cautions(replace(explanation, method="grad_cam", segment_scores=sure, target=high))
    assert not any("contain 0" in one or "baseline" in one for one in found)
