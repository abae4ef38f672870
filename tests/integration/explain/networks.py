"""Networks that are served and copied: their cards, where they are built, their weights."""

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from tritonclient.grpc import InferenceServerClient

from pellucid.architectures import BUILDERS
from pellucid.architectures.weights import save_keras, save_torch
from pellucid.cards import Card
from pellucid.repository.build import build_model
from tests.support import framework_pairs

_SAVE = {"torch": save_torch, "keras": save_keras}


@dataclass(frozen=True)
class Network:
    """One network, named as its card says."""

    card: Card
    module: str
    """Where the function is that builds it."""
    make: Callable[[], Any]
    """Gives the network with its weights."""


TORCH_NETWORK = Network(
    framework_pairs.pair_card("torch"),
    "tests.support.framework_pairs",
    framework_pairs.torch_network,
)
KERAS_NETWORK = Network(
    framework_pairs.pair_card("keras"),
    "tests.support.framework_pairs",
    framework_pairs.keras_network,
)

WEIGHTS = np.random.default_rng(6).normal(0, 0.1, (3, 3, *framework_pairs.SIZE)).astype(np.float16)
"""Of the linear network, `(K, *shape)`; its biases are 0."""


def torch_linear_network() -> nn.Module:
    """A layer whose attributions have a closed form."""
    return framework_pairs.torch_linear(WEIGHTS.astype(np.float32), np.zeros(3, np.float32))


LINEAR = Network(
    framework_pairs.pair_card(
        "torch",
        name="torch_linear_network",
        architecture={
            "framework": "torch",
            "builder": "torch_linear_network",
            "grad_cam_layers": [],
        },
    ),
    __name__,
    torch_linear_network,
)


@contextmanager
def serving(
    repository: Path, client: InferenceServerClient, networks: Sequence[Network]
) -> Iterator[None]:
    """Load networks into the running Triton, and take them away afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for network in networks:
            architecture = network.card.architecture
            assert architecture is not None
            place = (architecture.framework, network.module)
            patch.setitem(BUILDERS, architecture.builder, place)  # type: ignore[arg-type]
            file = framework_pairs.write_folder(repository, network.card) / "weights.safetensors"
            _SAVE[architecture.framework](network.make(), file)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # exporters use what their frameworks deprecate
                build_model(repository / network.card.name)
            for folder in _folders(network):
                client.load_model(folder)
        yield
    for folder in [folder for network in networks for folder in _folders(network)]:
        client.unload_model(folder)
        shutil.rmtree(repository / folder)


def _folders(network: Network) -> tuple[str, str]:
    return network.card.name, f"{network.card.name}_masked"
