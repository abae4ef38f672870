"""Models whose right explanation is known: small graphs made by hand, each with its card."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pellucid.cards import Card
from pellucid.repository.build import build_model
from pellucid.scores import calibrated

Floats = NDArray[np.float32]

IMAGE: dict[str, Any] = {
    "kind": "image",
    "height": 32,
    "width": 32,
    "channels": 1,
    "layout": "CHW",
    "mean": [0.0],
    "std": [1.0],
}
SOUND: dict[str, Any] = {
    "kind": "log_mel",
    "sample_rate_hz": 16_000,
    "window_seconds": 1.0,
    "hop_seconds": 0.5,
    "n_fft": 512,
    "win_length": 512,
    "hop_length": 256,
    "n_mels": 32,
    "fmin_hz": 0.0,
    "fmax_hz": 8_000.0,
    "floor_db": -80.0,
    "ceiling_db": 0.0,
    "mean": -80.0,
    "std": 80.0,
    "layout": "HWC",
}
"""Normalised so that silence is 0 and full scale is 1."""


@dataclass(frozen=True)
class LinearModel:
    """`logits = sum(weights * input) + bias`: every attribution has a closed form.

    For a target k the gradient is `weights[k]`; Integrated Gradients, Shapley values and the
    occlusion drop of a set of cells A are the sum over A of `weights[k] * (input - baseline)`.
    """

    folder: Path
    card: Card
    weights: Floats
    """Shape `(K', *card.preprocess.shape)`."""
    bias: Floats
    """Shape `(K',)`."""

    def logits(self, inputs: Floats) -> Floats:
        """Logits `(N, K')` of inputs `(N, *shape)`."""
        flat = self.weights.reshape(len(self.weights), -1)
        return inputs.reshape(len(inputs), -1) @ flat.T + self.bias


@dataclass(frozen=True)
class Ensemble:
    """The mean of the calibrated scores of linear models of one output and contract."""

    folder: Path
    card: Card
    members: tuple[LinearModel, ...]

    def member_scores(self, inputs: Floats) -> Floats:
        """Calibrated scores of the members, `(N, M, K)`, of inputs `(N, *shape)`."""
        found = [calibrated(model.card, model.logits(inputs)) for model in self.members]
        return np.stack(found, axis=1)

    def scores(self, inputs: Floats) -> Floats:
        """Their mean, `(N, K)`."""
        mean: Floats = self.member_scores(inputs).mean(axis=1)
        return mean


def write_ensemble(repository: Path, name: str, members: Sequence[LinearModel]) -> Ensemble:
    """Write an ensemble's folder and build what Triton needs of it."""
    facts = members[0].card.model_dump(mode="json", exclude_defaults=True, exclude={"calibration"})
    names = [member.card.name for member in members]
    card = Card.model_validate(facts | {"name": name, "members": names})
    folder = write_card(repository, card)
    build_model(folder)
    return Ensemble(folder, card, tuple(members))


def linear_model(
    repository: Path, name: str = "linear", *, seed: int = 0, temperature: float | None = None
) -> LinearModel:
    """Three labels over a 32 by 32 grey picture, random weights, softmax."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.1, (3, 1, 32, 32)).astype(np.float32)
    bias = rng.normal(0, 0.1, 3).astype(np.float32)
    labels = ["first", "second", "third"]
    card = _card(name, labels=labels, activation="softmax", temperature=temperature)
    return write_linear(repository, card, weights, bias)


def planted_patch_model(repository: Path) -> LinearModel:
    """Says `patch` when rows 8 to 15, columns 16 to 23 of a grey picture are bright."""
    weights = np.zeros((2, 1, 32, 32), np.float32)
    weights[1, 0, 8:16, 16:24] = 1 / 8
    card = _card("planted_patch", labels=["plain", "patch"], activation="softmax")
    return write_linear(repository, card, weights, np.array([0, -4], np.float32))


def planted_tone_model(repository: Path) -> LinearModel:
    """Says `tone` when mel bands 12 to 15 of one second of sound are loud, at any time."""
    card = _card(
        "planted_tone",
        labels=["quiet", "tone"],
        activation="softmax",
        modality="speech",
        preprocess=SOUND,
    )
    weights = np.zeros((2, *card.preprocess.shape), np.float32)
    weights[1, 12:16] = 16 / weights[1, 12:16].size
    return write_linear(repository, card, weights, np.array([0, -8], np.float32))


def binary_model(
    repository: Path, name: str = "binary", *, seed: int = 1, temperature: float | None = None
) -> LinearModel:
    """One logit, that of `ill`; `well` is its negation."""
    weights = np.random.default_rng(seed).normal(0, 0.1, (1, 1, 32, 32)).astype(np.float32)
    card = _card(
        name,
        labels=["well", "ill"],
        activation="binary_sigmoid",
        positive_label="ill",
        temperature=temperature,
    )
    return write_linear(repository, card, weights, np.array([0.25], np.float32))


def write_linear(repository: Path, card: Card, weights: Floats, bias: Floats) -> LinearModel:
    """Write a linear model's folder and build what Triton needs of it."""
    folder = write_card(repository, card)
    onnx.save_model(linear_graph(weights, bias), folder / "1" / "model.onnx")
    build_model(folder)
    return LinearModel(folder, card, weights, bias)


def write_card(repository: Path, card: Card) -> Path:
    """Write a model's folder with its card and nothing else."""
    folder = repository / card.name
    (folder / "1").mkdir(parents=True)
    text = yaml.safe_dump(card.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return folder


def linear_graph(weights: Floats, bias: Floats) -> onnx.ModelProto:
    """`Flatten -> Gemm`."""
    value = helper.make_tensor_value_info
    flat = np.ascontiguousarray(weights.reshape(len(weights), -1))
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"], transB=1),
        ],
        "linear",
        [value("input", TensorProto.FLOAT, ["batch", *weights.shape[1:]])],
        [value("logits", TensorProto.FLOAT, ["batch", len(weights)])],
        initializer=[
            numpy_helper.from_array(flat, "weights"),
            numpy_helper.from_array(bias, "bias"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _card(
    name: str,
    *,
    labels: list[str],
    activation: str,
    positive_label: str | None = None,
    modality: str = "photo",
    preprocess: dict[str, Any] | None = None,
    temperature: float | None = None,
) -> Card:
    return Card.model_validate(
        {
            "name": name,
            "version": "1",
            "title": name.replace("_", " "),
            "description": "A model with a known explanation.",
            "modality": modality,
            "labels": labels,
            "output": {"activation": activation, "positive_label": positive_label},
            "preprocess": preprocess or IMAGE,
            "calibration": temperature and {"temperature": temperature},
        }
    )


def add_version(folder: Path, source: Path) -> None:
    """Have version 2 of a built model's graph served, from version 1 of `source`; load it then."""
    shutil.copytree(source / "1", folder / "2")
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace("versions: 1", "versions: 2"))
