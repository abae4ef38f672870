"""Methods and segmentations with their parameters; one that is None takes the server's default.

Written by protos/generate.py from methods.proto; change it there.
"""

from dataclasses import dataclass
from typing import ClassVar, Final


@dataclass(frozen=True, kw_only=True)
class Lime:
    """Locally weighted linear regression on segments kept or hidden at random
    (arXiv:1602.04938)."""

    name: ClassVar[str] = "lime"
    samples: int | None = None
    """Perturbed inputs. 10 to 10,000 samples; by default 500."""
    kernel_width: float | None = None
    """Width of the exponential kernel over the cosine distance. 0.01 to 10; by default 0.25."""
    ridge: float | None = None
    """Strength of the ridge regression. 0 to 1,000; by default 1."""


@dataclass(frozen=True, kw_only=True)
class KernelShap:
    """Shapley values by weighted regression over coalitions of segments (arXiv:1705.07874)."""

    name: ClassVar[str] = "kernel_shap"
    samples: int | None = None
    """Coalitions evaluated; all of them where 2^segments is smaller. 10 to 20,000 samples; by
    default 500."""


@dataclass(frozen=True, kw_only=True)
class PartitionShap:
    """Owen values over a hierarchy of segments: halves, quarters, ... (shap's partition
    explainer)."""

    name: ClassVar[str] = "partition_shap"
    evaluations: int | None = None
    """Model evaluations. 10 to 20,000 evaluations; by default 300."""


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """Drop of the score while a window hides part of the input; overlaps are averaged and every
    position is covered (arXiv:1311.2901)."""

    name: ClassVar[str] = "occlusion"
    window_height: float | None = None
    """Height of the window. 0.02 to 0.5 of the input's height; by default 0.125."""
    window_width: float | None = None
    """Width of the window. 0.02 to 0.5 of the input's width; by default 0.125."""
    stride: float | None = None
    """Step between windows. 0.1 to 1 of the window; by default 0.5."""


@dataclass(frozen=True, kw_only=True)
class GradCam:
    """Gradient-weighted activations of one layer, upsampled to the input (arXiv:1610.02391)."""

    name: ClassVar[str] = "grad_cam"
    layer: str | None = None
    """A layer of the model's card; by default its first."""
    positive_only: bool | None = None
    """Keep only what speaks for the target, as the paper does. By default true."""


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients:
    """Gradients averaged on the straight path from the baseline to the input (arXiv:1703.01365)."""

    name: ClassVar[str] = "integrated_gradients"
    steps: int | None = None
    """Points of the Gauss-Legendre quadrature. 2 to 1,000 steps; by default 50."""


Method = (
    Lime
    | KernelShap
    | PartitionShap
    | Occlusion
    | GradCam
    | IntegratedGradients
)

METHODS: Final[dict[str, type[Method]]] = {
    "lime": Lime,
    "kernel_shap": KernelShap,
    "partition_shap": PartitionShap,
    "occlusion": Occlusion,
    "grad_cam": GradCam,
    "integrated_gradients": IntegratedGradients,
}
"""Every method by name."""


@dataclass(frozen=True, kw_only=True)
class Slic:
    """Superpixels by k-means in place and colour (doi:10.1109/TPAMI.2012.120)."""

    name: ClassVar[str] = "slic"
    segments: int | None = None
    """Aimed at; what comes out may differ a little. 2 to 400 segments; by default 50."""
    compactness: float | None = None
    """Weight of place against colour; by default 0.1 for one channel, 10 for three. 0.001 to
    100."""


@dataclass(frozen=True, kw_only=True)
class Quickshift:
    """Superpixels by mode seeking (doi:10.1007/978-3-540-88693-8_52)."""

    name: ClassVar[str] = "quickshift"
    kernel_size: float | None = None
    """Width of the density estimate. 1 to 20 pixels; by default 4."""
    max_distance: float | None = None
    """Longest link. 1 to 200 pixels; by default 20."""
    ratio: float | None = None
    """Weight of colour against place. 0 to 1; by default 0.5."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Rectangles of equal size: for sound, mel bands by time."""

    name: ClassVar[str] = "grid"
    rows: int | None = None
    """Rectangles from top to bottom. 1 to 64 rows; by default 8."""
    columns: int | None = None
    """Rectangles from left to right. 1 to 64 columns; by default 8."""


Segmentation = (
    Slic
    | Quickshift
    | Grid
)

SEGMENTATIONS: Final[dict[str, type[Segmentation]]] = {
    "slic": Slic,
    "quickshift": Quickshift,
    "grid": Grid,
}
"""Every segmentation by name."""
