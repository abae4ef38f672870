"""How training varies spectrograms, and which clips it draws."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pellucid.cards import Card
from pellucid.contracts import LogMelContract
from training.speech_data import Clips, Odds, augment, draw_batch, load_clips

CARD = Card.read(Path(__file__).parents[3] / "triton_repo/speech_mobilenet_v2/card.yaml")


@pytest.fixture
def contract() -> LogMelContract:
    assert isinstance(CARD.preprocess, LogMelContract)
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


def test_a_batch_of_one_is_varied_whatever_chance_chooses(contract):
    decibels = np.full((1, contract.n_mels, 126), -30, np.float32)
    for seed in range(20):
        assert np.isfinite(augment(decibels, contract, 63, np.random.default_rng(seed))).all()


def test_the_same_seed_varies_in_the_same_way(contract):
    decibels = np.random.default_rng(0).uniform(-60, 0, (4, contract.n_mels, 126))
    decibels = decibels.astype(np.float32)
    first, second = (augment(decibels, contract, 63, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def clips_of(labels: list[int], groups: list[str], twins: list[int]) -> Clips:
    decibels = np.zeros((len(labels), 1, 1), np.float32)
    return Clips(decibels, np.array(labels), tuple(groups), tuple(groups), np.array(twins))


def test_rare_engines_are_drawn_more_often_than_their_share_and_twins_twice_as_often():
    groups = ["human"] * 6 + ["old"] * 8 + ["new"] * 2 + ["vocoder"] * 2
    odds = Odds.of(clips_of([0] * 6 + [1] * 12, groups, [-1] * 16 + [0, 1]))
    assert odds.real.sum() == pytest.approx(1) and odds.real[6:].sum() == 0
    assert odds.fake.sum() == pytest.approx(1) and odds.fake[:6].sum() == 0
    assert odds.fake[14:16].sum() / odds.fake[6:14].sum() == pytest.approx(2**0.5 / 8**0.5)
    assert odds.fake[16:].sum() / odds.fake[14:16].sum() == pytest.approx(2)


def test_a_batch_holds_as_many_real_as_fake_clips_and_the_twins_of_those_that_have_one():
    clips = clips_of([0, 0, 0, 1, 1], ["a", "a", "a", "tts", "vocoder"], [-1, -1, -1, -1, 2])
    rows = draw_batch(clips, Odds.of(clips), 64, np.random.default_rng(0))
    fake, real = rows[:32], rows[32:]
    assert (clips.labels[fake] == 1).all() and (clips.labels[real] == 0).all()
    assert (real[fake == 4] == 2).all() and set(real[fake == 3]) == {0, 1, 2}


def test_clips_are_those_of_the_protocols_split_and_engines_name_the_fake_ones(tmp_path, contract):
    rows = [
        "path,label,speaker_or_engine,source,voice,paired_real,split_b",
        "a.wav,real,anna,reading,anna,,train",
        "b.wav,fake,vocoder,made here,lpc,a.wav,train",
        "c.wav,real,bert,reading,bert,,test",
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(32_000), 16_000)
    clips = load_clips(tmp_path, "split_b", "train", contract)
    assert clips.groups == ("reading", "vocoder") and clips.labels.tolist() == [0, 1]
    assert clips.voices == ("anna anna", "vocoder lpc")
    assert clips.twins.tolist() == [-1, 0]
    assert clips.decibels.shape == (2, contract.n_mels, contract.frames)
    with pytest.raises(ValueError, match="no clip"):
        load_clips(tmp_path, "split_b", "val", contract)


def test_a_clip_of_another_rate_is_refused(tmp_path, contract):
    (tmp_path / "manifest.csv").write_text(
        "path,label,speaker_or_engine,source,voice,paired_real,split_b\n"
        "a.wav,real,anna,reading,anna,,train\n"
    )
    soundfile.write(tmp_path / "a.wav", np.zeros(32_000), 8_000)
    with pytest.raises(ValueError, match="8000 Hz"):
        load_clips(tmp_path, "split_b", "train", contract)
