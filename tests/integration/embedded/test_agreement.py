"""The shipped models: framework, ONNX Runtime and Triton give the same answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
import json, sys
from pathlib import Path
import numpy as np
from pellucid.architectures import build
from pellucid.architectures.weights import load_keras, load_torch
from pellucid.cards import Card
folder, inputs = Path(sys.argv[1]), np.load(sys.argv[2])
network = build(Card.read(folder / "card.yaml").architecture)
weights = folder / "1" / "weights.safetensors"
if sys.argv[3] == "torch":
    import torch
    load_torch(network, weights)
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(inputs)).numpy()
else:
    load_keras(network, weights)
    logits = network(inputs, training=False).numpy()
print(json.dumps(logits.tolist()))
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


def framework_logits(name: str, inputs: Floats, folder: Path) -> Floats:
    """Logits of the network itself, in a process of its own: the frameworks share no process."""
    np.save(folder / "inputs.npy", inputs)
    architecture = card_of(name).architecture
    assert architecture is not None
    arguments = (str(REPOSITORY / name), str(folder / "inputs.npy"), architecture.framework)
    done = subprocess.run(
        [sys.executable, "-c", FRAMEWORK, *arguments],
        check=True,
        capture_output=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return np.array(json.loads(done.stdout.splitlines()[-1]), np.float32)


@pytest.mark.parametrize("name", SHIPPED)
def test_framework_onnx_and_triton_agree(
    shipped: EmbeddedSystem, name: str, tmp_path: Path
) -> None:
    card = card_of(name)
    inputs = probes(card)
    session = onnxruntime.InferenceSession(str(REPOSITORY / name / "1" / "model.onnx"))

    in_onnx = session.run(["logits"], {"input": inputs})[0]
    in_triton = infer(shipped.triton_url, name, input=inputs)

    in_framework = framework_logits(name, inputs, tmp_path)
    np.testing.assert_allclose(in_onnx, in_framework, atol=1e-3, rtol=1e-4)
    assert card.architecture is not None
    np.testing.assert_allclose(
        probabilities(card, in_triton),
        probabilities(card, in_framework),
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
