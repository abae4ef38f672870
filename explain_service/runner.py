"""One request in a worker thread: its targets, then its methods one after another."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from explain_service import metrics
from explain_service.attribution import Attribution, GradientExplainers, Question
from explain_service.baselines import make_baseline
from explain_service.comparison import compare
from explain_service.events import (
    Compared,
    Event,
    Explained,
    Progressed,
    Resolved,
    ResolvedTarget,
    Run,
)
from explain_service.libraries import library_versions
from explain_service.methods import GRADIENT_METHODS, KernelShap, Lime, Occlusion
from explain_service.parameters import Parameters
from explain_service.perturbation.family import explain_by_masks
from explain_service.planner import Cost, Planner, check_samples
from explain_service.query import Query
from explain_service.segmentation import SegmentMap, expected_segments, segment
from explain_service.tick import Tick, out_of_time
from explain_service.triton_calls import Caller, TritonCalls
from explain_service.triton_masks import TritonMasks, ends
from pellucid.errors import DeadlineTooShort, MethodUnavailable
from pellucid.scores import probabilities, resolve_targets
from pellucid.serving.deadline import Deadline
from pellucid.tensors import FloatArray, digest

FINISH_SHARE: Final = 0.1
"""At most this share of a deadline is kept to finish."""
GRADIENT_WEIGHT: Final = 10.0
"""How much longer a gradient takes than a score, as long as neither was measured."""
LEAST_SHARE: Final = 0.1
"""Of the time, left for each method that follows where not all may fit: a quick one is not lost."""
_COPY_PRECISION: Final = "float32"


@dataclass(frozen=True)
class Tools:
    """What all requests share."""

    calls: TritonCalls
    gradients: GradientExplainers
    planner: Planner
    finish_s: float
    """What is kept of a deadline to compute and send what there is, in seconds."""


class Runner:
    """Answers one request; `run` blocks, in a worker thread."""

    def __init__(
        self,
        tools: Tools,
        query: Query,
        image: FloatArray,
        caller: Caller,
        tell: Callable[[Event], None],
    ) -> None:
        """Prepare.

        Args:
            tools: shared.
            query: what is asked.
            image: the input, of the shape that the card says.
            caller: who asks.
            tell: called in the worker thread with each event.
        """
        self._tools = tools
        self._query = query
        self._image = image
        self._caller = caller
        self._tell = tell
        self._running: tuple[str, Tick] | None = None

    def progress(self) -> Progressed | None:
        """How far the running method is; None between methods. Any thread may ask."""
        running = self._running
        return None if running is None else _progress(*running)

    def run(self) -> None:
        """Tell all events, to the last.

        A method for which no time was left does not keep the others from their maps.

        Raises:
            Cancelled: nobody waits any more.
            DeadlineTooShort: a method lacks a map; all that there is was told.
            PellucidError: it cannot be answered.
        """
        budget = self._caller.deadline.timeout()
        margin = min(self._tools.finish_s, budget * FINISH_SHARE)
        self._finish_at = Deadline(self._caller.deadline.at - margin)
        self._resolve()
        self._check_samples()
        self._tell(self._resolved)
        maps: dict[str, list[tuple[str, FloatArray]]] = {}
        without: list[str] = []
        for place, parameters in enumerate(self._query.methods):
            try:
                explained = self._method(place)
            except DeadlineTooShort:
                self._running = None
                without.append(parameters.name)
                continue
            if len(explained) < len(self._resolved.targets):
                without.append(parameters.name)
            for found in explained:
                self._tell(found)
                shown = (parameters.name, found.attribution.map)
                maps.setdefault(found.target.label, []).append(shown)
        pairs = [pair for label, shown in maps.items() for pair in compare(label, shown)]
        if pairs:
            self._tell(Compared(tuple(pairs)))
        if without:
            raise _no_time_for(without)

    def _resolve(self) -> None:
        """Ask for the scores of input and baseline; they decide the targets."""
        query = self._query
        card = query.model.card
        question = Question(
            model=query.model,
            input=self._image,
            baseline=make_baseline(card, query.baseline, self._image),
            targets=(),
            probability=query.probability,
            seed=query.seed,
            request_id=self._caller.request_id,
        )
        served, self._precision = ends(self._tools.calls, question, self._caller)
        chances = probabilities(card, served)[0]
        indices = resolve_targets(card, query.targets, chances, "options.targets")
        self._question = replace(question, targets=tuple(indices))
        self._ends = question.scores(served)
        targets = tuple(
            ResolvedTarget(card.labels[k], k, float(self._ends[0, k]), float(self._ends[1, k]))
            for k in indices
        )
        self._resolved = Resolved(query, targets, digest(self._image))

    def _check_samples(self) -> None:
        """Refuse before the first map what only the number of segments shows to be too large."""
        for place, parameters in enumerate(self._query.methods):
            if isinstance(parameters, Lime | KernelShap):
                count = int(self._segments.max()) + 1
                check_samples(parameters, count, f"methods[{place}].{parameters.name}")

    @cached_property
    def _segments(self) -> SegmentMap:
        query = self._query
        return segment(query.model.card, query.segmentation, self._image, query.seed)

    def _method(self, place: int) -> list[Explained]:
        """Run one method; its finished maps, one for each target for which there was time."""
        parameters = self._query.methods[place]
        tick = Tick(
            total=self._cost(parameters).calls,
            stop=self._caller.stop,
            share=self._share(place),
            deadline=self._finish_at,
            on_partial=lambda found: self._tell_partial(place, found, tick),
        )
        self._running = (parameters.name, tick)
        self._tell(_progress(parameters.name, tick))
        found = self._explain(parameters, tick)
        tick.total = tick.done
        self._running = None
        self._tell(_progress(parameters.name, tick))
        self._measure(parameters.name, found, tick)
        return self._explained(place, found, tick, partial=False)

    def _explain(self, parameters: Parameters, tick: Tick) -> list[Attribution]:
        question = self._question
        tick.check()
        if parameters.name in GRADIENT_METHODS:
            if tick.too_late:
                raise out_of_time()
            return self._tools.gradients.explain(parameters, question, tick)

        def masked(segments: SegmentMap) -> TritonMasks:
            ends = (self._ends[0], self._ends[1])
            per_call = self._tools.planner.masks_per_call
            return TritonMasks(
                self._tools.calls, question, segments, ends, self._caller, tick, per_call
            )

        return explain_by_masks(
            parameters, masked, self._segments, question.targets, question.seed, tick
        )

    def _tell_partial(self, place: int, found: list[Attribution], tick: Tick) -> None:
        # It rests on fewer calls because the method still runs, not because its time was up.
        so_far = [replace(attribution, truncated=False) for attribution in found]
        for explained in self._explained(place, so_far, tick, partial=True):
            self._tell(explained)

    def _explained(
        self, place: int, found: list[Attribution], tick: Tick, *, partial: bool
    ) -> list[Explained]:
        parameters = self._query.methods[place]
        _check_maps(found, f"methods[{place}].{parameters.name}")
        on_segments = found[0].segment_values is not None
        segments = self._segments if on_segments else None
        cut = self._query.segmentation.name if on_segments else None
        versions = library_versions(parameters.name, cut)
        precision = self._precision
        if parameters.name in GRADIENT_METHODS:
            versions |= self._tools.gradients.libraries(self._query.model, parameters.name)
            precision = _COPY_PRECISION
        run = Run(precision, tick.done, tick.elapsed, versions)
        return [
            Explained(self._resolved, parameters, target, attribution, segments, run, partial)
            for target, attribution in zip(self._resolved.targets, found, strict=False)
        ]

    def _cost(self, parameters: Parameters) -> Cost:
        count = expected_segments(self._query.segmentation)
        if parameters.name not in (*GRADIENT_METHODS, Occlusion.name):
            count = int(self._segments.max()) + 1
        query = self._query
        return self._tools.planner.cost(
            query.model.card,
            parameters,
            segments=count,
            targets=len(self._question.targets),
            baseline=query.baseline,
        )

    def _share(self, place: int) -> Deadline:
        """When a method should stop, so that those after it get their part of the time."""
        left = self._query.methods[place:]
        costs = [self._cost(parameters) for parameters in left]
        weights = [cost.seconds or 0.0 for cost in costs]
        measured = all(cost.seconds is not None for cost in costs)
        if not measured:
            weights = [
                cost.calls * (GRADIENT_WEIGHT if method.name in GRADIENT_METHODS else 1.0)
                for cost, method in zip(costs, left, strict=True)
            ]
        fair = max(weights[0] / max(sum(weights), 1e-9), 1 / len(left))
        seconds = self._finish_at.left()
        if not measured or sum(weights) > seconds:
            fair = min(fair, max(1 - LEAST_SHARE * (len(left) - 1), 1 / len(left)))
        return Deadline.after(seconds * fair)

    def _measure(self, method: str, found: list[Attribution], tick: Tick) -> None:
        model = self._query.model.card.name
        self._tools.planner.speeds.measured(model, method, tick.done, tick.elapsed)
        metrics.STEPS.labels(method).inc(tick.done)
        metrics.SECONDS.labels(method, model).observe(tick.elapsed)
        for attribution in found:
            if attribution.truncated:
                metrics.TRUNCATED.labels(method, model).inc()
            if attribution.completeness_gap is not None:
                metrics.COMPLETENESS_GAP.labels(model).observe(attribution.completeness_gap)
            if attribution.additivity_gap is not None:
                metrics.ADDITIVITY_GAP.labels(method, model).observe(attribution.additivity_gap)


def _check_maps(found: list[Attribution], field: str) -> None:
    """Refuse to show what is not a number; `field` is the path of the method."""
    if not all(np.isfinite(attribution.map).all() for attribution in found):
        raise MethodUnavailable(
            "the map is not finite", field=field, remedy="choose another method or baseline"
        )


def _no_time_for(methods: list[str]) -> DeadlineTooShort:
    names = ", ".join(methods)
    return DeadlineTooShort(
        f"the time was up before all maps were made of {names}",
        remedy="allow more time, or ask for fewer methods or samples",
        methods=names,
    )


def _progress(method: str, tick: Tick) -> Progressed:
    return Progressed(method, tick.done, tick.total, tick.elapsed, tick.remaining)
