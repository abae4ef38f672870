"""The raw numbers of an explanation as NPZ: read it with `numpy.load(path)`, no pickle needed.

| key | what it is |
|---|---|
| `<method>.<label>.map` | float32 (H, W), signed; unfinished maps too, see the summary |
| `<method>.<label>.segments` | uint16 (H, W), for methods that work on segments |
| `<method>.<label>.values`, `.low`, `.high` | float32 (S,), one for each segment |
| `time_s`, `frequency_hz` | float64 (W,) and (H,), for sound |
| `to_original` | float64 (6,): a, b, c, d, e, f of x' = a x + b y + c, y' = d x + e y + f |
| `display_png` | uint8: the bytes of the picture that the model saw |
| `summary` | JSON text: prediction, targets, measures of trust, receipts, failures, comparison |
"""

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.client.results import Result
from pellucid.rendering.summary import summary


def write_archive(result: Result, path: Path) -> None:
    """Write the raw numbers of an explanation.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **_arrays(result))


def _arrays(result: Result) -> dict[str, NDArray[Any]]:
    window = result.input.window
    arrays: dict[str, NDArray[Any]] = {
        "to_original": np.array(astuple(window.to_original), np.float64),
        "display_png": np.frombuffer(window.display_png, np.uint8),
        "summary": np.array(json.dumps(summary(result))),
    }
    if window.axes is not None:
        arrays |= {"time_s": window.axes.time_s, "frequency_hz": window.axes.frequency_hz}
    for explanation in result.maps:
        name = f"{explanation.method}.{explanation.target.label}"
        arrays[f"{name}.map"] = explanation.map
        scores = explanation.segment_scores
        if scores is None:
            continue
        found: dict[str, NDArray[Any] | None] = {
            "segments": scores.segments,
            "values": scores.values,
            "low": scores.low,
            "high": scores.high,
        }
        arrays |= {f"{name}.{part}": v for part, v in found.items() if v is not None}
    return arrays
