"""How the methods of a request share its time."""

from collections.abc import Sequence
from typing import Final

from explain_service.planner import Cost
from explain_service.run_control import TimeBudget
from pellucid.serving.deadline import Deadline

FINISH_SHARE: Final = 0.1
"""At most this share of a deadline is kept to finish."""
LEAST_SHARE: Final = 0.1
"""Of the time, left for each method that follows where not all may fit: a quick one is not lost."""


class Schedule:
    """Says how long each method may take, with what is left when its turn comes."""

    def __init__(self, deadline: Deadline, finish_s: float) -> None:
        """Share the time until a deadline.

        Args:
            deadline: of the request.
            finish_s: what is kept of it to compute and send what there is, at most.
        """
        margin = min(finish_s, deadline.timeout() * FINISH_SHARE)
        self._end = deadline.keeping(margin)

    def budget(self, costs: Sequence[Cost]) -> TimeBudget:
        """Time of the next method, so that those after it get their part.

        Args:
            costs: of the next method and of those after it; at least one.
        """
        known = [cost.seconds for cost in costs if cost.seconds is not None]
        measured = len(known) == len(costs)
        weights = known if measured else [cost.relative for cost in costs]
        fair = max(weights[0] / max(sum(weights), 1e-9), 1 / len(costs))
        seconds = self._end.left()
        if not measured or sum(weights) > seconds:
            fair = min(fair, max(1 - LEAST_SHARE * (len(costs) - 1), 1 / len(costs)))
        return TimeBudget(share=self._end.part(fair), deadline=self._end)
