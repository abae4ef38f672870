import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from pellucid.client import Result
from pellucid.rendering import write_archive, write_result


def test_everything_is_written(film: Result, tmp_path: Path) -> None:
    film = replace(film, explanations=film.explanations[:2])
    written = write_result(film, tmp_path / "new" / "folder", "film")
    assert written.page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in written.overlays] == [
        f"film.{explanation.method}.other.png" for explanation in film.explanations
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written.overlays)


def test_the_archive_holds_the_raw_numbers_without_pickle(clip: Result, tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    write_archive(clip, path)
    with np.load(path, allow_pickle=False) as archive:
        for explanation in clip.explanations:
            stored = archive[f"{explanation.method}.other.map"]
            assert stored.dtype == np.float32
            np.testing.assert_array_equal(stored, explanation.map)
        assert archive["lime.other.segments"].dtype == np.uint16
        assert archive["lime.other.low"].shape == archive["lime.other.values"].shape
        assert "partition_shap.other.low" not in archive
        assert archive["time_s"].shape == (201,)
        assert archive["frequency_hz"].shape == (80,)
        assert archive["to_original"].shape == (6,)
        assert archive["display_png"].tobytes() == clip.input.window.display_png
        summary = json.loads(str(archive["summary"]))
    assert summary["prediction"]["top_label"] == "other"
    assert summary["prediction"]["operating_point"] == "balanced"
    for scores in (summary["prediction"]["scores"], summary["prediction"]["windows"][1]["scores"]):
        assert [(one["score"], one["calibrated_score"]) for one in scores] == [
            (0.06, 0.125),
            (0.94, 0.875),
        ]
    assert summary["explanations"][0]["receipt"]["method"]["name"] == "lime"


def test_names_cannot_leave_the_folder(film: Result, tmp_path: Path) -> None:
    target = replace(film.targets[0], label="../../etc/a b")
    explanation = replace(film.get("occlusion"), target=target)
    hostile = replace(film, targets=(target,), explanations=(explanation,))
    write_result(hostile, tmp_path / "out", "../x y")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["x_y.html", "x_y.npz", "x_y.occlusion.etc_a_b.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
