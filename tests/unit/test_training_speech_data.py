"""How training varies spectrograms, and which clips it draws."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pellucid.cards import AudioContract, Card
from training.speech_data import Clips, augment, load_clips, mix, sampling_odds

CARD = Card.read(Path(__file__).parents[2] / "triton_repo/speech_mobilenet_v2/card.yaml")


@pytest.fixture
def contract() -> AudioContract:
    assert isinstance(CARD.preprocess, AudioContract)
    return CARD.preprocess


def test_augmented_inputs_stay_in_the_contracts_range_and_leave_the_clips_alone(contract):
    rng = np.random.default_rng(0)
    decibels = rng.uniform(-90, 30, (8, contract.n_mels, contract.frames)).astype(np.float32)
    before = decibels.copy()
    x = augment(decibels, contract, 50, rng)
    low, high = np.array([contract.floor_db, contract.ceiling_db]) - contract.mean
    assert x.shape == (8, contract.n_mels, 50) and x.dtype == np.float32
    assert x.min() >= np.float32(low / contract.std) and x.max() <= np.float32(high / contract.std)
    np.testing.assert_array_equal(decibels, before)


def test_the_same_seed_varies_in_the_same_way(contract):
    decibels = np.random.default_rng(0).uniform(-60, 0, (4, contract.n_mels, 126))
    decibels = decibels.astype(np.float32)
    first, second = (augment(decibels, contract, 63, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_mixture_has_shares_of_targets_that_sum_to_one():
    rng = np.random.default_rng(0)
    x, targets = mix(np.ones((16, 4, 5), np.float32), np.eye(2, dtype=np.float32)[[0, 1] * 8], rng)
    np.testing.assert_allclose(x, 1, rtol=1e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)


def test_both_classes_are_drawn_alike_and_rare_engines_more_often_than_their_share():
    groups = ("human",) * 6 + ("old",) * 8 + ("new",) * 2
    clips = Clips(np.zeros((16, 1, 1), np.float32), np.repeat([0, 1], [6, 10]), groups)
    odds = sampling_odds(clips)
    assert odds[:6].sum() == pytest.approx(0.5) and odds.sum() == pytest.approx(1)
    assert odds[14:].sum() / odds[6:14].sum() == pytest.approx(2**0.5 / 8**0.5)


def test_clips_are_those_of_the_protocols_split_and_engines_name_the_fake_ones(tmp_path, contract):
    rows = [
        "path,label,speaker_or_engine,source,split_b",
        "a.wav,real,anna,reading,train",
        "b.wav,fake,vocoder,made here,train",
        "c.wav,real,bert,reading,test",
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(32_000), 16_000)
    clips = load_clips(tmp_path, "split_b", "train", contract)
    assert clips.groups == ("reading", "vocoder") and clips.labels.tolist() == [0, 1]
    assert clips.decibels.shape == (2, contract.n_mels, contract.frames)
    with pytest.raises(ValueError, match="no clip"):
        load_clips(tmp_path, "split_b", "val", contract)


def test_a_clip_of_another_rate_is_refused(tmp_path, contract):
    (tmp_path / "manifest.csv").write_text(
        "path,label,speaker_or_engine,source,split_b\na.wav,real,anna,reading,train\n"
    )
    soundfile.write(tmp_path / "a.wav", np.zeros(32_000), 8_000)
    with pytest.raises(ValueError, match="8000 Hz"):
        load_clips(tmp_path, "split_b", "train", contract)
