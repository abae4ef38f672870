"""Copies are tried before anybody asks for them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from explain_service.copy_check import check_copies
from explain_service.gradient.loading import NoCopy
from explain_service.run_control import Cancelled, RunControl
from pellucid.errors import BackendUnavailable, ModelBroken, ModelChanged, ModelNotReady
from pellucid.serving.served_model import ServedModel
from tests.support.cards import card, served

FIRST, SECOND = served(card(name="first")), served(card(name="second"))


class Catalogue:
    """Tells of the models that a test puts in."""

    def __init__(self) -> None:
        self.models: asyncio.Queue[list[ServedModel]] = asyncio.Queue()

    async def changes(self) -> AsyncIterator[list[ServedModel]]:
        while True:
            yield await self.models.get()


class Copies:
    """Fails as a test says, once for each error; remembers who was tried."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tried: list[str] = []

    def checked(self, model: ServedModel, control: RunControl) -> None:
        self.tried.append(model.card.name)
        if self.errors:
            raise self.errors.pop(0)


async def tried(
    *told: list[ServedModel],
    errors: tuple[Exception, ...] = (),
    pool: frozenset[str] = frozenset(),
) -> list[str]:
    """Which copies were tried until all were, where the catalogue tells of these models."""
    catalogue, copies, checked = Catalogue(), Copies(*errors), asyncio.Event()
    for models in told:
        catalogue.models.put_nowait(models)
    task = asyncio.create_task(check_copies(catalogue, copies, checked, pool))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(10):
            await checked.wait()
    finally:
        task.cancel()
    return copies.tried


async def test_of_a_pool_only_its_own_models_are_tried() -> None:
    keras = served(card(name="third", facts={"architecture": {"framework": "keras"}}))
    told = [FIRST, SECOND, keras]
    assert await tried(told, pool=frozenset({"keras", "second"})) == ["second", "third"]


async def test_every_model_is_tried_once_there_is_one() -> None:
    assert await tried([], [FIRST, SECOND]) == ["first", "second"]


@pytest.mark.parametrize(
    "error",
    [
        NoCopy("no weights"),
        ValueError("a bug"),
        ModelBroken("bad graph"),
        ModelNotReady("unloaded meanwhile", retry_after_s=1.0),
        ModelChanged("loaded again meanwhile", retry_after_s=0.5),
        Cancelled(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_copy_that_there_is_not_does_not_keep_the_others_waiting(error: Exception) -> None:
    assert await tried([FIRST, SECOND], errors=(error,)) == ["first", "second"]


async def test_a_copy_is_tried_again_while_triton_is_away() -> None:
    away: Any = BackendUnavailable("Triton does not answer", retry_after_s=1.0)
    assert await tried([FIRST, SECOND], errors=(away, away)) == ["first"] * 3 + ["second"]
