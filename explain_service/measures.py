"""Numbers that say how far a map can be trusted, each with what it means in words."""

from dataclasses import dataclass, replace
from enum import Enum

from pellucid.api.explain.v1 import explanation_pb2


class Grade(Enum):
    """How a measure reads."""

    GOOD = explanation_pb2.GRADE_GOOD
    FAIR = explanation_pb2.GRADE_FAIR
    POOR = explanation_pb2.GRADE_POOR


@dataclass(frozen=True)
class MeasureKind:
    """What a measure is, whatever its value."""

    name: str
    title: str
    """For people."""
    description: str
    by_construction: bool = False
    """The method makes it good, so a good value outweighs no warning."""


@dataclass(frozen=True)
class Measure:
    """One number of one map."""

    kind: MeasureKind
    value: float
    grade: Grade
    words: str
    """What the value means, in one sentence."""

    def at_most_fair(self) -> "Measure":
        """The same, but no better than fair."""
        if self.grade is not Grade.GOOD:
            return self
        return replace(self, grade=Grade.FAIR, words=f"{self.words}; but see the warnings")


def gap_measure(kind: MeasureKind, gap: float, gain: float) -> Measure:
    """A measure of what a map's values miss of the score's rise.

    Args:
        kind: of gap.
        gap: |sum of the values - gain|.
        gain: score of the input minus score of the baseline.
    """
    change = abs(gain)
    share = gap / change if change > 0 else (0.0 if gap == 0 else float("inf"))
    grade = Grade.GOOD if share <= 0.02 else Grade.FAIR if share <= 0.1 else Grade.POOR
    if share < 0.001:
        words = "the map adds up to the score's change from the baseline"
    elif share == float("inf"):
        words = "the score does not differ from the baseline's, the map does not add up to 0"
    else:
        words = f"{share:.1%} of the score's change from the baseline is unaccounted for"
    return Measure(kind, gap, grade, words)
