"""The lock file is good on every machine."""

import re
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements" / "lock.txt"


def test_every_locked_requirement_is_an_exact_version_and_no_place_of_one_machine() -> None:
    lines = [line for line in LOCK.read_text().splitlines() if re.match(r"[^\s#]", line)]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==\S+", line)] == []
