"""Occlusion on masks: what the score loses while a window hides part of the input.

Zeiler and Fergus, arXiv:1311.2901; but with full coverage and overlaps averaged.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from explain_service.attribution import Attribution
from explain_service.measures import Grade, Measure, MeasureKind
from explain_service.methods.base import Workload
from explain_service.methods.limits import MOST_CALLS
from explain_service.methods.mask_method import MaskMethod
from explain_service.perturbation.masks import MaskedModel, Masks
from explain_service.randomness import random_state
from explain_service.run_control import RunControl, out_of_time
from explain_service.segmentation import SegmentMap
from pellucid.api.explain.v1 import methods_pb2
from pellucid.cards import Card
from pellucid.errors import InvalidArgument
from pellucid.tensors import FloatArray

COVERAGE: Final = MeasureKind(
    "coverage", "coverage", "Share of the input that was hidden at least once, 0 to 1."
)
_MOST_CELLS: Final = 65_535
"""The segment map numbers them in 16 bits."""


class Occlusion(MaskMethod[methods_pb2.Occlusion]):
    """Drop of the score while a window hides part of the input."""

    name = "occlusion"
    title = "Occlusion"
    description = "How far the score drops while a window hides each place."
    paper = "arXiv:1311.2901"
    message = methods_pb2.Occlusion
    measures = (COVERAGE,)
    on_segments = False

    def resolve(
        self, parameters: methods_pb2.Occlusion, card: Card, field: str
    ) -> methods_pb2.Occlusion:
        """Refuse windows that are too many, or whose edges cut the input into too many cells."""
        windows = Windows.over(card.preprocess.plane, parameters)
        if len(windows) > MOST_CALLS or windows.cell_count > _MOST_CELLS:
            raise InvalidArgument(
                f"these windows take {len(windows)} model calls",
                field=f"{field}.stride",
                remedy=f"choose a larger stride or window; {MOST_CALLS} calls at most",
                model_calls=str(len(windows)),
            )
        return parameters

    def calls(self, parameters: methods_pb2.Occlusion, workload: Workload) -> int:
        """One for each window."""
        return len(Windows.over(workload.card.preprocess.plane, parameters))

    def mask_length(self, parameters: methods_pb2.Occlusion, workload: Workload) -> int:
        """The cells between the windows' edges."""
        return Windows.over(workload.card.preprocess.plane, parameters).cell_count

    def segment_map(
        self,
        parameters: methods_pb2.Occlusion,
        segments: SegmentMap,
        plane: tuple[int, int],
        seed: int,
    ) -> SegmentMap:
        """The cells between the windows' edges."""
        return Windows.over(plane, parameters, seed).cells

    def attribute(
        self,
        parameters: methods_pb2.Occlusion,
        model: MaskedModel,
        segments: SegmentMap,
        targets: tuple[int, ...],
        seed: int,
        control: RunControl,
    ) -> list[Attribution]:
        """Needs one window at least."""
        windows = Windows.over((segments.shape[0], segments.shape[1]), parameters, seed)
        drops = np.zeros((len(model.full), *windows.plane))
        counts = np.zeros(windows.plane, np.int64)
        done = 0
        for block in model.stream(windows):
            for scores in block:
                down, across = windows.place(done)
                drops[:, down, across] += (model.full.astype(float) - scores)[:, None, None]
                counts[down, across] += 1
                done += 1
            control.offer_partial(partial(_average, drops, counts, targets, True))
        if done == 0:
            raise out_of_time()
        return _average(drops, counts, targets, done < len(windows))


@dataclass(frozen=True)
class Windows:
    """Where the windows lie; the cells between their edges are the segments of the masks.

    Rows of masks are made when they are asked for: there may be thousands, each of thousands of
    cells.
    """

    tops: npt.NDArray[np.intp]
    lefts: npt.NDArray[np.intp]
    height: int
    width: int
    plane: tuple[int, int]
    order: npt.NDArray[np.intp]
    """In which the windows are tried: mixed, so that a part of them covers all regions."""

    @classmethod
    def over(
        cls, plane: tuple[int, int], parameters: methods_pb2.Occlusion, seed: int = 0
    ) -> "Windows":
        """Lay windows over a plane `(H, W)`, the last ones flush with its edges."""
        height = max(round(plane[0] * parameters.window_height), 1)
        width = max(round(plane[1] * parameters.window_width), 1)
        tops = _starts(plane[0], height, parameters.stride)
        lefts = _starts(plane[1], width, parameters.stride)
        order = random_state(seed).permutation(len(tops) * len(lefts))
        return cls(tops, lefts, height, width, plane, order)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.tops) * len(self.lefts)

    @property
    def cells(self) -> SegmentMap:
        """Which cell a point belongs to, `(H, W)`."""
        rows = np.searchsorted(self._row_edges, np.arange(self.plane[0]), side="right") - 1
        columns = np.searchsorted(self._column_edges, np.arange(self.plane[1]), side="right") - 1
        cells = rows[:, np.newaxis] * len(self._column_edges) + columns
        return cells.astype(np.uint16)

    @property
    def cell_count(self) -> int:
        """Number of cells."""
        return len(self._row_edges) * len(self._column_edges)

    @property
    def _row_edges(self) -> npt.NDArray[np.intp]:
        return _edges(self.tops, self.height, self.plane[0])

    @property
    def _column_edges(self) -> npt.NDArray[np.intp]:
        return _edges(self.lefts, self.width, self.plane[1])

    def place(self, index: int) -> tuple[slice, slice]:
        """Rows and columns of the plane that the window at this place in the order hides."""
        top, left = divmod(int(self.order[index]), len(self.lefts))
        row, column = int(self.tops[top]), int(self.lefts[left])
        return slice(row, row + self.height), slice(column, column + self.width)

    def __getitem__(self, rows: Any) -> Masks:
        """Masks of some windows, in order."""
        wanted = np.arange(len(self))[rows]
        row_edges, column_edges = self._row_edges, self._column_edges
        masks = np.ones((len(wanted), len(row_edges), len(column_edges)), np.uint8)
        for mask, index in zip(masks, wanted, strict=True):
            down, across = self.place(int(index))
            hidden_rows = (row_edges >= down.start) & (row_edges < down.stop)
            hidden_columns = (column_edges >= across.start) & (column_edges < across.stop)
            mask[np.ix_(hidden_rows, hidden_columns)] = 0
        return masks.reshape(len(wanted), -1)


def _average(
    drops: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    targets: tuple[int, ...],
    truncated: bool,
) -> list[Attribution]:
    coverage = float((counts > 0).mean())
    warnings = () if coverage == 1 else (f"{1 - coverage:.0%} of the input was never hidden",)
    grade = Grade.GOOD if coverage >= 0.999 else Grade.POOR
    words = f"{coverage:.0%} of the input was hidden at least once"
    measure = Measure(COVERAGE, coverage, grade, words)
    maps: FloatArray = (drops / np.maximum(counts, 1)).astype(np.float32)
    return [
        Attribution(map=maps[target], measures=(measure,), warnings=warnings, truncated=truncated)
        for target in targets
    ]


def _starts(length: int, window: int, stride: float) -> npt.NDArray[np.intp]:
    step = max(round(window * stride), 1)
    return np.unique(np.append(np.arange(0, length - window, step), length - window))


def _edges(starts: npt.NDArray[np.intp], window: int, length: int) -> npt.NDArray[np.intp]:
    edges = np.unique(np.concatenate([[0], starts, starts + window]))
    return edges[edges < length]
