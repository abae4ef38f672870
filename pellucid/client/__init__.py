"""The client of a Pellucid server.

>>> from pellucid.client import Client, Lime
>>> with Client("localhost:50050") as client:
...     result = client.explain_all("film.png", methods=[Lime(samples=200)])
>>> result.prediction.top_label, result.get("lime").map.shape, result.get("lime").trust
"""

from pellucid.client.aio import AsyncClient
from pellucid.client.connection import Tls
from pellucid.client.encoding import ExplainOptions, PlanOptions
from pellucid.client.failures import ServerError
from pellucid.client.flow import Source
from pellucid.client.offers import (
    Capabilities,
    Limits,
    MethodOffer,
    MethodPlan,
    ModelOffer,
    Parameter,
    Parity,
    Plan,
)
from pellucid.client.predictions import AudioFacts, ImageFacts, LabelScore, Prediction, WindowScore
from pellucid.client.questions import (
    AboveThreshold,
    Baseline,
    GradCam,
    Grid,
    Index,
    IntegratedGradients,
    KernelShap,
    Label,
    Lime,
    Method,
    Occlusion,
    PartitionShap,
    Quickshift,
    ScoreSpace,
    Segmentation,
    Slic,
    Target,
    TopK,
)
from pellucid.client.results import (
    Affine,
    Agreement,
    Comparison,
    Event,
    Explained,
    Explanation,
    ModelInput,
    Partial,
    Progress,
    Receipt,
    ResolvedTarget,
    Result,
    SegmentScores,
    SpectrogramAxes,
    Trust,
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
    "Event",
    "ExplainOptions",
    "Explained",
    "Explanation",
    "GradCam",
    "Grid",
    "ImageFacts",
    "Index",
    "IntegratedGradients",
    "KernelShap",
    "Label",
    "LabelScore",
    "Lime",
    "Limits",
    "Method",
    "MethodOffer",
    "MethodPlan",
    "ModelInput",
    "ModelOffer",
    "Occlusion",
    "Parameter",
    "Parity",
    "Partial",
    "PartitionShap",
    "Plan",
    "PlanOptions",
    "Prediction",
    "Progress",
    "Quickshift",
    "Receipt",
    "ResolvedTarget",
    "Result",
    "ScoreSpace",
    "SegmentScores",
    "Segmentation",
    "ServerError",
    "Slic",
    "Source",
    "SpectrogramAxes",
    "Target",
    "Tls",
    "TopK",
    "Trust",
    "WindowScore",
]
