"""Copies to differentiate: twins in both frameworks, and linear models."""

from collections.abc import Callable

import numpy as np
import pytest

from explain_service.attribution import Question
from explain_service.gradient import torch_copy
from explain_service.gradient.keras_copy import KerasCopy
from explain_service.gradient.model import GradientModel
from explain_service.gradient.torch_copy import TorchCopy
from pellucid.cards import Card
from pellucid.serving.triton import ServedModel
from tests.twins import (
    SIZE,
    Floats,
    keras_linear,
    keras_twin,
    torch_linear,
    torch_twin,
    twin_card,
)

FRAMEWORKS = ("torch", "keras")
Ask = Callable[..., Question]


@pytest.fixture(scope="session", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def twins() -> dict[str, GradientModel]:
    """By framework; four inputs at once. One thread: these networks are too small for two."""
    torch_copy.prepare(threads=1)
    return {
        "torch": TorchCopy(twin_card("torch"), torch_twin(), 4),
        "keras": KerasCopy(twin_card("keras"), keras_twin(), 4),
    }


@pytest.fixture(scope="session")
def twin(twins: dict[str, GradientModel], framework: str) -> GradientModel:
    return twins[framework]


@pytest.fixture(scope="session")
def picture() -> Floats:
    """`(3, H, W)`."""
    return np.random.default_rng(3).normal(size=(3, *SIZE)).astype(np.float32)


@pytest.fixture(scope="session")
def ask(picture: Floats) -> Ask:
    """Make a question about the picture, in the layout of a card."""

    def make(
        card: Card, *targets: int, probability: bool = False, baseline: float = 0.0
    ) -> Question:
        chw = card.preprocess.layout == "CHW"
        return Question(
            model=served(card),
            input=picture if chw else np.ascontiguousarray(picture.transpose(1, 2, 0)),
            baseline=np.full((1, 1, 1, 1), baseline, np.float32),
            targets=targets or (1,),
            probability=probability,
            seed=0,
        )

    return make


def served(card: Card, digest: str = "") -> ServedModel:
    return ServedModel(card, "1", digest, masked=True)


@pytest.fixture(scope="session")
def linear(framework: str) -> Callable[..., tuple[GradientModel, Floats, Card]]:
    """Make a linear copy: the copy, its weights `(K', *shape)`, its card."""

    def make(**changes: object) -> tuple[GradientModel, Floats, Card]:
        facts = twin_card(framework, **changes).model_dump(exclude_defaults=True)
        facts["architecture"]["grad_cam_layers"] = []
        card = Card.model_validate(facts)
        rng = np.random.default_rng(5)
        shape = (card.logits, *card.preprocess.shape)
        weights = rng.normal(0, 0.1, shape).astype(np.float32)
        bias = rng.normal(size=card.logits).astype(np.float32)
        if framework == "torch":
            return TorchCopy(card, torch_linear(weights, bias), 4), weights, card
        return KerasCopy(card, keras_linear(weights, bias), 4), weights, card

    return make
