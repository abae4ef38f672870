"""What happens while a request is explained, in the order in which a client gets it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from explain_service.attribution import SegmentValues
from explain_service.comparison import Agreement
from explain_service.measures import Measure
from explain_service.request import CheckedRequest, MethodCall
from pellucid.tensors import FloatArray


@dataclass(frozen=True)
class ResolvedTarget:
    """A label that is explained, and what the model says of it on the scale that is explained."""

    label: str
    index: int
    score: float
    baseline_score: float
    probability: bool


@dataclass(frozen=True)
class RequestAccepted:
    """First: nothing is wrong with the request."""

    input_digest: str
    queue_position: int
    """Explanations that run or wait before this one."""


@dataclass(frozen=True)
class TargetsResolved:
    """The work begins: what is explained."""

    targets: tuple[ResolvedTarget, ...]


@dataclass(frozen=True)
class MethodProgress:
    """How far one method is."""

    method: str
    calls_done: int
    calls_total: int
    elapsed_s: float
    remaining_s: float | None


@dataclass(frozen=True)
class RunFacts:
    """How a method ran: the part of a receipt that the request does not have."""

    input_digest: str
    precision: str
    model_calls: int
    seconds: float
    library_versions: Mapping[str, str]


@dataclass(frozen=True)
class MapReady:
    """A map, finished or usable."""

    request: CheckedRequest
    call: MethodCall
    target: ResolvedTarget
    map: FloatArray
    """`(H, W)`."""
    segments: SegmentValues | None
    """For methods that work on segments."""
    measures: tuple[Measure, ...]
    warnings: tuple[str, ...]
    all_zero: bool
    truncated: bool
    facts: RunFacts
    partial: bool
    """The method still runs; a later map takes this one's place."""


@dataclass(frozen=True)
class MethodFailed:
    """A method that has no map, or not one for every target."""

    method: str
    reason: str
    message: str
    remedy: str
    retriable: bool


@dataclass(frozen=True)
class MapsCompared:
    """Last, where there are at least two methods."""

    agreements: tuple[Agreement, ...]


Event: TypeAlias = (
    RequestAccepted | TargetsResolved | MethodProgress | MapReady | MethodFailed | MapsCompared
)

Emit: TypeAlias = Callable[[Event], None]
