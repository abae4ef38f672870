"""Memory goes back to the system after large requests."""

import asyncio

import pytest

from pellucid.serving.memory import LARGE_BYTES, Trimmer


@pytest.fixture
def trims() -> list[int]:
    return []


def trimmer(trims: list[int]) -> Trimmer:
    return Trimmer(trims.append, delay_s=0.01)


@pytest.mark.parametrize(("size", "times"), [(LARGE_BYTES, 1), (LARGE_BYTES - 1, 0)])
async def test_only_a_large_request_is_worth_it(trims: list[int], size: int, times: int) -> None:
    with trimmer(trims).around(size):
        await asyncio.sleep(0.05)
        assert trims == []
    await asyncio.sleep(0.1)
    assert len(trims) == times


async def test_requests_in_quick_succession_share_one(trims: list[int]) -> None:
    shared = trimmer(trims)
    for _ in range(5):
        with shared.around(LARGE_BYTES):
            pass
    await asyncio.sleep(0.1)
    assert len(trims) == 1


async def test_a_request_that_fails_counts_as_well(trims: list[int]) -> None:
    with pytest.raises(ValueError), trimmer(trims).around(LARGE_BYTES):
        raise ValueError
    await asyncio.sleep(0.1)
    assert len(trims) == 1
