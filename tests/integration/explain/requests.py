"""Requests to an explain service for the models that a real Triton serves."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid import tensors
from pellucid.api.explain.v1 import explain_pb2 as pb
from pellucid.api.explain.v1.methods_pb2 import (
    ExplainOptions,
    GradCam,
    Grid,
    IntegratedGradients,
    KernelShap,
    Lime,
    Method,
    Occlusion,
    PartitionShap,
    Segmentation,
)
from tests.integration.explain.networks import Network
from tests.support.known_models import Ensemble, LinearModel

GRID = Segmentation(grid=Grid(rows=4, columns=4))
METHODS = (
    Method(lime=Lime(samples=200, ridge=0)),
    Method(kernel_shap=KernelShap(samples=200)),
    Method(partition_shap=PartitionShap(evaluations=300)),
    Method(occlusion=Occlusion()),
)
GRADIENTS = (
    Method(grad_cam=GradCam()),
    Method(integrated_gradients=IntegratedGradients(steps=20)),
)
Floats = np.typing.NDArray[np.float32]


def request(
    model: LinearModel | Network | Ensemble,
    image: Floats,
    methods: Sequence[Method] = METHODS,
    **options: Any,
) -> pb.ExplainRequest:
    options.setdefault("segmentation", GRID)
    return pb.ExplainRequest(
        model=model.card.name,
        input=tensors.encode(image),
        methods=methods,
        options=ExplainOptions(**options),
    )


def picture(model: LinearModel | Network | Ensemble, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random(model.card.preprocess.shape, np.float32)
