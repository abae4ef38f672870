"""The log-mel spectrogram against librosa and against what a pure tone must give."""

from pathlib import Path

import librosa
import numpy as np
import pytest

from pellucid.contracts import Layout, LogMelContract
from pellucid.spectrogram import log_mel, mel_decibels

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
TIME = np.arange(CONTRACT.window_samples) / CONTRACT.sample_rate_hz


def test_it_is_librosas_melspectrogram_in_decibels():
    samples = np.random.default_rng(0).normal(0, 0.1, CONTRACT.window_samples).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=1024, win_length=512, hop_length=160, n_mels=80, fmax=8000
    )
    np.testing.assert_allclose(mel_decibels(samples, CONTRACT), 10 * np.log10(power), atol=1e-3)


@pytest.mark.parametrize("hertz", [300, 1000, 3000, 7000])
def test_a_pure_tone_is_loudest_in_the_band_around_it(hertz):
    spectrogram = log_mel(np.sin(2 * np.pi * hertz * TIME), CONTRACT)
    centres = librosa.mel_frequencies(n_mels=82, fmin=0, fmax=8000)[1:-1]
    assert spectrogram.shape == (80, CONTRACT.frames)
    # The lowest bands are narrower than the window resolves: a neighbour may win by a hair.
    assert abs(spectrogram[:, 100].argmax() - np.abs(centres - hertz).argmin()) <= 1


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
    silence = log_mel(np.zeros(CONTRACT.window_samples), CONTRACT)
    roar = log_mel(1e6 * np.random.default_rng(0).normal(size=CONTRACT.window_samples), CONTRACT)
    assert (silence == (-80 + 30) / 20).all()
    assert (roar == (20 + 30) / 20).all()


@pytest.mark.parametrize("samples", [np.zeros((2, 100)), np.array([0.0, np.nan, 0.0])])
def test_several_channels_and_values_that_are_no_number_are_refused(samples):
    with pytest.raises(ValueError, match="finite samples of one channel"):
        log_mel(samples, CONTRACT)


def test_the_shipped_card_describes_the_spectrogram_its_network_takes():
    from pellucid.cards import Card

    card = Card.read(Path(__file__).parents[2] / "triton_repo/speech_mobilenet_v2/card.yaml")
    assert isinstance(card.preprocess, LogMelContract) and card.architecture is not None
    arguments = card.architecture.arguments
    assert card.preprocess.shape == (arguments["height"], arguments["width"], 1)
