"""The shipped models: framework, ONNX Runtime and Triton give the same answers."""

import os
import subprocess
import sys
from collections import defaultdict

import numpy as np
import onnxruntime
import pytest
from tritonclient.grpc import InferenceServerClient

from pellucid.cards import PRECISION_PARAMETER, Card
from pellucid.embedded.system import EmbeddedSystem
from pellucid.repository.folder import model_folders
from pellucid.scores import probabilities
from tests.integration.conftest import REPOSITORY
from tests.support.known_models import Floats
from tests.support.triton_client import infer, masked_inputs

SHIPPED = [
    folder.name
    for folder in model_folders(REPOSITORY)
    if (folder / "1" / "weights.safetensors").is_file()
]

FRAMEWORK = """
import sys
from pathlib import Path
import numpy as np
from pellucid.architectures import build
from pellucid.architectures.weights import load_keras, load_torch
from pellucid.cards import Card
repository, exchange, framework, names = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
for name in names.split(","):
    network = build(Card.read(repository / name / "card.yaml").architecture)
    weights = repository / name / "1" / "weights.safetensors"
    inputs = np.load(exchange / f"{name}.npy")
    if framework == "torch":
        import torch
        load_torch(network, weights)
        with torch.no_grad():
            logits = network.eval()(torch.from_numpy(inputs)).numpy()
    else:
        load_keras(network, weights)
        logits = network(inputs, training=False).numpy()
    np.save(exchange / f"{name}.logits.npy", logits)
"""


def card_of(name: str) -> Card:
    return Card.read(REPOSITORY / name / "card.yaml")


def probes(card: Card) -> Floats:
    """Noise, a ramp, and the extremes."""
    shape = card.preprocess.shape
    rng = np.random.default_rng(7)
    ramp = np.linspace(-2, 2, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    noise = rng.normal(size=shape).astype(np.float32)
    return np.stack([noise, ramp, np.full(shape, -2, np.float32), np.full(shape, 2, np.float32)])


@pytest.fixture(scope="session")
def in_frameworks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Floats]:
    """Logits of the networks themselves for `probes`, by model.

    Each framework has a process of its own: they share none, and take seconds to be imported.
    """
    exchange, names = tmp_path_factory.mktemp("frameworks"), defaultdict(list)
    for name in SHIPPED:
        architecture = card_of(name).architecture
        assert architecture is not None
        names[architecture.framework].append(name)
        np.save(exchange / f"{name}.npy", probes(card_of(name)))
    for framework, own in names.items():
        arguments = (str(REPOSITORY), str(exchange), framework, ",".join(own))
        subprocess.run(
            [sys.executable, "-c", FRAMEWORK, *arguments],
            check=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
    return {name: np.load(exchange / f"{name}.logits.npy") for name in SHIPPED}


@pytest.mark.parametrize("name", SHIPPED)
def test_framework_onnx_and_triton_agree(
    shipped: EmbeddedSystem, in_frameworks: dict[str, Floats], name: str
) -> None:
    card = card_of(name)
    inputs = probes(card)
    session = onnxruntime.InferenceSession(str(REPOSITORY / name / "1" / "model.onnx"))

    in_onnx = session.run(["logits"], {"input": inputs})[0]
    in_triton = infer(shipped.triton_url, name, input=inputs)

    np.testing.assert_allclose(in_onnx, in_frameworks[name], atol=1e-3, rtol=1e-4)
    assert card.architecture is not None
    np.testing.assert_allclose(
        probabilities(card, in_triton),
        probabilities(card, in_frameworks[name]),
        atol=1e-4 if precision(shipped, name) == "float32" else card.architecture.parity_tolerance,
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_the_masked_graph_of_a_shipped_model_equals_masking_on_the_client(
    shipped: EmbeddedSystem, name: str
) -> None:
    card = card_of(name)
    inputs, expanded = masked_inputs(
        probes(card)[0], card.preprocess.layout, masks=8, segments=40, seed=2
    )
    masked = infer(shipped.triton_url, f"{name}_masked", **inputs)
    assert np.array_equal(masked, infer(shipped.triton_url, name, input=expanded))


@pytest.mark.parametrize("name", SHIPPED)
def test_no_answer_depends_on_its_neighbours_in_the_batch(
    shipped: EmbeddedSystem, name: str
) -> None:
    inputs = probes(card_of(name))
    together = infer(shipped.triton_url, name, input=inputs)
    alone = [infer(shipped.triton_url, name, input=one[None])[0] for one in inputs]
    np.testing.assert_allclose(together, alone, atol=1e-4, rtol=1e-4)


def precision(system: EmbeddedSystem, name: str) -> str:
    with InferenceServerClient(system.triton_url) as client:
        parameters = client.get_model_config(name).config.parameters
    return str(parameters[PRECISION_PARAMETER].string_value)
