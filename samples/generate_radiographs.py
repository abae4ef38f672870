"""Make radiograph-like pictures of this folder with a trained generator: no patient is in them.

    python -m training.vae training/recipes/generators/xray_vae.yaml
    python samples/generate_radiographs.py --runs runs

One picture of each label, drawn from the generator's latent space, 512 x 512.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Generator

from training.places import Places
from training.vae import load_generator

SIZE = 512
FOLDER = Path(__file__).parent


def main() -> None:
    """Write a picture of each label, 8 bit, grey."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="xray_vae")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER)
    Places.add_options(parser, "runs")
    options = parser.parse_args()
    recipe, network = load_generator(options.generator, Places.of(options))
    labels = recipe.card.labels
    made = network.draw(torch.arange(len(labels)), Generator().manual_seed(options.seed))
    for label, picture in zip(labels, made, strict=True):
        plane = (picture[0] * 255).round().byte().numpy()
        large = Image.fromarray(plane).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        large.save(options.out / f"radiograph_generated_{label}.png")


if __name__ == "__main__":
    main()
