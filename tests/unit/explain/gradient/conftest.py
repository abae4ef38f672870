"""A served network of the pair, with its weights in a repository."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explain_service.gradient.copies import Predict
from explain_service.gradient.model import GradientModel
from pellucid.architectures import BUILDERS
from pellucid.cards import Card
from pellucid.serving.served_model import ServedModel
from pellucid.tensors import FloatArray
from tests.support.cards import served

Serve = Callable[..., ServedModel]


@pytest.fixture
def serve(framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Puts the pair's network, with its weights scaled, into the repository `tmp_path`."""
    from tests.support import framework_pairs

    for name, place in framework_pairs.BUILDERS.items():
        monkeypatch.setitem(BUILDERS, name, place)  # type: ignore[arg-type]

    def put(name: str = "", version: str = "1", *, scale: float = 1.0) -> ServedModel:
        card = framework_pairs.pair_card(framework, **({"name": name} if name else {}))
        folder = framework_pairs.write_folder(tmp_path, card, version)
        file = framework_pairs.save(framework, folder, scale)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return served(card, version=version, weights_digest=digest)

    return put


@pytest.fixture
def model(serve: Serve) -> ServedModel:
    return serve()


@pytest.fixture(scope="session")
def predict(pair: dict[str, GradientModel]) -> Predict:
    """Answers as Triton would: the network without the rounding of its weights, in any layout."""

    def answer(model: ServedModel, inputs: FloatArray) -> FloatArray:
        assert model.card.architecture is not None
        return pair[model.card.architecture.framework].logits(inputs)

    return answer


def changed(model: ServedModel, **facts: Any) -> ServedModel:
    """The same model with other facts of its architecture."""
    assert model.card.architecture is not None
    architecture = {**model.card.architecture.model_dump(), **facts}
    card = {**model.card.model_dump(), "architecture": architecture}
    return replace(model, card=Card.model_validate(card))
