"""The pages of the models say what the cards say, and nothing that they do not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pellucid.repository.__main__ import main
from pellucid.repository.documents import texts
from tests.support.known_models import linear_model

AUC = {"value": 0.9, "low": 0.85, "high": 0.95}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    linear_model(tmp_path / "models", "tiny")
    return tmp_path / "models"


def described(repository: Path, **fields: Any) -> tuple[str, str]:
    """The row of the table and the page of a card with these fields."""
    path = repository / "tiny/card.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))
    found = {str(path): text for path, text in texts(repository).items()}
    return found["models.md"].splitlines()[-1], found["models/tiny.md"]


def test_a_model_that_nobody_measured_says_so(repository: Path) -> None:
    row, page = described(repository)
    assert "| not measured yet | 0 |" in row
    assert "Nothing was measured." in page


def test_figures_of_the_validation_split_are_no_test_figures(repository: Path) -> None:
    row, page = described(repository, quality={"validation": {"auc": AUC}})
    assert "| not measured yet | 0 |" in row
    assert "0.900 (0.850\N{EN DASH}0.950)" in page
    assert "The test split was not measured on" in page


def test_figures_of_the_test_split_come_with_the_looks_at_it(repository: Path) -> None:
    test = {"looks": 2, "kermany": {"pneumonia": {"auc": AUC, "accuracy": AUC}}}
    row, page = described(repository, quality={"test": test})
    assert "kermany pneumonia: AUC 0.900 (0.850\N{EN DASH}0.950), accuracy 0.900" in row
    assert "| 2 |" in row
    assert "| looks | 2 |" in page


def test_tables_below_a_table_have_their_own_headings(repository: Path) -> None:
    groups = {"bacteria": {"recall": AUC}, "virus": {"recall": AUC, "cases": 3}}
    table = {"auc": AUC, "by": {"group": groups}}
    _, page = described(repository, quality={"test": {"pneumonia": table}})
    assert "### test, pneumonia, by" in page
    assert "| virus | 0.900 (0.850\N{EN DASH}0.950) | 3 |" in page


def test_documents_that_do_not_match_the_cards_are_named(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["docs", str(repository), "--out", str(tmp_path / "docs")]
    gone = tmp_path / "docs/models/gone.md"
    gone.parent.mkdir(parents=True)
    gone.touch()
    assert main([*command, "--check"]) == 1
    assert "gone.md" in capsys.readouterr().out
    assert main(command) == 0
    assert not gone.exists()
    assert main([*command, "--check"]) == 0
