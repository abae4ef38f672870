"""What `Classify` through the gateway adds to Triton's own time, at the median."""

from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

from benchmarks.report import Figure, median_seconds
from pellucid.cards import Card
from pellucid.client import Client
from pellucid.embedded.system import EmbeddedSystem

MILLISECONDS = 1e3


def measure(
    system: EmbeddedSystem, repository: Path, model: str, sample: Path, repeats: int
) -> list[Figure]:
    """Time one file through the gateway, and one ready tensor straight to Triton."""
    card = Card.read(repository / model / "card.yaml")
    tensor = InferInput("input", [1, *card.preprocess.shape], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, *card.preprocess.shape), np.float32))
    triton = InferenceServerClient(system.triton_url)
    content = sample.read_bytes()
    with Client(system.gateway_url) as client:
        direct, through = median_seconds(
            [lambda: triton.infer(model, [tensor]), lambda: client.classify(content, model)],
            repeats,
        )
    triton.close()
    return [
        Figure(f"{model}: Triton alone, a ready tensor", direct * MILLISECONDS, "ms"),
        Figure(f"{model}: Classify through the gateway", through * MILLISECONDS, "ms"),
        Figure(
            f"{model}: added by the gateway and preprocessing",
            (through - direct) * MILLISECONDS,
            "ms",
            "under 10",
        ),
        Figure(f"{model}: gateway / Triton", through / direct, "ratio"),
    ]
