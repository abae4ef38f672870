from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pellucid.contracts import Layout
from pellucid.spectrogram import spectrogram
from tests.unit.preprocess.files import (
    RATE,
    read,
    sound,
    sound_contract,
    stft_contract,
    tone,
    windows,
)


def cells(samples, contract):
    """What a model of one channel sees, `(bands, frames)`."""
    return spectrogram(samples, contract)[..., 0]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_is_brought_to_the_models(rate: int):
    contract = sound_contract()
    found = windows(sound(tone(0.5, rate), rate=rate))[0].tensor[0]
    expected = cells(tone(0.5, RATE), contract)
    assert found.argmax() // found.shape[1] == expected.argmax() // expected.shape[1]
    loud = expected > expected.max() - 1
    np.testing.assert_allclose(found[loud], expected[loud], atol=0.1)


def test_a_clip_of_the_windows_length_is_what_training_saw():
    samples = tone()
    window = windows(sound(samples, subtype="FLOAT"))[0]
    np.testing.assert_array_equal(window.tensor[0], cells(samples, sound_contract()))
    assert window.tensor.shape == (1, 40, 51)
    assert windows(sound(samples), layout=Layout.HWC)[0].tensor.shape == (40, 51, 1)


def test_each_window_shows_its_own_part():
    samples = tone(1.0)
    samples[8_000:] = 0
    loud, half, silent = windows(sound(samples, subtype="FLOAT"))
    np.testing.assert_array_equal(loud.tensor[0], cells(samples[:8_000], sound_contract()))
    np.testing.assert_array_equal(half.tensor[0], cells(samples[4_000:12_000], sound_contract()))
    assert np.ptp(silent.tensor) == 0
    assert len({loud.digest, half.digest, silent.digest}) == 3


def test_a_single_sample_is_enough():
    assert len(windows(sound(np.array([0.5])))) == 1


def test_axes_and_the_way_back_agree():
    samples = np.zeros(16_000, np.float32)
    samples[9_600] = 1.0  # a click at 0.6 s
    for window in windows(sound(samples)):
        axes, back = window.axes, window.to_original
        assert axes is not None
        assert len(axes.time_seconds) == 51
        for column, second in enumerate(axes.time_seconds):
            assert back.x_scale * (column + 0.5) + back.x_offset == pytest.approx(second)
        loudest = window.tensor[0].sum(axis=0).argmax()
        if window.start_seconds <= 0.6 <= window.end_seconds:
            assert axes.time_seconds[loudest] == pytest.approx(0.6, abs=0.006)


def test_rows_are_named_by_the_frequency_that_they_hear():
    window = windows(sound(tone(hertz=1_000)))[0]
    assert window.axes is not None
    frequency = window.axes.frequency_hz
    assert list(frequency) == sorted(frequency)
    loudest = int(window.tensor[0].mean(axis=1).argmax())
    assert frequency[loudest] == pytest.approx(1_000, rel=0.06)


def test_the_preview_has_low_bands_at_the_bottom():
    window = windows(sound(tone(hertz=200)))[0]
    shown = Image.open(BytesIO(window.preview_png))
    assert shown.size == (51, 40)
    brightness = np.asarray(shown.convert("L"), float).mean(axis=1)
    assert brightness.argmax() > 30


def test_a_plain_spectrogram_comes_with_its_phases_and_frequencies():
    contract = stft_contract(phase=True)
    window = read(sound(tone(hertz=1_000), subtype="FLOAT"), contract).windows[0]
    np.testing.assert_array_equal(
        window.tensor, np.moveaxis(spectrogram(tone(hertz=1_000), contract), -1, 0)
    )
    assert window.axes is not None
    assert window.axes.frequency_hz[int(window.tensor[0].mean(axis=1).argmax())] == 1_000
    assert Image.open(BytesIO(window.preview_png)).size == (63, 256)
