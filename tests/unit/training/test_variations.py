"""What training does to pictures and sounds stays in range, is seeded, and hides what it should."""

import numpy as np
import pytest
import torch
from torch import Generator

from pellucid.architectures.weights import load_keras, save_keras, save_torch
from pellucid.cards import Card
from pellucid.contracts import StftContract
from tests.support.tiny_sets import SPEECH_CARD, XRAY_CARD, recipe_of
from training import sounds
from training.datasets.clips import ALONE, Clips
from training.datasets.pictures import Pictures
from training.drawing import RandomRows, label_odds
from training.keras_loop import build_keras, margins_of
from training.measuring import measure_pictures, scorer
from training.measuring_clips import measure_clips
from training.pictures import hide, hide_share, normalise, vary
from training.places import Places
from training.recipe import PictureChanges
from training.run_recipe import claim
from training.variation import PictureVariation
from training.weights import build_torch

IMAGE = Card.model_validate(XRAY_CARD).preprocess
SOUND = Card.model_validate(SPEECH_CARD).preprocess
PHASES = StftContract(
    kind="stft",
    sample_rate_hz=16_000,
    window_seconds=0.25,
    hop_seconds=0.25,
    n_fft=256,
    win_length=256,
    hop_length=128,
    floor_db=-80,
    ceiling_db=60,
    mean=-30,
    std=20,
    phase=True,
    layout="HWC",
)
EVERYTHING = PictureChanges(resolution=1, spectrum=1)


@pytest.fixture
def pictures() -> torch.Tensor:
    images = torch.randint(256, (6, 1, 32, 32), generator=Generator().manual_seed(0))
    return normalise(images.byte(), 32, IMAGE)


def test_varied_pictures_stay_between_black_and_white(pictures):
    x = vary(pictures, IMAGE, EVERYTHING, Generator().manual_seed(0))
    assert x.shape == pictures.shape
    assert x.min() >= -2 and x.max() <= 2 and not torch.equal(x, pictures)


def test_the_same_seed_varies_pictures_in_the_same_way(pictures):
    first, second = (
        vary(pictures, IMAGE, EVERYTHING, Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, second)


def test_no_change_leaves_pictures_as_they_are(pictures):
    nothing = PictureChanges(pose=0, mirror=False, sharpness=0, exposure=0, noise=0)
    x = vary(pictures, IMAGE, nothing, Generator().manual_seed(0))
    torch.testing.assert_close(x, pictures)


def test_hidden_cells_take_the_mean_or_black_and_the_rest_stays(pictures):
    x = hide(pictures, 1.0, IMAGE, Generator().manual_seed(0))
    means = pictures.mean(dim=(2, 3), keepdim=True).expand_as(x)
    same = (x == pictures) | torch.isclose(x, means) | torch.isclose(x, torch.tensor(-2.0))
    assert same.all() and not torch.equal(x, pictures)
    assert torch.equal(hide(pictures, 0.0, IMAGE, Generator().manual_seed(0)), pictures)


def colour_card(name, mean, std):
    architecture = {
        "framework": "torch",
        "builder": "small_cnn",
        "arguments": {"channels": 3, "outputs": 1, "width": 4, "blocks": 2},
    }
    preprocess = {**XRAY_CARD["preprocess"], "channels": 3, "mean": mean, "std": std}
    return {**XRAY_CARD, "name": name, "architecture": architecture, "preprocess": preprocess}


@pytest.fixture
def colours() -> Pictures:
    images = torch.randint(256, (6, 3, 16, 16), generator=Generator().manual_seed(0)).byte()
    targets = torch.tensor([[0.0], [1.0]] * 3)
    return Pictures(images, targets, tuple("abcdef"), ("one",) * 6)


def test_a_teacher_of_colours_gets_each_channel_as_it_was_trained_with(tmp_path, colours):
    places = Places(tmp_path, tmp_path / "runs", tmp_path / "repository")
    data = [{"kind": "kermany"}]
    teacher = recipe_of(colour_card("teacher", [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]), data)
    run = places.run("teacher")
    claim(run, teacher)
    save_torch(build_torch(teacher.card), run / "weights.safetensors")
    (run / "finished.json").touch()
    pupil = recipe_of(
        colour_card("pupil", [0.5, 0.4, 0.3], [0.25, 0.5, 1.0]),
        data,
        teacher="teacher",
        stages=[{"epochs": 1, "taught": 1.0}],
        changes={"pose": 0, "mirror": False, "sharpness": 0, "exposure": 0, "noise": 0},
    )
    _, found = PictureVariation(pupil, places)(
        colours.images, colours.targets, pupil.stages[0], Generator()
    )
    answer = scorer(teacher.card, run / "weights.safetensors")
    expected = answer([normalise(colours.images, 16, teacher.card.preprocess)])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_black_picture_is_black_in_every_channel(tmp_path, colours):
    card = Card.model_validate(colour_card("tiny", [0.4, 0.5, 0.6], [0.2, 0.3, 0.1]))
    weights = tmp_path / "weights.safetensors"
    save_torch(build_torch(card), weights)
    black = normalise(torch.zeros_like(colours.images[:1]), 16, card.preprocess)
    figures = measure_pictures(card, weights, colours)["validation"]["pneumonia"]
    expected = scorer(card, weights)([black])[0, 0]
    assert figures["black"] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_cells_is_hidden_exactly(pictures, share):
    x = hide_share(pictures, share, Generator().manual_seed(0))
    means = pictures.mean(dim=(2, 3), keepdim=True).expand_as(x)
    assert torch.isclose(x, means).float().mean().item() == pytest.approx(share, abs=0.02)


def clips(count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((count, 4_000)) * 3_000).astype(np.int16)


def test_varied_sounds_stay_in_the_contracts_range_and_are_seeded():
    first, second = (sounds.varied(clips(), SOUND, 1.5, np.random.default_rng(5)) for _ in range(2))
    low, high = SOUND.value_range
    assert first.shape == (6, 32, 32, 1) and np.array_equal(first, second)
    assert first.min() >= low[0] - 1e-6 and first.max() <= high[0] + 1e-6


@pytest.mark.parametrize(
    "device",
    [sounds._room, sounds._microphone, sounds._clip, sounds._noise, sounds._band, sounds._codec],
)
def test_a_device_keeps_length_and_most_of_the_sound(device):
    sound = np.sin(np.arange(16_000) * 0.2).astype(np.float32) * 0.3
    for seed in range(8):
        heard = device(sound, 16_000, np.random.default_rng(seed))
        assert heard.shape == sound.shape and heard.dtype == np.float32
        spectra = [np.abs(np.fft.rfft(each)) for each in (sound, heard)]
        assert spectra[0].argmax() == pytest.approx(spectra[1].argmax(), abs=2)


def test_hidden_cells_of_a_spectrogram_take_silence_or_the_mean():
    x = sounds.inputs(clips(), SOUND)
    hidden = sounds.hide(x.copy(), 1.0, SOUND, np.random.default_rng(0))
    silence = SOUND.value_range[0][0]
    for before, after in zip(x, hidden, strict=True):
        changed = after[after != before]
        assert np.isclose(changed, silence).all() or np.isclose(changed, before.mean()).all()


def test_channels_of_phases_are_hidden_as_silence_has_them():
    x = sounds.inputs(clips(), PHASES)
    assert x.shape == (6, 128, 32, 3)
    hidden = sounds.hide(x.copy(), 1.0, PHASES, np.random.default_rng(0))
    silence, _ = PHASES.value_range
    for before, after in zip(x, hidden, strict=True):
        changed = after[(after != before).any(axis=2)]
        means = before.mean(axis=(0, 1))
        assert np.allclose(changed, silence) or np.allclose(changed, means, atol=1e-6)
    barred = sounds.mask_bars(x.copy(), np.random.default_rng(0))
    assert barred.shape == x.shape and (barred != x).any()


def test_a_clip_that_is_all_hidden_is_silence_with_its_phases(tmp_path):
    card = Card.model_validate(
        {
            **SPEECH_CARD,
            "preprocess": PHASES.model_dump(),
            "architecture": {
                "framework": "keras",
                "builder": "residual_network",
                "arguments": {
                    "height": 128,
                    "width": 32,
                    "channels": 3,
                    "outputs": 2,
                    "planes": 4,
                },
            },
        }
    )
    model, weights = build_keras(card), tmp_path / "weights.safetensors"
    save_keras(model, weights)
    labels, names = np.arange(6) % 2, tuple("ababab")
    twins = np.full(6, ALONE)
    found = measure_clips(card, weights, Clips(clips(), labels, ("one",) * 6, names, names, twins))
    load_keras(model, weights)
    silence = np.broadcast_to(PHASES.value_range[0], (1, *PHASES.shape))
    margin = margins_of(model.predict(silence, verbose=0))[0]
    score = 1 / (1 + np.exp(-margin))
    assert found["hidden"]["100%"]["mean_score"] == pytest.approx(score, abs=1e-4)


def test_labels_are_drawn_equally_often_however_rare_they_are():
    targets = torch.tensor([[1.0]] * 90 + [[0.0]] * 10)
    assert label_odds(targets)[:90].sum() == pytest.approx(1)
    rows = torch.cat(list(RandomRows(targets, 2_000, 50, balanced=True, seed=0)))
    assert targets[rows].mean().item() == pytest.approx(0.5, abs=0.05)


def test_unbalanced_draws_see_everything_once_before_anything_twice():
    targets = torch.zeros(10, 3)
    sampler = RandomRows(targets, 20, 5, balanced=False, seed=0)
    rows = torch.cat(list(sampler))
    assert sorted(rows[:10].tolist()) == list(range(10)) and len(sampler) == 4
    sampler.set_epoch(1)
    assert not torch.equal(torch.cat(list(sampler)), rows)
