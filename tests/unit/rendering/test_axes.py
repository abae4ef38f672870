import numpy as np
import pytest

from pellucid.rendering.axes import frequency_ticks, time_ticks
from tests.support.gateway_responses import BANDS, mel_centres


def test_frequencies_rise_from_the_bottom_on_a_mel_axis() -> None:
    centres = np.array(mel_centres())
    ticks = {tick.label: tick.position for tick in frequency_ticks(centres)}
    assert list(ticks.values()) == sorted(ticks.values())
    assert all(0 <= position <= BANDS for position in ticks.values())
    nearest = int(np.argmin(np.abs(centres - 1_000)))
    assert ticks["1 kHz"] == pytest.approx(nearest + 0.5, abs=0.5)
    # A mel axis gives an octave more room the higher it is.
    assert ticks["4 kHz"] - ticks["2 kHz"] > ticks["2 kHz"] - ticks["1 kHz"]


def test_frequency_ticks_do_not_crowd() -> None:
    positions = [tick.position for tick in frequency_ticks(np.array(mel_centres()))]
    assert min(np.diff(positions)) >= BANDS / 14


def test_one_band_needs_no_second() -> None:
    assert [tick.label for tick in frequency_ticks(np.array([100.0]))] == ["100 Hz"]


@pytest.mark.parametrize(
    ("start", "end", "labels"),
    [
        (2.0, 4.0, ["2", "2.5", "3", "3.5", "4"]),
        (0.0, 0.4, ["0", "0.1", "0.2", "0.3", "0.4"]),
        (58.5, 60.5, ["58.5", "59", "59.5", "60", "60.5"]),
        (1.0, 1.0, []),
    ],
)
def test_seconds_are_round(start: float, end: float, labels: list[str]) -> None:
    assert [tick.label for tick in time_ticks(start, end)] == labels
