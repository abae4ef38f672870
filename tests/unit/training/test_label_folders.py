"""A folder for each label is a data set, of pictures or of sounds."""

import shutil

import numpy as np
import pytest

from pellucid.cards import Card
from tests.support.tiny_sets import SPEECH_CARD, XRAY_CARD, picture, recipe_of, sound
from training.datasets.clips import check_clips
from training.datasets.folders import ClipFolders, PictureFolders
from training.datasets.pictures import BadData, check_splits

CARD = Card.model_validate(XRAY_CARD)
CONTRACT = Card.model_validate(SPEECH_CARD).preprocess


@pytest.fixture
def barks(tmp_path):
    """Sounds of two labels in four kinds of files, of any rate and length."""
    for label in ("dog", "cat"):
        for number in range(20):
            suffix = (".wav", ".flac", ".ogg", ".MP3")[number % 4]
            samples, rate = ((30_000, 22_050), (1_000, 16_000))[number % 2]
            path = tmp_path / f"pets/{label}/anna{number // 4}-{number}{suffix}"
            sound(path, samples, rate, seed=number + 20 * (label == "cat"))
    return tmp_path


def source(**rest) -> ClipFolders:
    return ClipFolders(kind="clip_folders", folder="pets", labels=("dog", "cat"), **rest)


def test_sounds_of_any_kind_become_windows_and_are_divided_by_a_seeded_share(barks):
    splits = {name: source(val=0.3).load(barks, name, CONTRACT) for name in ("train", "val")}
    check_clips(splits)
    clips = splits["train"]
    assert clips.samples.shape == (len(clips), 4_000) and clips.samples.dtype == np.int16
    assert set(clips.groups) == {"dog", "cat"} and set(clips.labels) == {0, 1}
    again, other = (source(val=0.3, seed=seed).load(barks, "val", CONTRACT) for seed in (0, 1))
    assert again.owners == splits["val"].owners != other.owners


def test_own_splits_of_a_folder_of_sounds_are_kept(barks):
    for split in ("train", "val"):
        for label in ("dog", "cat"):
            sound(barks / f"pets/{split}/{label}/0.wav", seed=hash_of(split, label))
    splits = {name: source().load(barks, name, CONTRACT) for name in ("train", "val")}
    check_clips(splits)
    assert splits["val"].owners == ("val/dog/0.wav", "val/cat/0.wav")


def hash_of(*words: str) -> int:
    return sum(map(ord, "".join(words)))


def test_an_owner_in_the_names_stays_in_one_split(barks):
    by_name = source(owner=r"(anna\d+)-", val=0.3)
    splits = {name: by_name.load(barks, name, CONTRACT) for name in ("train", "val", "test")}
    owners = [set(clips.owners) for clips in splits.values()]
    assert set.union(*owners) == {f"anna{n}" for n in range(5)} and not set.intersection(*owners)
    with pytest.raises(BadData, match="finds no group in"):
        source(owner=r"(bert\d+)-").load(barks, "train", CONTRACT)


def test_a_corrupt_sound_is_named_left_out_and_counted(barks, caplog):
    (barks / "pets/dog/anna0-0.wav").write_bytes(b"no sound")
    splits = [source().load(barks, split, CONTRACT) for split in ("train", "val", "test")]
    assert sum(clips.left_out for clips in splits) == 1 and "anna0-0.wav" in caplog.text


def test_an_empty_or_a_missing_label_stops_the_training(barks):
    shutil.rmtree(barks / "pets/cat")
    with pytest.raises(BadData, match=r"no folder .*cat"):
        source().load(barks, "train", CONTRACT)
    (barks / "pets/cat").mkdir()
    with pytest.raises(BadData, match="cat has nothing for the train split"):
        source().load(barks, "train", CONTRACT)


def test_the_same_file_in_two_splits_stops_the_training(tmp_path):
    for number, label in enumerate(CARD.labels):
        for split in ("train", "val"):
            picture(tmp_path / f"mine/{split}/{label}/a.png", bool(number), hash_of(split, label))
    mine = PictureFolders(kind="picture_folders", folder="mine")

    def check() -> None:
        check_splits({name: mine.load(tmp_path, name, CARD) for name in ("train", "val")})

    check()
    shutil.copy(tmp_path / "mine/train/normal/a.png", tmp_path / "mine/val/normal/b.png")
    with pytest.raises(BadData, match=r"train/normal/a\.png in train and val/normal/b\.png in val"):
        check()


def test_a_recipe_may_learn_from_sounds_of_a_folder():
    data = [{"kind": "clip_folders", "folder": "pets", "labels": ["dog", "cat"], "owner": "(a)-"}]
    recipe = recipe_of(SPEECH_CARD, data)
    assert recipe.hears and recipe.digest == recipe_of(SPEECH_CARD, data).digest
