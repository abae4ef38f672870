"""What every explainer is asked, and what it answers.

Shapes: `(H, W)` is the plane of the model's input, `S` its segments, `N` perturbations, `K` labels.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from explain_service.parameters import Parameters
from explain_service.tick import Tick
from pellucid.cards import Card
from pellucid.contracts import Layout
from pellucid.scores import label_logits, probabilities
from pellucid.serving.triton import ServedModel
from pellucid.tensors import FloatArray


@dataclass(frozen=True)
class Question:
    """What all methods of a request share."""

    model: ServedModel
    input: FloatArray
    """`card.preprocess.shape`, as the client sent it; read-only."""
    baseline: FloatArray
    """`(1, *shape)`, or with axes of length 1 that broadcast to it; in the model's input space."""
    targets: tuple[int, ...]
    """Labels to explain, by their place in the card."""
    probability: bool
    """Whether scores are explained after the activation; else as logits."""
    seed: int
    request_id: str = ""

    @property
    def plane(self) -> tuple[int, int]:
        """Height and width of the input, and of every map."""
        return plane_of(self.model.card)

    def scores(self, served: FloatArray) -> FloatArray:
        """Scores of all labels `(N, K)` on the scale that is explained, from served logits."""
        convert = probabilities if self.probability else label_logits
        return convert(self.model.card, served)


def plane_of(card: Card) -> tuple[int, int]:
    """Height and width of a model's input."""
    shape = card.preprocess.shape
    return shape[1:] if card.preprocess.layout is Layout.CHW else shape[:2]


@dataclass(frozen=True)
class Attribution:
    """One map for one target, and how far it can be trusted."""

    map: FloatArray
    """`(H, W)`, signed: above 0 speaks for the target."""
    segment_values: FloatArray | None = None
    """`(S,)`, for methods that work on segments."""
    segment_low: FloatArray | None = None
    """`(S,)`, lower end of the 95 % interval; None where the method does not sample."""
    segment_high: FloatArray | None = None
    """`(S,)`, upper end of the 95 % interval; None where the method does not sample."""
    completeness_gap: float | None = None
    additivity_gap: float | None = None
    r_squared: float | None = None
    coverage: float | None = None
    warnings: tuple[str, ...] = ()
    """In words, what to beware of."""
    truncated: bool = False
    """The time was up: the map rests on fewer calls than asked for."""


class GradientExplainers(Protocol):
    """The gradient methods, on local copies of what Triton serves. Safe to call from threads."""

    def unavailable(self, model: ServedModel, method: str) -> str:
        """Why this model cannot be explained that way; empty where it can. Does not block long."""

    def resolve(self, model: ServedModel, parameters: Parameters, field: str) -> Parameters:
        """Fill in what the card decides (the layer).

        Raises:
            InvalidArgument: the card has no such layer; `field` is the path of the method.
        """

    def calls(self, parameters: Parameters, targets: int) -> int:
        """Model calls that `tick.step` will count, for so many targets."""

    def explain(self, parameters: Parameters, question: Question, tick: Tick) -> list[Attribution]:
        """One attribution for each target, in order; blocks, in a worker thread.

        Where the time is up, the last targets may have none.

        Raises:
            Cancelled: the client went (from `tick`).
            MethodUnavailable: the copy drifted from what Triton serves, or cannot be built.
            DeadlineTooShort: the time was up and there is nothing to show.
        """

    def libraries(self, model: ServedModel, method: str) -> dict[str, str]:
        """Versions of the libraries that make the map, by name."""

    def parity(self, model: ServedModel) -> Any:
        """`explain_pb2.Parity` of the copy; None while it was not loaded or there is none."""
