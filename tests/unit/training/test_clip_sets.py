"""Loaders of clips: pairs stay together, and what is wrong with a set is named."""

import numpy as np
import pytest

from pellucid.cards import Card
from tests.support.tiny_sets import SPEECH_CARD, sound
from training.copies import MAKERS, with_copies
from training.datasets.clips import ALONE, Clips, check_clips
from training.datasets.fake_or_real import FakeOrReal
from training.datasets.pictures import BadData
from training.datasets.speech import Speech
from training.datasets.speech_neural import SpeechNeural
from training.drawing import PairDraw

CONTRACT = Card.model_validate(SPEECH_CARD).preprocess


def both(root, split="train") -> Clips:
    parts = (Speech(kind="speech"), SpeechNeural(kind="speech_neural"))
    return Clips.joined([part.load(root, split, CONTRACT) for part in reversed(parts)])


def test_a_resynthesised_clip_knows_its_original_behind_another_set(speech):
    clips = both(speech)
    assert clips.samples.shape == (14, 4_000) and clips.samples.dtype == np.int16
    paired = np.flatnonzero(clips.twins != ALONE)
    assert {clips.groups[row] for row in paired} == {"vocoder train"}
    assert all(clips.labels[clips.twins[row]] == 0 for row in paired)
    assert {clips.sets[row] for row in clips.twins[paired]} == {"speech"}


def test_a_person_in_two_splits_stops_the_training(speech):
    check_clips({"train": both(speech), "val": both(speech, "val")})
    training = Speech(kind="speech").load(speech, "train", CONTRACT)
    with pytest.raises(BadData, match="anna"):
        check_clips({"train": training, "val": training})


def test_a_set_of_one_label_stops_the_training(speech):
    clips = both(speech)
    clips.labels[:] = 1
    with pytest.raises(BadData, match="real"):
        check_clips({"train": clips})


def test_a_clip_of_another_rate_or_length_is_named(speech):
    sound(speech / "speech/train/real0.flac", rate=8_000)
    with pytest.raises(BadData, match=r"real0\.flac: 8000 Hz"):
        both(speech)


def test_a_corrupt_clip_is_named_and_left_out(speech, caplog):
    (speech / "speech/train/real0.flac").write_bytes(b"no sound")
    clips = both(speech)
    assert len(clips) == 13 and "real0.flac" in caplog.text
    assert (clips.twins != ALONE).sum() == 1


def smoothed(spectrum: np.ndarray) -> np.ndarray:
    return np.convolve(spectrum, np.ones(60), "same")


@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_keeps_the_length_and_the_spectrum_but_not_the_waveform(name):
    rng = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000
    voice = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20))
    voice = (0.1 * voice).astype(np.float32)
    copy = MAKERS[name](voice, rng)
    assert copy.shape == voice.shape and np.isfinite(copy).all()
    ours, theirs = (np.abs(np.fft.rfft(each))[:1_000] for each in (voice, copy))
    assert np.corrcoef(smoothed(ours), smoothed(theirs))[0, 1] > 0.5
    assert not np.allclose(copy, voice, atol=1e-3)


def test_copies_are_fake_twins_of_the_real_clips_and_kept(speech, tmp_path):
    clips = both(speech)
    grown = with_copies(clips, tmp_path / "cache", each=2)
    real = int((clips.labels == 0).sum())
    copies = np.arange(len(clips), len(grown))
    assert len(copies) == 2 * real and (grown.labels[copies] == 1).all()
    assert sorted(grown.twins[copies]) == sorted([*np.flatnonzero(clips.labels == 0)] * 2)
    again = with_copies(clips, tmp_path / "cache", each=2)
    np.testing.assert_array_equal(again.samples, grown.samples)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_is_hardest_to_hear_can_be_left_for_later(speech):
    clips = both(speech)
    rows = PairDraw(clips, copies=0).rows(200, np.random.default_rng(0))
    assert (clips.twins[rows[:100]] == ALONE).all() and (clips.labels[rows[:100]] == 1).all()


def test_a_fake_is_drawn_with_its_original_or_with_a_real_one_of_its_set(speech):
    clips = both(speech)
    rows = PairDraw(clips).rows(200, np.random.default_rng(0))
    fakes, partners = rows[:100], rows[100:]
    assert (clips.labels[fakes] == 1).all() and (clips.labels[partners] == 0).all()
    for fake, partner in zip(fakes, partners, strict=True):
        assert clips.sets[fake] == clips.sets[partner]
        assert clips.twins[fake] in (ALONE, partner)
    share = np.mean([clips.sets[row] == "speech" for row in fakes])
    assert 0.35 < share < 0.65, "each set is drawn as often"


def test_fake_or_real_keeps_its_splits_and_fits_any_clip_to_the_window(tmp_path):
    for seed, split in enumerate(("training", "validation")):
        sound(tmp_path / f"for-2sec/{split}/real/long.wav", samples=30_000, rate=22_050, seed=seed)
        sound(tmp_path / f"for-2sec/{split}/fake/short.wav", samples=1_000, seed=seed)
    source = FakeOrReal(kind="fake_or_real")
    clips = source.load(tmp_path, "train", CONTRACT)
    assert clips.samples.shape == (2, 4_000) and clips.labels.tolist() == [0, 1]
    assert (clips.samples[1, 1_000:] == 0).all() and (clips.samples[0, 3_000:] != 0).any()
    check_clips({"train": clips, "val": source.load(tmp_path, "val", CONTRACT)})
    with pytest.raises(BadData, match="testing"):
        source.load(tmp_path, "test", CONTRACT)


def test_the_same_clip_in_two_splits_stops_the_training(speech):
    (speech / "speech/val/fake0.flac").write_bytes(
        (speech / "speech/train/fake1.flac").read_bytes()
    )
    with pytest.raises(BadData, match="same content"):
        check_clips({"train": both(speech), "val": both(speech, "val")})
