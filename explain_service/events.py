"""What happens while a request is explained, in the order in which a client hears of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from explain_service.attribution import Attribution
from explain_service.comparison import Agreement
from explain_service.parameters import Parameters
from explain_service.query import Query
from explain_service.segmentation import SegmentMap


@dataclass(frozen=True)
class ResolvedTarget:
    """A label that is explained, and what the model says of it on the scale that is explained."""

    label: str
    index: int
    score: float
    baseline_score: float


@dataclass(frozen=True)
class Resolved:
    """First: what is explained."""

    query: Query
    targets: tuple[ResolvedTarget, ...]
    input_digest: str


@dataclass(frozen=True)
class Progressed:
    """How far one method is."""

    method: str
    calls_done: int
    calls_total: int
    elapsed_s: float
    remaining_s: float | None


@dataclass(frozen=True)
class Run:
    """How a method ran: the part of a receipt that the request alone does not tell."""

    precision: str
    model_calls: int
    seconds: float
    library_versions: Mapping[str, str]


@dataclass(frozen=True)
class Explained:
    """A map, finished or usable."""

    resolved: Resolved
    parameters: Parameters
    target: ResolvedTarget
    attribution: Attribution
    segments: SegmentMap | None
    """`(H, W)`, for methods that work on segments."""
    run: Run
    partial: bool
    """The method still runs; a later map takes this one's place."""


@dataclass(frozen=True)
class Compared:
    """Last, where there are at least two methods."""

    agreements: tuple[Agreement, ...]


Event = Resolved | Progressed | Explained | Compared
