"""Where a training's first weights, and its teacher's, come from."""

from importlib.resources import files
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pellucid.architectures import build
from pellucid.architectures.weights import load_torch
from pellucid.cards import Card
from pellucid.repository.folder import WEIGHTS
from training.digests import NoWeights, checked
from training.hub import fetch
from training.places import FINISHED, RECIPE, Places
from training.recipe import File, Hub, Model, Package, Recipe, Start


def trained(model: str, places: Places) -> tuple[Card, Path]:
    """Card and weights of a finished run, or else of the repository.

    Raises:
        NoWeights: neither has them.
    """
    run, served = places.run(model), places.repository / model
    if (run / FINISHED).exists():
        return Recipe.read(run / RECIPE).card, run / WEIGHTS
    if (served / "card.yaml").exists():
        card = Card.read(served / "card.yaml")
        weights = served / card.version / WEIGHTS
        if weights.exists():
            return card, weights
    raise NoWeights(f"{model} is neither in {run} nor in {served}: train it first")


def start_weights(start: Start, places: Places) -> Path:
    """The file to start a network of the same shape from.

    Raises:
        NoWeights: it is not there, or the recipe names no model.
    """
    match start:
        case Model():
            return trained(start.model, places)[1]
        case File():
            if not start.file.exists():
                raise NoWeights(f"there is no file {start.file}")
            return start.file
        case Hub():
            return fetch(start)
        case Package():
            raise NoWeights(f"{start.package} has weights of torch: start from a model")


def start_torch(module: nn.Module, start: Start, places: Places) -> None:
    """Fill a network with weights that were trained for something else.

    A first convolution over colours takes grey by adding its planes; a last layer of another width
    stays random.

    Raises:
        NoWeights: they are not there, not what the recipe says, or of another network.
    """
    found = _read(start, places)
    # Counters of batch normalisation are in no file of ours.
    ours = {key: value for key, value in module.state_dict().items() if value.ndim}
    found = {key: value for key, value in found.items() if value.ndim}
    if set(found) != set(ours):
        # Other names: the order of the layers decides.
        if len(found) != len(ours):
            raise NoWeights(f"{start} has {len(found)} arrays, the network {len(ours)}")
        found = dict(zip(ours, found.values(), strict=True))
    fitting = {key: _fit(key, found[key], ours[key], list(ours)[-2:]) for key in ours}
    module.load_state_dict(fitting, strict=False)


def _fit(key: str, theirs: Tensor, ours: Tensor, head: list[str]) -> Tensor:
    if theirs.shape == ours.shape:
        return theirs
    if key in head:
        return ours
    if ours.ndim == 4 and ours.shape[1] == 1 and theirs.shape[0] == ours.shape[0]:
        return theirs.sum(1, keepdim=True)
    raise NoWeights(f"{key} has the shape {tuple(theirs.shape)}, not {tuple(ours.shape)}")


def _read(start: Start, places: Places) -> dict[str, Tensor]:
    if isinstance(start, Model):
        return trained_torch(start.model, places)[1].state_dict()
    if isinstance(start, Package):
        return _state(_in_package(start))
    return _state(start_weights(start, places))


def _in_package(start: Package) -> Path:
    try:
        return checked(Path(str(files(start.package) / str(start.file))), start.sha256)
    except (ModuleNotFoundError, OSError) as error:
        raise NoWeights(f"install the package {start.package}: {error}") from error


def _state(path: Path) -> dict[str, Tensor]:
    """Arrays of a safetensors file, or of a `state_dict` that needs no code to be read."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError) as error:
        raise NoWeights(
            f"{path} is no safetensors file and no plain state_dict: {error}"
        ) from error
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise NoWeights(f"{path} has more than arrays by name: keep its state_dict alone")
    return state


def build_torch(card: Card) -> nn.Module:
    """The card's network, untrained."""
    assert card.architecture is not None  # the recipe has checked it
    module: Any = build(card.architecture)
    if not isinstance(module, nn.Module):
        raise ValueError(f"{card.name} is no torch network")
    return module


def trained_torch(model: str, places: Places) -> tuple[Card, nn.Module]:
    """Card and network of a finished model, in evaluation mode and without gradients."""
    card, weights = trained(model, places)
    module = build_torch(card)
    load_torch(module, weights)
    return card, module.eval().requires_grad_(False)


def channels_last(module: nn.Module) -> nn.Module:
    """Lay out the weights as CPUs and GPUs convolve fastest; inputs have to be laid out alike."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
