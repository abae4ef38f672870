"""Indices of cases on disk: what was written is found again, and nothing else is believed."""

import json
from pathlib import Path

import numpy as np
import pytest

from gateway.case_index import BadIndex, Case, CaseIndex, write
from pellucid.tensors import FloatArray


def features(*rows: tuple[float, ...]) -> FloatArray:
    return np.array(rows, np.float32)


def written(folder: Path, *, thumbnails: tuple[bytes, ...] = ()) -> Path:
    """Three pictures on a line: at 0, 3 and 4."""
    cases = [Case(id=f"{name}.png", labels=(name,)) for name in ("far", "near", "nearest")]
    write(folder / "shade", "shade", "abc", cases, features((0, 0), (3, 0), (4, 0)), thumbnails)
    return folder / "shade"


def test_the_nearest_come_first_with_their_euclidean_distances(tmp_path: Path) -> None:
    index = CaseIndex.read(written(tmp_path))
    found = index.nearest(np.array([4, 3], np.float32), 2)
    assert [(case.id, case.labels) for case, _ in found] == [
        ("nearest.png", ("nearest",)),
        ("near.png", ("near",)),
    ]
    assert [distance for _, distance in found] == pytest.approx([3, 10**0.5])


def test_distances_are_exact_among_large_features(tmp_path: Path) -> None:
    cases = [Case(id="a"), Case(id="b")]
    write(tmp_path / "m", "m", "abc", cases, features((4000, 1), (4000, 1.25)))
    found = CaseIndex.read(tmp_path / "m").nearest(np.array([4000, 1.25], np.float32), 2)
    assert [(case.id, distance) for case, distance in found] == [("b", 0), ("a", 0.25)]


def test_it_agrees_with_a_search_in_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 16)).astype(np.float32)
    write(tmp_path / "m", "m", "abc", [Case(id=str(row)) for row in range(200)], values)
    index, asked = CaseIndex.read(tmp_path / "m"), values[7] + np.float32(0.1)
    distances = np.linalg.norm(values.astype(np.float64) - asked, axis=1)
    found = index.nearest(asked, 10)
    assert [case.id for case, _ in found] == [str(row) for row in np.argsort(distances)[:10]]
    assert [distance for _, distance in found] == pytest.approx(np.sort(distances)[:10])
    between = np.linalg.norm(values[:, None] - values[None], axis=2)
    np.fill_diagonal(between, np.inf)
    assert index.about.typical_distance == pytest.approx(np.median(between.min(axis=1)), rel=1e-4)


def test_of_a_recording_its_nearest_window_counts_once(tmp_path: Path) -> None:
    cases = [
        *(Case(id="long", start_seconds=n, end_seconds=n + 2) for n in range(3)),
        Case(id="short", end_seconds=2),
    ]
    write(tmp_path / "m", "m", "abc", cases, features((0, 0), (1, 0), (2, 0), (9, 0)))
    index = CaseIndex.read(tmp_path / "m")
    found = index.nearest(np.array([1.25, 0], np.float32), 2)
    assert [(case.id, case.start_seconds, distance) for case, distance in found] == [
        ("long", 1, 0.25),
        ("short", 0, 7.75),
    ]
    # Not that of a window of its own file.
    assert index.about.typical_distance == 7.5
    assert index.about.files == 2


def test_pictures_are_kept_only_where_they_were_given(tmp_path: Path) -> None:
    with_them = written(tmp_path / "a", thumbnails=(b"one", b"two", b"three"))
    case = CaseIndex.read(with_them).nearest(features((3, 0))[0], 1)[0][0]
    assert CaseIndex.read(with_them).thumbnail(case) == b"two"
    without = written(tmp_path / "b")
    assert {path.name for path in without.iterdir()} == {
        "index.json",
        "cases.jsonl",
        "features.npy",
    }
    assert CaseIndex.read(without).thumbnail(case) == b""


def test_an_index_that_is_replaced_serves_on_until_it_is_read_again(tmp_path: Path) -> None:
    folder = written(tmp_path, thumbnails=(b"one", b"two", b"three"))
    old = CaseIndex.read(folder)
    write(folder, "shade", "abc", [Case(id="new")], features((0, 0)), [b"new"])
    case = old.nearest(features((0, 0))[0], 1)[0][0]
    assert (case.id, old.thumbnail(case)) == ("far.png", b"one")
    assert CaseIndex.read(folder).about.files == 1
    assert [path.name for path in tmp_path.iterdir()] == ["shade"]


def test_features_of_another_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="features"):
        CaseIndex.read(written(tmp_path)).nearest(np.zeros(3, np.float32), 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "index.json").unlink(),
        lambda folder: (folder / "index.json").write_text("{}"),
        lambda folder: (folder / "cases.jsonl").write_text('{"id": "one"}\n'),
        lambda folder: (folder / "cases.jsonl").write_text("no json\n"),
        lambda folder: (folder / "features.npy").write_bytes(b"\x93NUMPY"),
        lambda folder: np.save(folder / "features.npy", np.full((3, 2), np.nan, np.float32)),
        lambda folder: np.save(folder / "features.npy", np.zeros((3, 2))),
        lambda folder: np.save(folder / "features.npy", np.array([{}] * 3), allow_pickle=True),
        lambda folder: (folder / "thumbnails.bin").unlink(),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, damage) -> None:
    folder = written(tmp_path, thumbnails=(b"one", b"two", b"three"))
    damage(folder)
    with pytest.raises(BadIndex, match="shade"):
        CaseIndex.read(folder)


def test_an_index_of_another_format_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    about = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(about | {"format": 2}))
    with pytest.raises(BadIndex, match="format"):
        CaseIndex.read(folder)


def test_an_index_says_what_it_is_of(tmp_path: Path) -> None:
    about = json.loads((written(tmp_path) / "index.json").read_text())
    assert about == {
        "format": 1,
        "model": "shade",
        "weights_digest": "abc",
        "files": 3,
        "most_windows": 1,
        "typical_distance": 1.0,
        "thumbnails": False,
    }
