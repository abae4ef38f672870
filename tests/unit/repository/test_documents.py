"""The pages of the models say what the cards say, and nothing that they do not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pellucid.repository.__main__ import main
from pellucid.repository.documents import texts
from tests.support.known_models import linear_model, write_ensemble

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


def test_an_ensemble_is_of_its_members_and_weighs_what_they_do(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    members = [linear_model(repository, name, temperature=2) for name in ("one", "two")]
    found = write_ensemble(repository, "both", members)
    page = texts(repository)[Path("models/both.md")]
    assert "| network | ensemble of `one`, `two` |" in page
    sizes = [(member.folder / "1/model.onnx").stat().st_size for member in members]
    assert f"| weights | {sum(sizes) / 1e6:.1f} MB |" in page
    assert (found.folder / "1/model.onnx").stat().st_size > sum(sizes), "it has their mean, too"


@pytest.mark.parametrize(
    ("framework", "file", "words"),
    [
        ("torch", "network.pt2", "brought as a network (torch)"),
        ("keras", "network.keras", "brought as a network (keras)"),
        ("onnx", "model.onnx", "brought as a graph"),
    ],
)
def test_a_network_that_no_builder_makes_is_said_to_be_brought(
    repository: Path, framework: str, file: str, words: str
) -> None:
    (repository / "tiny/1" / file).touch()
    row, page = described(repository, architecture={"framework": framework})
    assert f"| {words} |" in row
    assert f"| network | {words} |" in page


@pytest.mark.parametrize("option", ["--models=tiny", "--json"])
def test_what_the_documents_take_no_notice_of_is_no_option(repository: Path, option: str) -> None:
    with pytest.raises(SystemExit):
        main(["docs", str(repository), "--check", option])


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
