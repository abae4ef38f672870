"""Images a second of a LIME through the gateway, against OpenVINO and the lime library alone."""

from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import openvino as ov
import torch
from lime.lime_image import LimeImageExplainer
from skimage.segmentation import slic

from benchmarks import metrics
from benchmarks.report import Figure
from pellucid.architectures import build
from pellucid.architectures.weights import load_torch
from pellucid.cards import Card
from pellucid.client import Client, Lime
from pellucid.embedded.system import EmbeddedSystem
from pellucid.repository.folder import WEIGHTS

MODEL = "pneumonia_densenet121"
BATCHES = (16, 8)
"""Images in one call of OpenVINO alone: as Triton's classifier takes them at most, and its best."""
MEGABYTE = 1e6


def measure(
    system: EmbeddedSystem, repository: Path, sample: Path, samples: int, library_samples: int
) -> list[Figure]:
    """Explain one picture with LIME in three ways.

    Args:
        system: it runs, and serves `MODEL`.
        repository: the folder that it serves.
        sample: a picture.
        samples: perturbed images of a LIME through the gateway.
        library_samples: perturbed images of the lime library, which is slower.
    """
    alone = OpenVino(repository, MODEL)
    images = max(samples // 2, 64)
    # Before and after, so that a machine that others slow down does so for both.
    before = [alone.images_per_second(batch, images) for batch in BATCHES]
    sent_before = _sent_bytes(system)
    through, calls = _through_gateway(system, sample, samples)
    sent = _sent_bytes(system) - sent_before
    after = [alone.images_per_second(batch, images) for batch in BATCHES]
    speeds = [sum(pair) / 2 for pair in zip(before, after, strict=True)]
    library = _lime_library(repository, library_samples)
    compared = []
    for batch, speed, aim in zip(BATCHES, speeds, ("0.9 or more", ""), strict=True):
        name = f"OpenVINO alone, two calls of {batch} in flight"
        compared += [
            Figure(name, speed, "images/s"),
            Figure(f"gateway / {name}", through / speed, "ratio", aim),
        ]
    return [
        Figure(f"LIME of {samples} samples through the gateway", through, "images/s"),
        *compared,
        Figure("lime library on torch, in process", library, "images/s"),
        Figure("gateway / lime library", through / library, "ratio"),
        Figure("sent to Triton", sent / MEGABYTE, "MB", "under 20"),
        Figure("the same as images", calls * 224 * 224 * 4 / MEGABYTE, "MB"),
    ]


def _sent_bytes(system: EmbeddedSystem) -> float:
    url = system.service("explain").metrics_url
    return metrics.total(url, "pellucid_triton_sent_bytes_total", model=MODEL)


def _through_gateway(system: EmbeddedSystem, sample: Path, samples: int) -> tuple[float, int]:
    """Images a second of one LIME, and how many images that were."""
    with Client(system.gateway_url) as client:
        client.classify(sample, MODEL)
        start = perf_counter()
        result = client.explain_all(sample, MODEL, methods=[Lime(samples=samples)])
        seconds = perf_counter() - start
    calls = result.explanations[0].receipt.model_calls
    return calls / seconds, calls


class OpenVino:
    """The classifier's own graph in process, as the design's table measures it."""

    def __init__(self, repository: Path, model: str) -> None:
        """Compile it, for the CPUs that this process may use."""
        card = Card.read(repository / model / "card.yaml")
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": "2"}
        if card.precision == "float32":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        graph = repository / model / card.version / "model.onnx"
        self._shape = card.preprocess.shape
        self._queue = ov.AsyncInferQueue(ov.Core().compile_model(str(graph), "CPU", options), 2)

    def images_per_second(self, batch: int, images: int) -> float:
        """Infer about so many images, in calls of `batch`."""
        data = np.random.default_rng(0).standard_normal((batch, *self._shape), np.float32)
        calls = max(images // batch, 4)
        self._run(data, 2)
        start = perf_counter()
        self._run(data, calls)
        return calls * batch / (perf_counter() - start)

    def _run(self, data: np.ndarray, calls: int) -> None:
        for _ in range(calls):
            self._queue.start_async({0: data})
        self._queue.wait_all()


def _lime_library(repository: Path, samples: int) -> float:
    """Images a second of what a notebook does: the lime library around the torch model."""
    card = Card.read(repository / MODEL / "card.yaml")
    assert card.architecture is not None
    network = build(card.architecture).eval()
    load_torch(network, repository / MODEL / card.version / WEIGHTS)
    picture = np.random.default_rng(0).random((224, 224, 3))

    def classify(images: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(images[..., :1].transpose(0, 3, 1, 2).astype(np.float32))
        with torch.inference_mode():
            p = torch.sigmoid(network((x - 0.5) / 0.25))
        return torch.cat([1 - p, p], dim=1).numpy()

    start = perf_counter()
    LimeImageExplainer(random_state=0).explain_instance(
        picture,
        classify,
        hide_color=0.5,
        num_samples=samples,
        segmentation_fn=partial(slic, n_segments=50),
    )
    return samples / (perf_counter() - start)
