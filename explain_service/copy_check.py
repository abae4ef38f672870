"""Gradient copies are loaded and checked before a request needs them."""

import asyncio

import structlog

from explain_service.gradient.copies import GradientCopies
from explain_service.gradient.loading import NoCopy
from explain_service.run_control import Cancellation, Cancelled, RunControl
from pellucid.errors import BackendUnavailable, PellucidError
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.served_model import ServedModel

log = structlog.get_logger(__name__)

RETRY_S = 0.5
"""Before a copy that could not be checked, because Triton did not answer, is tried again."""


async def check_copies(
    catalogue: ModelCatalogue,
    copies: GradientCopies,
    checked: asyncio.Event,
    pool: frozenset[str] = frozenset(),
) -> None:
    """Load and check the copy of each model, so that the capabilities say how far it drifts.

    `checked` is set once Triton serves something and every copy of it was tried; of a `pool`, by
    names of models or frameworks, those alone.
    """
    cancellation = Cancellation()
    try:
        async for models in catalogue.changes():
            for model in models:
                if pool and pool.isdisjoint((model.card.name, model.card.framework)):
                    continue
                while not await asyncio.to_thread(_check, copies, model, cancellation):
                    await asyncio.sleep(RETRY_S)
            if models:
                checked.set()
    finally:
        cancellation.cancel()


def _check(copies: GradientCopies, model: ServedModel, cancellation: Cancellation) -> bool:
    """Try one copy; False where it has to be tried again. Blocks."""
    try:
        copies.checked(model, RunControl(total=0, cancellation=cancellation))
    except (Cancelled, NoCopy):
        return True  # the capabilities say why
    except BackendUnavailable as error:
        log.info("gradient copy waits", model=model.card.name, why=error.message)
        return False
    except PellucidError as error:
        # A model that changed or went is not this one any more: the catalogue has the next.
        log.info("gradient copy not checked", model=model.card.name, why=error.message)
    except Exception:
        log.exception("a gradient copy failed", model=model.card.name)
    return True
