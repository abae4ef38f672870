"""Which baseline stands where a part is hidden."""

from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Card
from pellucid.contracts import Baseline, baseline_name
from pellucid.errors import InvalidArgument


def resolve_baseline(card: Card, wanted: Baseline, field: str) -> Baseline:
    """The baseline to use: what was asked for, or the model's default.

    Raises:
        InvalidArgument: there is no such baseline, or not for this kind of input.
    """
    if wanted == methods_pb2.BASELINE_UNSPECIFIED:
        return card.baselines[0]
    if wanted not in card.baselines:
        names = sorted(baseline_name(baseline) for baseline in card.baselines)
        raise InvalidArgument(
            "the model's kind of input has no such baseline",
            field=field,
            remedy=f"choose one of: {', '.join(names)}",
        )
    return wanted
