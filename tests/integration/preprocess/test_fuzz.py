"""A little of `tests.fuzz.fuzz_media`, which does the rest offline."""

import pytest

from preprocess_service.fork_server import ForkServer
from tests.fuzz.fuzz_media import KINDS, fuzz
from tests.unit.preprocess.workers import running_pool

HANDLED = {"READ", "UNREADABLE_MEDIA", "UNSUPPORTED_MEDIA", "MEDIA_LIMIT_EXCEEDED"}


@pytest.mark.parametrize("kind", KINDS)
async def test_no_damage_is_a_surprise(fork_server: ForkServer, kind: str):
    async with running_pool(fork_server, workers=2) as pool:
        assert set(await fuzz(pool, kind, count=100, seed=7)) <= HANDLED
