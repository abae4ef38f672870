"""From what Triton serves to a filled copy, or to the reason why there is none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explain_service.gradient.loading import NoCopy, find_weights, load_copy
from tests.unit.explain.gradient.conftest import changed


def reason(repository: Path, model: Any) -> str:
    with pytest.raises(NoCopy) as caught:
        find_weights(repository, model)
    return str(caught.value)


def test_the_weights_are_those_of_the_version_that_is_served(tmp_path: Path, model: Any) -> None:
    folder = tmp_path / model.card.name / "1"
    assert find_weights(tmp_path, model) == folder / "weights.safetensors"


def test_missing_weights_are_named_by_their_place_in_the_repository(
    tmp_path: Path, model: Any
) -> None:
    said = reason(tmp_path / "elsewhere", model)
    assert f"{model.card.name}/1/weights.safetensors" in said
    assert str(tmp_path) not in said


def test_weights_of_another_digest_are_refused(tmp_path: Path, model: Any) -> None:
    said = reason(tmp_path, replace(model, weights_digest="0" * 64))
    assert "not those that are served" in said


def test_weights_that_changed_on_disk_are_noticed(tmp_path: Path, model: Any) -> None:
    file = find_weights(tmp_path, model)
    file.write_bytes(file.read_bytes() + b" ")
    assert "not those that are served" in reason(tmp_path, model)


def test_a_served_model_without_a_digest_is_refused(tmp_path: Path, model: Any) -> None:
    assert "does not say which weights" in reason(tmp_path, replace(model, weights_digest=""))


def test_an_unknown_builder_is_named(tmp_path: Path, model: Any) -> None:
    assert "'nope'" in reason(tmp_path, changed(model, builder="nope"))


def test_a_card_without_an_architecture_is_refused(tmp_path: Path, model: Any) -> None:
    card = model.card.model_copy(update={"architecture": None})
    assert "names no architecture" in reason(tmp_path, replace(model, card=card))


@pytest.mark.parametrize(
    ("side", "chunk"),
    [(224, 4), (448, 1), (112, 16), (1, 32), (2_000, 1)],
)
def test_fewer_large_inputs_are_differentiated_at_once(
    tmp_path: Path, model: Any, side: int, chunk: int
) -> None:
    spec = model.card.preprocess.model_copy(update={"height": side, "width": side})
    card = model.card.model_copy(update={"preprocess": spec})
    found = load_copy(card, find_weights(tmp_path, model), chunk=4, threads=1)
    assert found.chunk == chunk
