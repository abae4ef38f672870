"""Train a model from its data, measure it, and put it into the repository: `make train`."""

import argparse
from pathlib import Path

from pellucid.architectures.weights import load_arrays, save_arrays
from pellucid.cards import Card
from training.publish import publish

ROOT = Path(__file__).parents[1]
DATA_SETS = {"pneumonia_densenet121": "kermany", "speech_mobilenet_v2": "speech"}


def main() -> None:
    """Train, measure and publish one model; an interrupted training goes on where it was."""
    parser = argparse.ArgumentParser(prog="python -m training", description=main.__doc__)
    parser.add_argument("model", choices=sorted(DATA_SETS))
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="checkpoints, curves")
    parser.add_argument("--repository", type=Path, default=ROOT / "triton_repo")
    options = parser.parse_args()
    folder = options.repository / options.model
    card = Card.read(folder / "card.yaml")
    data, run = options.data / DATA_SETS[options.model], options.runs / options.model
    if options.model == "pneumonia_densenet121":
        from training import pneumonia as model
    else:
        from training import speech as model
    shipped = run / "shipped.safetensors"
    save_arrays(load_arrays(model.train(card, data, run)), shipped)
    thresholds, quality = model.measure(card, data, shipped)
    publish(folder, shipped, thresholds, quality)


if __name__ == "__main__":
    main()
