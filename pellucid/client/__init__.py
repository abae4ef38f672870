"""The client of a Pellucid server.

>>> from pellucid.client import Client, Lime
>>> with Client("localhost:50050") as client:
...     result = client.explain_all("film.png", methods=[Lime(samples=200)])
>>> lime = result.get("lime")
>>> result.prediction.top_label, lime.map.shape, lime.trust["r_squared"].value
"""

from pellucid.client._exceptions import IncompleteExplanation, ServerError
from pellucid.client._operations import Metadata, Source
from pellucid.client.aio import AsyncClient
from pellucid.client.capabilities import (
    Capabilities,
    Limits,
    MeasureCapability,
    MethodCapability,
    MethodPlan,
    ModelCapability,
    Parameter,
    Parity,
    Plan,
    SegmentationCapability,
)
from pellucid.client.choices import Baseline, Grade, ModelState, Runtime, ScoreSpace
from pellucid.client.connection import Tls
from pellucid.client.explanations import (
    Explanation,
    Measure,
    Receipt,
    ResolvedTarget,
    SegmentScores,
    Trust,
)
from pellucid.client.inputs import Affine, ExplainedInput, ModelInput, SpectrogramAxes
from pellucid.client.methods import (
    GradCam,
    Grid,
    IntegratedGradients,
    KernelShap,
    Lime,
    Method,
    Occlusion,
    PartitionShap,
    Quickshift,
    Segmentation,
    Slic,
)
from pellucid.client.options import (
    AboveThreshold,
    ExplainOptions,
    Index,
    Label,
    PlanOptions,
    Target,
    TopK,
)
from pellucid.client.predictions import (
    AudioFacts,
    ImageFacts,
    LabelScore,
    OutOfDistribution,
    Prediction,
    SimilarCase,
    SimilarCases,
    WindowScore,
)
from pellucid.client.results import (
    Agreement,
    Comparison,
    ExplainEvent,
    MethodFailure,
    MethodProgress,
    Partial,
    ResolvedTargets,
    Result,
    ResultBuilder,
)
from pellucid.client.sync import Client

__all__ = [
    "AboveThreshold",
    "Affine",
    "Agreement",
    "AsyncClient",
    "AudioFacts",
    "Baseline",
    "Capabilities",
    "Client",
    "Comparison",
    "ExplainEvent",
    "ExplainOptions",
    "ExplainedInput",
    "Explanation",
    "GradCam",
    "Grade",
    "Grid",
    "ImageFacts",
    "IncompleteExplanation",
    "Index",
    "IntegratedGradients",
    "KernelShap",
    "Label",
    "LabelScore",
    "Lime",
    "Limits",
    "Measure",
    "MeasureCapability",
    "Metadata",
    "Method",
    "MethodCapability",
    "MethodFailure",
    "MethodPlan",
    "MethodProgress",
    "ModelCapability",
    "ModelInput",
    "ModelState",
    "Occlusion",
    "OutOfDistribution",
    "Parameter",
    "Parity",
    "Partial",
    "PartitionShap",
    "Plan",
    "PlanOptions",
    "Prediction",
    "Quickshift",
    "Receipt",
    "ResolvedTarget",
    "ResolvedTargets",
    "Result",
    "ResultBuilder",
    "Runtime",
    "ScoreSpace",
    "SegmentScores",
    "Segmentation",
    "SegmentationCapability",
    "ServerError",
    "SimilarCase",
    "SimilarCases",
    "Slic",
    "Source",
    "SpectrogramAxes",
    "Target",
    "Tls",
    "TopK",
    "Trust",
    "WindowScore",
]
