"""Splits by owner, for data sets that come without: what one person brought stays together."""

import hashlib
from typing import Literal

Split = Literal["train", "val", "test"]


def split_of(owner: str, val: float, test: float, seed: int = 0) -> Split:
    """The split of everything an owner brought; the same on every machine, in every order.

    Args:
        owner: a patient, a speaker or, where nothing more is known, a file.
        val: share of the owners, from 0 to 1.
        test: share of the owners, from 0 to 1.
        seed: of another division.
    """
    digest = hashlib.sha256(f"{seed} {owner}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test:
        return "test"
    return "val" if place < test + val else "train"
