"""Cards of made-up models, one for each kind of input."""

from typing import Any

from pellucid.cards import Card
from pellucid.serving.served_model import ServedModel
from tests.support.known_models import IMAGE, SOUND


def card(*, name: str = "model", facts: dict[str, Any] | None = None, **contract: Any) -> Card:
    """Two labels over a grey picture of 32 by 32; `contract` and `facts` change it."""
    preprocess = {**(SOUND if contract.get("kind") == "log_mel" else IMAGE), **contract}
    made: dict[str, Any] = {
        "name": name,
        "version": "1",
        "title": "",
        "description": "",
        "modality": "photo",
        "labels": ["a", "b"],
        "output": {"activation": "softmax"},
        "preprocess": preprocess,
    }
    return Card.model_validate(made | (facts or {}))


def served(card: Card, **facts: Any) -> ServedModel:
    """A model as Triton serves it: the first version, with its masked graph."""
    return ServedModel(
        **{"card": card, "version": "1", "weights_digest": "", "masked": True} | facts
    )


GREY = card()
COLOUR = card(channels=3, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.1])
SPEECH = card(kind="log_mel", mean=-40.0, std=20.0)
LAYERED = card(
    facts={
        "architecture": {
            "framework": "torch",
            "builder": "densenet121",
            "grad_cam_layers": ["features", "first"],
        }
    }
)
"""Like `GREY`, of a network with layers for Grad-CAM."""
