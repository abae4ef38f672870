"""From served logits to scores, and from what a client asks for to the labels that are explained.

Shapes: `N` inputs, `K` labels of the card, `K'` served logits (1 for a `binary_sigmoid` model, else
`K`).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Activation, Card
from pellucid.errors import InvalidArgument, UnknownLabel
from pellucid.tensors import FloatArray

MAX_TARGETS: Final = 64
"""In one request: each is looked up in the model's labels."""


def label_logits(card: Card, served: FloatArray) -> FloatArray:
    """Logit of every label, `(N, K)`, from what is served, `(N, K')`.

    A label without a logit of its own has the other's, negated.
    """
    if card.output.activation is not Activation.BINARY_SIGMOID:
        return served
    signs = [1.0 if label == card.output.positive_label else -1.0 for label in card.labels]
    scores: FloatArray = served * np.asarray(signs, dtype=np.float32)
    return scores


def probabilities(card: Card, served: FloatArray) -> FloatArray:
    """Score of every label from 0 to 1, `(N, K)`, from what is served, `(N, K')`."""
    logits = label_logits(card, served).astype(np.float64)
    if card.output.activation is Activation.SOFTMAX:
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
    else:
        # The half of the logistic function that cannot overflow.
        small = np.exp(-np.abs(logits))
        scores = np.where(logits >= 0, 1, small) / (1 + small)
    return np.asarray(scores, dtype=np.float32)


def resolve_targets(
    card: Card, wanted: Sequence[methods_pb2.Target], scores: FloatArray, field: str
) -> list[int]:
    """Indices of the labels to explain, without repetition, in the order they were asked for.

    Args:
        card: the model's.
        wanted: as received; empty means the label with the highest score.
        scores: `(K,)`, from 0 to 1.
        field: path of the targets in the request, for the error.

    Raises:
        UnknownLabel: the card has no such label.
        InvalidArgument: a target is empty or out of range, or there are more than `MAX_TARGETS`.
    """
    if len(wanted) > MAX_TARGETS:
        raise InvalidArgument(
            f"{len(wanted)} targets were asked for",
            field=field,
            remedy=f"ask for at most {MAX_TARGETS}",
            maximum=str(MAX_TARGETS),
        )
    ranking = sorted(range(len(card.labels)), key=lambda k: -float(scores[k]))
    if not wanted:
        return ranking[:1]
    chosen = [
        index
        for place, target in enumerate(wanted)
        for index in _resolve(card, target, scores, ranking, f"{field}[{place}]")
    ]
    return list(dict.fromkeys(chosen))


def check_targets(card: Card, wanted: Sequence[methods_pb2.Target], field: str) -> None:
    """Raise what `resolve_targets` would, before any score is known."""
    resolve_targets(card, wanted, np.zeros(len(card.labels), dtype=np.float32), field)


def expected_targets(card: Card, wanted: Sequence[methods_pb2.Target]) -> int:
    """About how many labels will be explained, before any score is known.

    Only of those above their thresholds the number depends on the scores: it is taken as one.
    """
    return len(resolve_targets(card, wanted, np.zeros(len(card.labels), np.float32), "targets"))


def _resolve(
    card: Card, target: methods_pb2.Target, scores: FloatArray, ranking: list[int], field: str
) -> list[int]:
    count = len(card.labels)
    match target.WhichOneof("target"):
        case "label":
            if target.label not in card.labels:
                raise _no_label(card, repr(target.label), f"{field}.label", "choose one of")
            return [card.labels.index(target.label)]
        case "index":
            if target.index >= count:
                choice = f"choose 0 to {count - 1}"
                raise _no_label(card, f"number {target.index}", f"{field}.index", choice)
            return [target.index]
        case "top_k":
            if not 1 <= target.top_k <= count:
                raise InvalidArgument(
                    f"top_k is {target.top_k}",
                    field=f"{field}.top_k",
                    remedy=f"choose 1 to {count}",
                )
            return ranking[: target.top_k]
        case "above_threshold":
            return _present(card, scores, ranking) or ranking[:1]
        case _:
            remedy = "set label, index, top_k or above_threshold"
            raise InvalidArgument("the target is empty", field=field, remedy=remedy)


def _present(card: Card, scores: FloatArray, ranking: list[int]) -> list[int]:
    """Labels that reach their thresholds; one without counts from 0.5 on.

    Of labels that exclude each other, one without a threshold is not present beside another that
    reached its own: at a threshold of 0.2, both classes would be.
    """
    reached = {k: scores[k] >= card.thresholds.get(card.labels[k], 0.5) for k in ranking}
    own = [k for k in ranking if reached[k] and card.labels[k] in card.thresholds]
    if own and card.output.activation is not Activation.SIGMOID:
        return own
    return [k for k in ranking if reached[k]]


def _no_label(card: Card, what: str, field: str, choice: str) -> UnknownLabel:
    return UnknownLabel(
        f"{card.name} has no label {what}",
        field=field,
        remedy=f"{choice}: {', '.join(card.labels)}",
        model=card.name,
    )
