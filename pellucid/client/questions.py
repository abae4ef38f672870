"""What is asked for: methods, targets, segmentations, and the scales they are answered on.

Each class mirrors one message of `pellucid.api.explain.v1`; a parameter that is None takes the
server's default, which `Client.capabilities()` tells.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final


@dataclass(frozen=True, kw_only=True)
class Lime:
    """Weighted linear regression on segments kept or hidden at random (arXiv:1602.04938)."""

    name: ClassVar[str] = "lime"
    samples: int | None = None
    """Perturbed inputs, 10 to 10,000; by default 500."""
    kernel_width: float | None = None
    """Width of the exponential kernel over the cosine distance, 0.01 to 10; by default 0.25."""
    ridge: float | None = None
    """Strength of the ridge regression, 0 to 1,000; by default 1."""


@dataclass(frozen=True, kw_only=True)
class KernelShap:
    """Shapley values by weighted regression over coalitions of segments (arXiv:1705.07874)."""

    name: ClassVar[str] = "kernel_shap"
    samples: int | None = None
    """Coalitions evaluated, 10 to 20,000; by default 500."""


@dataclass(frozen=True, kw_only=True)
class PartitionShap:
    """Owen values over a hierarchy of segments: halves, quarters, and so on."""

    name: ClassVar[str] = "partition_shap"
    evaluations: int | None = None
    """Model evaluations, 10 to 20,000; by default 300."""


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """Drop of the score while a window hides part of the input (arXiv:1311.2901)."""

    name: ClassVar[str] = "occlusion"
    window_height: float | None = None
    """Share of the input's height, 0.02 to 0.5; by default 0.125."""
    window_width: float | None = None
    """Share of the input's width, 0.02 to 0.5; by default 0.125."""
    stride: float | None = None
    """Step as a share of the window, 0.1 to 1; by default 0.5."""


@dataclass(frozen=True, kw_only=True)
class GradCam:
    """Gradient-weighted activations of one layer (arXiv:1610.02391)."""

    name: ClassVar[str] = "grad_cam"
    layer: str | None = None
    """One of the model's `grad_cam_layers`; by default the first."""
    positive_only: bool | None = None
    """Keep only what speaks for the target, as the paper does; by default true."""


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients:
    """Gradients averaged on the path from the baseline to the input (arXiv:1703.01365)."""

    name: ClassVar[str] = "integrated_gradients"
    steps: int | None = None
    """Points of the quadrature, 2 to 1,000; by default 50."""


Method = Lime | KernelShap | PartitionShap | Occlusion | GradCam | IntegratedGradients

METHODS: Final[dict[str, type[Method]]] = {
    kind.name: kind
    for kind in (Lime, KernelShap, PartitionShap, Occlusion, GradCam, IntegratedGradients)
}
"""Every method by name."""


@dataclass(frozen=True, kw_only=True)
class Slic:
    """Superpixels by k-means in place and colour (doi:10.1109/TPAMI.2012.120)."""

    name: ClassVar[str] = "slic"
    segments: int | None = None
    """Number aimed at, 2 to 400; by default 50."""
    compactness: float | None = None
    """Weight of place against colour, 0.001 to 100; by default 0.1 for grey, 10 for RGB."""


@dataclass(frozen=True, kw_only=True)
class Quickshift:
    """Superpixels by mode seeking (doi:10.1007/978-3-540-88693-8_52)."""

    name: ClassVar[str] = "quickshift"
    kernel_size: float | None = None
    """Width of the density estimate in pixels, 1 to 20; by default 4."""
    max_distance: float | None = None
    """Longest link in pixels, 1 to 200; by default 20."""
    ratio: float | None = None
    """Weight of colour against place, 0 to 1; by default 0.5."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Rectangles of equal size: for sound, mel bands by time."""

    name: ClassVar[str] = "grid"
    rows: int | None = None
    """1 to 64; by default 8."""
    columns: int | None = None
    """1 to 64; by default 8."""


Segmentation = Slic | Quickshift | Grid

SEGMENTATIONS: Final[dict[str, type[Segmentation]]] = {
    kind.name: kind for kind in (Slic, Quickshift, Grid)
}
"""Every segmentation by name."""


class Baseline(StrEnum):
    """What stands where a segment is hidden, and where the path of gradients begins."""

    BLACK = "black"
    """Black, in pixels."""
    MEAN = "mean"
    """Mean of the input, for each channel; the default for pictures."""
    BLUR = "blur"
    """The input, blurred."""
    SILENCE = "silence"
    """The lowest power of the model's contract; for sound only, and its default."""


class ScoreSpace(StrEnum):
    """Scale on which a score is explained."""

    LOGIT = "logit"
    """Before the activation; the default."""
    PROBABILITY = "probability"
    """After the activation, 0 to 1."""


@dataclass(frozen=True)
class Label:
    """A target: one label by name."""

    name: str


@dataclass(frozen=True)
class Index:
    """A target: one label by its place in the model's card."""

    place: int
    """From 0."""


@dataclass(frozen=True)
class TopK:
    """Targets: the labels with the highest scores."""

    k: int = 1
    """1 to the number of labels."""


@dataclass(frozen=True)
class AboveThreshold:
    """Targets: every label that reaches its threshold; the highest one if none does."""


Target = Label | Index | TopK | AboveThreshold
