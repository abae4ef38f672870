import pytest

from explain_service.measures import Grade, Measure, MeasureKind, gap_measure

GAP = MeasureKind("gap", "gap", "What is missed.", by_construction=True)


@pytest.mark.parametrize(
    ("gap", "gain", "grade"),
    [
        (0.0, 2.0, Grade.GOOD),
        (0.04, 2.0, Grade.GOOD),
        (0.1, -2.0, Grade.FAIR),
        (0.3, 2.0, Grade.POOR),
        (0.0, 0.0, Grade.GOOD),
        (0.1, 0.0, Grade.POOR),
    ],
)
def test_a_gap_is_graded_by_its_share_of_the_change(gap: float, gain: float, grade: Grade) -> None:
    assert gap_measure(GAP, gap, gain).grade is grade


@pytest.mark.parametrize(
    ("gap", "gain", "words"),
    [
        (0.0, 2.0, "the map adds up to the score's change from the baseline"),
        (0.3, 2.0, "15.0% of the score's change from the baseline is unaccounted for"),
        (
            0.1,
            0.0,
            "the score does not differ from the baseline's, the map does not add up to 0",
        ),
    ],
)
def test_a_gap_says_in_words_what_it_means(gap: float, gain: float, words: str) -> None:
    assert gap_measure(GAP, gap, gain).words == words


@pytest.mark.parametrize(
    ("grade", "capped"),
    [(Grade.GOOD, Grade.FAIR), (Grade.FAIR, Grade.FAIR), (Grade.POOR, Grade.POOR)],
)
def test_a_grade_can_be_capped_and_is_never_raised(grade: Grade, capped: Grade) -> None:
    found = Measure(GAP, 1.0, grade, "words").at_most_fair()
    assert (found.value, found.grade) == (1.0, capped)
    assert ("see the warnings" in found.words) == (capped is not grade)
