"""Files that are unlike what their model was trained on: said with every answer, or refused."""

import numpy as np

from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.cards import Card
from pellucid.errors import OutOfDistribution
from pellucid.tensors import FloatArray


def out_of_distribution(
    card: Card, distances: FloatArray | None
) -> gateway_pb2.OutOfDistribution | None:
    """How unlike a model's training data a file is.

    The median over the windows, as the scores are a mean over them: one window in twenty exceeds
    the threshold by chance, and one that is half silence often does; the worst of many would say
    nothing of the file.

    Args:
        card: the model's.
        distances: of the windows, `(N,)`; None where the model has no detector.
    """
    if card.detector is None or distances is None:
        return None
    score = float(np.median(distances))
    return gateway_pb2.OutOfDistribution(
        score=score,
        threshold=card.detector.threshold,
        warning=score > card.detector.threshold,
        detector=card.detector.kind,
    )


def refuse_unlike(card: Card, distances: FloatArray | None) -> None:
    """Refuse a file that is unlike its model's training data; arguments as above.

    Raises:
        OutOfDistribution: it is.
    """
    found = out_of_distribution(card, distances)
    if found is None or not found.warning:
        return
    raise OutOfDistribution(
        f"the file is unlike what {card.name} was trained on: "
        f"distance {found.score:.3g}, threshold {found.threshold:.3g}",
        field="content",
        remedy="send a file of the kind that the model is for, or choose another model",
        model=card.name,
        score=f"{found.score:.6g}",
        threshold=f"{found.threshold:.6g}",
        detector=found.detector,
    )
