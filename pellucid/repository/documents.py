"""What people read of the models: a page of each card and a table of all, written from the cards.

Cards differ in what was measured: a table is whatever has figures beside each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from pellucid.cards import Card
from pellucid.contracts import baseline_name
from pellucid.repository.folder import ModelFolder, model_folders
from pellucid.repository.quality import is_table, text_of, title_of

TABLE: Final = Path("models.md")
PAGES: Final = Path("models")

Node: TypeAlias = Mapping[str, Any]

_MAIN: Final = ("macro_auc", "auc", "accuracy", "equal_error_rate")
_INTRODUCTION: Final = """\
# Models

Written from the cards in [`triton_repo/`](../triton_repo/) by `make docs`; change those. In
brackets are 95 % intervals, by a bootstrap over patients or speakers. *Looks* says how often the
test split was measured on until these figures stood: what is looked at often is hopeful.

| model | network | task | data | on its test split | looks | weights | baseline | licence |
|---|---|---|---|---|---|---|---|---|
"""


def texts(repository: Path) -> dict[Path, str]:
    """Every document, by its path below the folder of documents.

    Args:
        repository: of the models.

    Raises:
        ModelNotBuilt: a folder has no valid card.
    """
    folders = [ModelFolder.read(path) for path in model_folders(repository)]
    pages = {PAGES / f"{one.card.name}.md": _page(one) for one in folders}
    return {TABLE: _INTRODUCTION + "".join(map(_row, folders)), **pages}


def stale(repository: Path, documents: Path) -> list[Path]:
    """Documents that are missing, differ from the cards, or are of no model."""
    wanted = {documents / path: text for path, text in texts(repository).items()}
    present = {*(documents / PAGES).glob("*.md")}
    wrong = {path for path, text in wanted.items() if not _holds(path, text)}
    return sorted(wrong | (present - set(wanted)))


def write(repository: Path, documents: Path) -> None:
    """Write every document, and remove the pages of models that are gone."""
    wanted = {documents / path: text for path, text in texts(repository).items()}
    (documents / PAGES).mkdir(parents=True, exist_ok=True)
    for path in set((documents / PAGES).glob("*.md")) - set(wanted):
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _row(folder: ModelFolder) -> str:
    card = folder.card
    looks = card.quality.get("test", {}).get("looks", "not counted")
    cells = (
        f"[`{card.name}`]({PAGES}/{card.name}.md)",
        _network(card),
        f"{card.modality.replace('_', ' ')}: {_labels(card)}",
        _first_words(card.training_data),
        _tested(card),
        str(looks) if "test" in card.quality else "0",
        _size(folder),
        _baseline(card),
        card.licence or "not said",
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


def _network(card: Card) -> str:
    if card.members:
        return "ensemble of " + ", ".join(f"`{name}`" for name in card.members)
    made = card.architecture
    if made is None or made.framework == "onnx":
        return "brought as a graph"
    if made.builder is None:
        return f"brought as a network ({made.framework})"
    return f"`{made.builder}` ({made.framework})"


def _labels(card: Card) -> str:
    return " / ".join(card.labels) if len(card.labels) <= 4 else f"{len(card.labels)} findings"


def _first_words(text: str) -> str:
    words = text.split()
    return " ".join(words[:12]) + (" …" if len(words) > 12 else "") if words else "not said"


def _size(folder: ModelFolder) -> str:
    return f"{sum(path.stat().st_size for path in folder.sources) / 1e6:.1f} MB"


def _baseline(card: Card) -> str:
    return baseline_name(card.baselines[0])


def _tested(card: Card) -> str:
    """The figures of the test splits, or that there are none."""
    tables = _test_tables(card.quality)
    return "; ".join(_tested_on(path, one) for path, one in tables) or "not measured yet"


def _test_tables(quality: Node) -> list[tuple[tuple[str, ...], Node]]:
    return [(path, one) for path, one in _tables(quality) if "test" in " ".join(path)]


def _tested_on(path: tuple[str, ...], table: Node) -> str:
    where = " ".join(title_of(part) for part in path if part != "test")
    figures = [f"{title_of(name)} {text_of(table[name])}" for name in _MAIN if name in table]
    return ": ".join(filter(None, (where, ", ".join(figures))))


def _tables(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """The outermost nodes with an area under a curve, and the way to each."""
    if path and not {"auc", "macro_auc"}.isdisjoint(node):
        yield path, node
        return
    for name, child in node.items():
        if isinstance(child, Mapping):
            yield from _tables(child, (*path, name))


def _point(name: str, thresholds: Mapping[str, float]) -> str:
    return f"{name}: " + ", ".join(f"{label} {value:g}" for label, value in thresholds.items())


def _page(folder: ModelFolder) -> str:
    card = folder.card
    facts = {
        "name": f"`{card.name}`, version {card.version}",
        "network": _network(card),
        "labels": ", ".join(card.labels),
        "operating points": "; ".join(_point(*each) for each in card.operating_points.items()),
        "input": f"{card.preprocess.kind.replace('_', '-')}, {card.preprocess.shape}",
        "weights": _size(folder),
        "default baseline": _baseline(card),
        "licence": card.licence,
    }
    parts = [
        f"# {card.title}\n",
        f"Written from [its card](../../triton_repo/{card.name}/card.yaml)",
    ]
    parts[-1] += " by `python -m pellucid.repository docs`.\n"
    parts.append(f"{card.description}\n")
    parts.append(_markdown(("", ""), [(name, value) for name, value in facts.items() if value]))
    for heading, text in (
        ("Intended use", card.intended_use),
        ("Training data", card.training_data),
        ("Attribution", card.attribution),
    ):
        parts.append(f"## {heading}\n\n{text or 'Not said.'}\n")
    return "\n".join([*parts, *_quality(card.quality)])


def _quality(quality: Node) -> Iterator[str]:
    yield "## Quality\n"
    if not quality:
        yield "Nothing was measured.\n"
    elif not _test_tables(quality):
        yield "The test split was not measured on; figures of the validation split are hopeful.\n"
    yield from _sections(quality, ())


def _sections(node: Node, path: tuple[str, ...]) -> Iterator[str]:
    """Words and tables of a node of the card's figures, and of all below it."""
    children = {name: child for name, child in node.items() if is_table(child)}
    rows = {name: child for name, child in children.items() if _cells(child)}
    said = [
        f"{title_of(k)}: {text_of(v)}.\n" for k, v in node.items() if not path and k not in children
    ]
    yield from said
    if rows:
        if path:
            yield f"### {', '.join(title_of(part) for part in path)}\n"
        yield _table(rows)
    for name, child in children.items():
        yield from _sections(child, (*path, name))


def _table(rows: Mapping[str, Node]) -> str:
    """Rows beside each other, or the only one from top to bottom."""
    if len(rows) == 1:
        ((name, row),) = rows.items()
        pairs = [(title_of(key), text_of(value)) for key, value in _cells(row).items()]
        return _markdown((title_of(name), ""), pairs)
    columns = list(dict.fromkeys(key for row in rows.values() for key in _cells(row)))
    lines = [
        (title_of(name), *(text_of(row[key]) if key in row else "" for key in columns))
        for name, row in rows.items()
    ]
    return _markdown(("", *map(title_of, columns)), lines)


def _cells(node: Node) -> Node:
    return {name: value for name, value in node.items() if not is_table(value)}


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in lines)
