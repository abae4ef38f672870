"""What `Classify` through the gateway adds to Triton's own time, at the median."""

from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput

from benchmarks.report import Figure, median_seconds
from pellucid.cards import Card
from pellucid.client import Client
from pellucid.embedded.system import EmbeddedSystem

MILLISECONDS = 1e3


def measure(
    system: EmbeddedSystem, repository: Path, model: str, sample: Path, repeats: int
) -> list[Figure]:
    """Time two files through the gateway, and one ready tensor straight to Triton.

    The files are the sample as it is, and the same as a JPEG of the size that the model wants.
    """
    card = Card.read(repository / model / "card.yaml")
    tensor = InferInput("input", [1, *card.preprocess.shape], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, *card.preprocess.shape), np.float32))
    triton = InferenceServerClient(system.triton_url)
    files = _files(sample, card.preprocess.shape[-2:])
    with Client(system.gateway_url) as client:
        calls = [partial(client.classify, content, model) for content in files.values()]
        direct, *through = median_seconds([partial(triton.infer, model, [tensor]), *calls], repeats)
    triton.close()
    figures = [Figure(f"{model}: Triton alone, a ready tensor", direct * MILLISECONDS, "ms")]
    for name, seconds in zip(files, through, strict=True):
        added = (seconds - direct) * MILLISECONDS
        figures += [
            Figure(f"{name}: Classify through the gateway", seconds * MILLISECONDS, "ms"),
            Figure(f"{name}: added by the gateway and preprocessing", added, "ms", "under 10"),
            Figure(f"{name}: gateway / Triton", seconds / direct, "ratio"),
        ]
    return figures


def _files(sample: Path, size: tuple[int, ...]) -> dict[str, bytes]:
    height, width = size
    picture, jpeg = Image.open(sample), BytesIO()
    picture.resize((width, height)).save(jpeg, "JPEG", quality=95)
    return {
        f"{picture.width} x {picture.height} {picture.format}": sample.read_bytes(),
        f"{width} x {height} JPEG": jpeg.getvalue(),
    }
