"""The table of errors that people read, against the errors that are raised."""

import re
from pathlib import Path

import pytest

from pellucid.errors import family
from pellucid.status import BUG, CODES

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    return {reason: code for reason, code, _, _ in ROW.findall(DOCUMENT.read_text())}


def test_the_table_has_every_reason_with_its_code() -> None:
    raised = {reason: CODES[kind].name for reason, kind in family().items()}
    assert documented() == raised | {BUG: "INTERNAL"}


@pytest.mark.parametrize("row", ROW.findall(DOCUMENT.read_text()), ids=lambda row: row[0])
def test_every_row_says_what_it_means_and_what_to_do(row: tuple[str, ...]) -> None:
    _, _, meaning, remedy = row
    assert meaning.endswith(".") and remedy.endswith(".")


def test_every_error_of_the_family_has_a_status_code() -> None:
    assert set(CODES) == set(family().values())
