"""What a method is: everything that Pellucid knows of it, in one object.

A method is a class in a module of its own, listed in `explain_service.methods`. Its parameters are
a message whose fields carry description, default, range and unit (`pellucid.parameters`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from google.protobuf.message import Message

from explain_service.attribution import Attribution, ExplainInput
from explain_service.gradient.copies import GradientCopies
from explain_service.measures import MeasureKind
from explain_service.run_control import RunControl
from explain_service.triton_calls import TritonCalls
from pellucid.api.explain.v1 import explain_pb2
from pellucid.cards import Card
from pellucid.errors import MethodUnavailable, PellucidError
from pellucid.parameters import resolve
from pellucid.serving.served_model import ServedModel

P = TypeVar("P", bound=Message)


@dataclass(frozen=True)
class Backends:
    """What answers for the models: Triton, and the gradient copies."""

    calls: TritonCalls
    copies: GradientCopies


@dataclass(frozen=True)
class Workload:
    """What decides the cost of a method, as far as it is known."""

    card: Card
    segments: int
    """About how many there are."""
    targets: int
    """About how many there are."""
    baseline_is_constant: bool
    """A number a channel; else it is as large as the input."""


class Method(ABC, Generic[P]):
    """One explanation method, for all models and requests; it keeps no state."""

    name: ClassVar[str]
    """In the API: the field of `Method`, e.g. `lime`."""
    title: ClassVar[str]
    """For people, e.g. `LIME`."""
    description: ClassVar[str]
    """One line: how it works."""
    paper: ClassVar[str]
    """Where it was published."""
    message: ClassVar[type[Message]]
    """Its parameters."""
    measures: ClassVar[tuple[MeasureKind, ...]] = ()
    """The numbers that come with its maps."""
    on_segments: ClassVar[bool] = False
    """Whether it works on the segments of the request."""
    uses_baseline: ClassVar[bool] = True
    runtime: ClassVar["explain_pb2.Runtime.ValueType"]
    relative_cost: ClassVar[float] = 1.0
    """Of one model call, as long as none was measured; a score from Triton costs 1."""

    @abstractmethod
    def unavailable(self, model: ServedModel, backends: Backends) -> str:
        """Why a model cannot be explained this way; empty where it can. Does not block long."""

    def refusal(self, model: ServedModel, why: str, field: str) -> PellucidError:
        """What to raise where it is `unavailable`; `field` is the path of the method's message."""
        return refused(model, self.name, why, field)

    def resolve(self, parameters: P, card: Card, field: str) -> P:
        """Fill in what the card decides, and check what depends on the model.

        Args:
            parameters: in range, with all defaults that do not depend on the model.
            card: the model's.
            field: path of the method's message in the request, for the error.

        Raises:
            InvalidArgument: a value does not fit the model.
            MethodUnavailable: the card lacks what the method needs.
        """
        return parameters

    def choices(self, card: Card) -> dict[str, tuple[str, ...]]:
        """The values to choose from, of parameters that the card decides; the first by default."""
        return {}

    def check_segments(self, parameters: P, segments: int, field: str) -> None:
        """Refuse what only the number of segments shows to be too large.

        Raises:
            InvalidArgument: `field` is the path of the method's message in the request.
        """
        return

    @property
    def speed_key(self) -> str:
        """Methods with the same key take the same time for one model call."""
        return self.name

    @abstractmethod
    def calls(self, parameters: P, workload: Workload) -> int:
        """Inputs that the model evaluates."""

    def sent_bytes(self, parameters: P, workload: Workload, masks_per_call: int) -> int:
        """Sent to Triton."""
        return 0

    @abstractmethod
    def explain(
        self, parameters: P, inputs: ExplainInput, backends: Backends, control: RunControl
    ) -> list[Attribution]:
        """One attribution for each target, in order; blocks, in a worker thread.

        Where the time is up, the last targets may have none.

        Raises:
            Cancelled: the request was.
            DeadlineTooShort: the time was up and there is nothing to show.
            PellucidError: it cannot be answered.
        """

    @abstractmethod
    def precision(self, inputs: ExplainInput) -> str:
        """Arithmetic of the model that it calls."""

    def libraries(self, inputs: ExplainInput) -> tuple[str, ...]:
        """Distributions that take part in a map, for the receipts."""
        return ()

    def warm_up(self) -> None:
        """Do what has to happen once before the first explanation, so that none waits for it."""
        return

    def defaults(self, card: Card) -> P:
        """The parameters of a request that sets none; raises as `resolve` does."""
        message: Any = self.message()
        return self.resolve(resolve(message, self.name), card, self.name)


def refused(model: ServedModel, method: str, why: str, field: str = "") -> MethodUnavailable:
    """What to raise where a model cannot be explained by a method."""
    return MethodUnavailable(
        f"{model.card.name} cannot be explained by {method}: {why}",
        field=field,
        remedy="choose a method that the capabilities say is available",
        model=model.card.name,
        method=method,
    )
