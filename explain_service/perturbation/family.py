"""The perturbation methods behind one call: which one, over which segments."""

from collections.abc import Callable, Sequence

from explain_service.attribution import Attribution
from explain_service.methods import KernelShap, Lime, Occlusion, PartitionShap
from explain_service.parameters import Parameters
from explain_service.perturbation.kernel_shap import explain_kernel_shap
from explain_service.perturbation.lime import explain_lime
from explain_service.perturbation.masks import MaskedModel
from explain_service.perturbation.occlusion import Windows, explain_occlusion
from explain_service.perturbation.partition_shap import explain_partition_shap
from explain_service.segmentation import SegmentMap
from explain_service.tick import Tick


def explain_by_masks(
    parameters: Parameters,
    masked: Callable[[SegmentMap], MaskedModel],
    segments: SegmentMap,
    targets: Sequence[int],
    seed: int,
    tick: Tick,
) -> list[Attribution]:
    """One attribution for each target.

    Args:
        parameters: of a perturbation method.
        masked: the model under masks over a segment map.
        segments: `(H, W)`, of the methods that work on segments.
        targets: labels, by their place in the card.
        seed: start of every random draw.
        tick: told of the progress.

    Raises:
        DeadlineTooShort: the time was up before there was anything to show.
        Cancelled: nobody waits any more.
    """
    match parameters:
        case Lime():
            return explain_lime(parameters, masked(segments), segments, targets, seed, tick)
        case KernelShap():
            return explain_kernel_shap(parameters, masked(segments), segments, targets, seed, tick)
        case PartitionShap():
            model = masked(segments)
            return explain_partition_shap(parameters, model, segments, targets, seed, tick)
        case Occlusion():
            windows = Windows.over((segments.shape[0], segments.shape[1]), parameters, seed)
            return explain_occlusion(masked(windows.cells), windows, targets, tick)
        case _:
            raise NotImplementedError(parameters.name)
