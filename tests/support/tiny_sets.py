"""Cards, recipes and files of tiny data sets."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from training.recipe import Recipe

SIDE = 16
XRAY_CARD: dict[str, Any] = {
    "name": "tiny",
    "version": "1",
    "title": "Tiny",
    "description": "Tiny.",
    "modality": "chest_xray",
    "labels": ["normal", "pneumonia"],
    "output": {"activation": "binary_sigmoid", "positive_label": "pneumonia"},
    "preprocess": {
        "kind": "image",
        "height": SIDE,
        "width": SIDE,
        "channels": 1,
        "layout": "CHW",
        "mean": [0.5],
        "std": [0.25],
    },
    "architecture": {
        "framework": "torch",
        "builder": "small_cnn",
        "arguments": {"channels": 1, "outputs": 1, "width": 4, "blocks": 2},
    },
}
KERAS_XRAY_CARD: dict[str, Any] = {
    **XRAY_CARD,
    "preprocess": {**XRAY_CARD["preprocess"], "layout": "HWC", "height": 32, "width": 32},
    "architecture": {
        "framework": "keras",
        "builder": "vgg16",
        "arguments": {"height": 32, "width": 32, "outputs": 1, "alpha": 0.0625},
    },
}
SPEECH_CARD: dict[str, Any] = {
    "name": "tiny_speech",
    "version": "1",
    "title": "Tiny",
    "description": "Tiny.",
    "modality": "speech",
    "labels": ["real", "fake"],
    "output": {"activation": "softmax"},
    "preprocess": {
        "kind": "log_mel",
        "sample_rate_hz": 16000,
        "window_seconds": 0.25,
        "hop_seconds": 0.25,
        "n_fft": 512,
        "win_length": 512,
        "hop_length": 128,
        "n_mels": 32,
        "fmin_hz": 0,
        "fmax_hz": 8000,
        "floor_db": -80,
        "ceiling_db": 20,
        "mean": -40,
        "std": 18,
        "layout": "HWC",
    },
    "architecture": {
        "framework": "keras",
        "builder": "residual_network",
        "arguments": {"height": 32, "width": 32, "outputs": 2, "planes": 4},
    },
}


def recipe_of(card: dict[str, Any], data: list[dict[str, Any]], **rest: Any) -> Recipe:
    """A recipe of two short epochs, the second with hidden segments."""
    defaults = {
        "stages": [{"epochs": 1}, {"epochs": 1, "hidden": 0.5}],
        "batch": 8,
        "optimiser": {"learning_rate": 1e-3},
        "precision": "float32",
        "threads": 1,
    }
    return Recipe.model_validate({"card": card, "data": data, **defaults, **rest})


def picture(path: Path, bright: bool, seed: int) -> None:
    """Noise, brighter in the middle where `bright`."""
    rng = np.random.default_rng(seed)
    plane = rng.integers(0, 120, (SIDE, SIDE), np.uint8)
    plane[4:12, 4:12] += 100 * bright
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(plane).save(path)


def sound(path: Path, samples: int = 4_000, rate: int = 16_000, seed: int = 0) -> None:
    """A quarter of a second of a buzz in noise."""
    rng = np.random.default_rng(seed)
    buzz = np.sign(np.sin(np.arange(samples) * rng.uniform(0.05, 0.2)))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * buzz + 0.02 * rng.standard_normal(samples), rate)
