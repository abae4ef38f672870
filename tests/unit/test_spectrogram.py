"""Spectrograms against librosa, and against what tones and clicks must give."""

from pathlib import Path

import librosa
import numpy as np
import pytest

from pellucid.contracts import Layout, LogMelContract, StftContract
from pellucid.spectrogram import band_hertz, mel_decibels, spectrogram

CONTRACT = LogMelContract(
    kind="log_mel",
    sample_rate_hz=16_000,
    window_seconds=2.0,
    hop_seconds=1.0,
    n_fft=1024,
    win_length=512,
    hop_length=160,
    n_mels=80,
    fmin_hz=0,
    fmax_hz=8000,
    floor_db=-80,
    ceiling_db=20,
    mean=-30,
    std=20,
    layout=Layout.HWC,
)
STFT = StftContract(
    kind="stft",
    sample_rate_hz=16_000,
    window_seconds=2.0,
    hop_seconds=1.0,
    n_fft=512,
    win_length=512,
    hop_length=128,
    floor_db=-80,
    ceiling_db=60,
    mean=-30,
    std=20,
    phase=True,
    layout=Layout.HWC,
)
TIME = np.arange(CONTRACT.window_samples) / CONTRACT.sample_rate_hz


def test_it_is_librosas_melspectrogram_in_decibels():
    samples = np.random.default_rng(0).normal(0, 0.1, CONTRACT.window_samples).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=1024, win_length=512, hop_length=160, n_mels=80, fmax=8000
    )
    np.testing.assert_allclose(mel_decibels(samples, CONTRACT), 10 * np.log10(power), atol=1e-3)


@pytest.mark.parametrize("hertz", [300, 1000, 3000, 7000])
def test_a_pure_tone_is_loudest_in_the_band_around_it(hertz):
    found = spectrogram(np.sin(2 * np.pi * hertz * TIME), CONTRACT)
    centres = librosa.mel_frequencies(n_mels=82, fmin=0, fmax=8000)[1:-1]
    assert found.shape == (80, CONTRACT.frames, 1)
    np.testing.assert_allclose(band_hertz(CONTRACT), centres)
    # The lowest bands are narrower than the window resolves: a neighbour may win by a hair.
    assert abs(found[:, 100, 0].argmax() - np.abs(centres - hertz).argmin()) <= 1


def test_the_level_of_a_full_scale_tone_is_known_in_closed_form():
    # On a bin, the spectrum of a sine is half the sum of the window, at one bin and its two
    # neighbours (1/4 of the power each, hann); the filter weighs it in units of 1 / Hz.
    bins = librosa.fft_frequencies(sr=16_000, n_fft=512)
    contract = CONTRACT.model_copy(update={"n_fft": 512})
    hertz = bins[100]
    filters = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=80, fmin=0, fmax=8000)
    peak = (512 / 4) ** 2
    expected = filters[:, 100] * peak + (filters[:, 99] + filters[:, 101]) * peak / 4
    band = expected.argmax()
    got = mel_decibels(np.sin(2 * np.pi * hertz * TIME), contract)[band, 100]
    assert got == pytest.approx(10 * np.log10(expected[band]), abs=0.01)


def test_twice_the_amplitude_is_six_decibels():
    tone = np.sin(2 * np.pi * 1000 * TIME) / 4
    louder = mel_decibels(2 * tone, CONTRACT) - mel_decibels(tone, CONTRACT)
    band = mel_decibels(tone, CONTRACT)[:, 100].argmax()
    assert louder[band, 100] == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_silence_is_the_floor_and_a_roar_is_the_ceiling():
    silence = spectrogram(np.zeros(CONTRACT.window_samples), CONTRACT)
    roar = spectrogram(
        1e6 * np.random.default_rng(0).normal(size=CONTRACT.window_samples), CONTRACT
    )
    assert (silence == (-80 + 30) / 20).all()
    assert (roar == (20 + 30) / 20).all()


def test_a_plain_spectrogram_is_librosas_in_decibels_without_the_row_of_0_hz():
    samples = np.random.default_rng(0).normal(0, 0.1, STFT.window_samples).astype(np.float32)
    power = np.abs(librosa.stft(samples, n_fft=512, hop_length=128)) ** 2
    expected = (10 * np.log10(np.maximum(power, 1e-10)) + 30) / 20
    found = spectrogram(samples, STFT)
    assert found.shape == STFT.shape == (256, 251, 3)
    np.testing.assert_allclose(found[..., 0], expected[1:], atol=1e-4)
    alone = spectrogram(samples, STFT.model_copy(update={"phase": False}))
    np.testing.assert_array_equal(alone, found[..., :1])
    assert band_hertz(STFT)[[0, -1]].tolist() == [31.25, 8_000]


def test_the_phases_are_second_differences_of_librosas():
    samples = np.random.default_rng(0).normal(0, 0.1, STFT.window_samples).astype(np.float32)
    spectrum = librosa.stft(samples, n_fft=512, hop_length=128)[1:]
    # Where there is next to nothing, rounding decides on the phase.
    angles, faint = np.angle(spectrum), np.abs(spectrum) < 0.01
    found = spectrogram(samples, STFT)
    for channel, axis in ((1, 1), (2, 0)):
        expected = np.cos(np.diff(angles, 2, axis=axis))
        inside = np.moveaxis(np.moveaxis(found[..., channel], axis, 0)[1:-1], 0, axis)
        wrong = np.abs(inside - expected) > 1e-2
        assert wrong.mean() <= 3 * faint.mean() < 0.01
    assert not found[:, [0, -1], 1].any() and not found[[0, -1], :, 2].any()


def test_a_tone_goes_on_as_it_was():
    found = spectrogram(np.sin(2 * np.pi * 1234 * TIME), STFT)
    row = np.abs(band_hertz(STFT) - 1234).argmin()
    assert found[row, 5:-5, 1] == pytest.approx(1, abs=1e-3)


def test_a_click_is_one_pulse():
    samples = np.zeros(STFT.window_samples, np.float32)
    samples[16_040] = 1
    found = spectrogram(samples, STFT)
    frame = round(16_040 / 128)
    assert found[1:-1, frame, 2] == pytest.approx(1, abs=1e-3)


def test_silence_has_no_phase():
    found = spectrogram(np.zeros(STFT.window_samples), STFT)
    low, _ = STFT.value_range
    np.testing.assert_array_equal(found, np.broadcast_to(low.astype(np.float32), found.shape))


@pytest.mark.parametrize("samples", [np.zeros((2, 100)), np.array([0.0, np.nan, 0.0])])
def test_several_channels_and_values_that_are_no_number_are_refused(samples):
    with pytest.raises(ValueError, match="finite samples of one channel"):
        spectrogram(samples, CONTRACT)


def test_the_shipped_card_describes_the_spectrogram_its_network_takes():
    from pellucid.cards import Card

    card = Card.read(Path(__file__).parents[2] / "triton_repo/speech_mobilenet_v2/card.yaml")
    assert isinstance(card.preprocess, LogMelContract) and card.architecture is not None
    arguments = card.architecture.arguments
    assert card.preprocess.shape == (arguments["height"], arguments["width"], 1)
