"""The events of an explanation, and what they amount to."""

from dataclasses import dataclass

from pellucid.client.explanations import Explanation, ResolvedTarget
from pellucid.client.inputs import ExplainedInput
from pellucid.client.predictions import Prediction


@dataclass(frozen=True)
class ResolvedTargets:
    """Event, once, when the explanation begins: what is explained."""

    targets: tuple[ResolvedTarget, ...]
    """In order; each with the scores of input and baseline."""


@dataclass(frozen=True)
class MethodProgress:
    """Event: how far one method is."""

    method: str
    calls_done: int
    """Model calls (masks, steps or layers) done."""
    calls_total: int
    elapsed_s: float
    """Seconds since this method began."""
    remaining_s: float | None
    """Estimated seconds; None before the first call came back."""


@dataclass(frozen=True, eq=False)
class Partial:
    """Event: a usable map of a method that still runs; a later one takes its place."""

    explanation: Explanation


@dataclass(frozen=True)
class MethodFailure:
    """Event: a method that has no map, or not one for every target; those after it go on."""

    method: str
    """Name of the method, e.g. `lime`."""
    reason: str
    """The error's reason, e.g. `BACKEND_UNAVAILABLE`: see `pellucid.errors`."""
    message: str
    remedy: str
    """What to do about it."""
    retriable: bool
    """Whether the same request may succeed later."""


@dataclass(frozen=True)
class Agreement:
    """How alike two maps of the same target are."""

    method_a: str
    method_b: str
    label: str
    rank_correlation: float | None
    """Spearman's, -1 to 1; None where one map is constant."""
    top_overlap: float | None
    """Intersection over union of the tenths of the input with the highest values, 0 to 1; None
    where a map has no such tenth."""


@dataclass(frozen=True)
class Comparison:
    """Last event, where there are at least two methods: all pairs, for each target."""

    agreements: tuple[Agreement, ...]


ExplainEvent = (
    ExplainedInput
    | ResolvedTargets
    | MethodProgress
    | Partial
    | Explanation
    | MethodFailure
    | Comparison
)
"""One event of an explanation."""


@dataclass(frozen=True)
class Result:
    """What the events of an explanation amount to."""

    input: ExplainedInput
    targets: tuple[ResolvedTarget, ...]
    """What is explained, in order; empty where it ended before that was known."""
    explanations: tuple[Explanation, ...]
    """Finished maps, in the order they came."""
    partials: tuple[Explanation, ...] = ()
    """The last usable maps of methods that did not finish: none, unless it ended early."""
    failures: tuple[MethodFailure, ...] = ()
    """Methods without a map for some target."""
    comparison: Comparison | None = None
    """None where there was one method only, or where it ended early."""

    @property
    def prediction(self) -> Prediction:
        """What the model says of the file."""
        return self.input.prediction

    @property
    def maps(self) -> tuple[Explanation, ...]:
        """Finished maps, then partial ones."""
        return self.explanations + self.partials

    def get(self, method: str, label: str | None = None) -> Explanation:
        """The finished map of one method, for one label or else the first target.

        Raises:
            KeyError: there is no such map.
        """
        for explanation in self.explanations:
            if explanation.method == method and label in (None, explanation.target.label):
                return explanation
        raise KeyError((method, label))


class ResultBuilder:
    """Puts the events of an explanation together as they come, also of one that ends early."""

    def __init__(self) -> None:
        """Begin without any event."""
        self._input: ExplainedInput | None = None
        self._targets: tuple[ResolvedTarget, ...] = ()
        self._finished: list[Explanation] = []
        self._partials: dict[tuple[str, str], Explanation] = {}
        self._failures: list[MethodFailure] = []
        self._comparison: Comparison | None = None

    @property
    def has_maps(self) -> bool:
        """Whether there is any map yet, finished or partial."""
        return bool(self._finished or self._partials)

    def add(self, event: ExplainEvent) -> None:
        """Take one event in; a partial map is kept until its method sends another."""
        match event:
            case ExplainedInput():
                self._input = event
            case ResolvedTargets(targets):
                self._targets = targets
            case Partial(explanation):
                self._partials[_key(explanation)] = explanation
            case Explanation():
                self._finished.append(event)
                self._partials.pop(_key(event), None)
            case MethodFailure():
                self._failures.append(event)
            case Comparison():
                self._comparison = event
            case _:
                pass

    def result(self) -> Result:
        """What the events so far amount to.

        Raises:
            ValueError: the first event is missing.
        """
        if self._input is None:
            raise ValueError("the events of an explanation begin with the prediction")
        return Result(
            input=self._input,
            targets=self._targets,
            explanations=tuple(self._finished),
            partials=tuple(self._partials.values()),
            failures=tuple(self._failures),
            comparison=self._comparison,
        )


def _key(explanation: Explanation) -> tuple[str, str]:
    return explanation.method, explanation.target.label
