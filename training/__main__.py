"""Train a model from its data, measure it, and put it into the repository: `make train`."""

import argparse
from importlib import import_module
from pathlib import Path

from pellucid.architectures.weights import load_arrays, save_arrays
from pellucid.cards import Card
from pellucid.repository.build import build_model
from training.publish import publish

ROOT = Path(__file__).parents[1]
MODELS = {
    "pneumonia_densenet121": ("training.pneumonia", "kermany"),
    "speech_mobilenet_v2": ("training.speech", "speech"),
}
"""Module and data set of each model; the module has `train` and `measure`."""


def main() -> None:
    """Train, measure and publish one model; an interrupted training goes on where it was."""
    parser = argparse.ArgumentParser(prog="python -m training", description=main.__doc__)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="checkpoints, curves")
    parser.add_argument("--repository", type=Path, default=ROOT / "triton_repo")
    options = parser.parse_args()
    folder = options.repository / options.model
    card = Card.read(folder / "card.yaml")
    module, data_set = MODELS[options.model]
    data, run = options.data / data_set, options.runs / options.model
    # Only the framework of the model that is trained is loaded.
    model = import_module(module)
    shipped = run / "shipped.safetensors"
    save_arrays(load_arrays(model.train(card, data, run)), shipped)
    thresholds, quality = model.measure(card, data, shipped)
    publish(folder, shipped, thresholds, quality)
    build_model(folder)


if __name__ == "__main__":
    main()
