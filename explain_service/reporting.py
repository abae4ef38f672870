"""From what a method found to the maps that a client gets."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import metadata

import numpy as np

from explain_service.attribution import Attribution, ExplainInput, SegmentValues
from explain_service.events import MapReady, ResolvedTarget, RunFacts
from explain_service.request import CheckedRequest, MethodCall
from explain_service.run_control import Progress
from pellucid.errors import MethodUnavailable
from pellucid.tensors import digest


class Reporter:
    """Reports the maps of one request."""

    def __init__(
        self,
        request: CheckedRequest,
        inputs: ExplainInput,
        targets: Sequence[ResolvedTarget],
    ) -> None:
        """Report on these targets, which are those of `inputs`."""
        self._request = request
        self._inputs = inputs
        self._targets = targets
        self._digest = digest(inputs.tensor)

    def partial(
        self, call: MethodCall, found: Sequence[Attribution], progress: Progress
    ) -> list[MapReady]:
        """Usable maps of a method that still runs."""
        # They rest on fewer calls because the method still runs, not because its time was up.
        so_far = [replace(attribution, truncated=False) for attribution in found]
        return self._report(call, so_far, progress, partial=True)

    def finished(
        self, call: MethodCall, found: Sequence[Attribution], progress: Progress
    ) -> list[MapReady]:
        """Finished maps, one for each target for which there was time."""
        return self._report(call, found, progress, partial=False)

    def _report(
        self, call: MethodCall, found: Sequence[Attribution], progress: Progress, *, partial: bool
    ) -> list[MapReady]:
        if not all(np.isfinite(attribution.map).all() for attribution in found):
            raise MethodUnavailable(
                "the map is not finite",
                field=call.field,
                remedy="choose another method or baseline",
            )
        libraries = ("pellucid", "numpy", *call.method.libraries(self._inputs))
        facts = RunFacts(
            input_digest=self._digest,
            precision=call.method.precision(self._inputs),
            model_calls=progress.done,
            seconds=progress.elapsed,
            library_versions={name: _version(name) for name in libraries},
        )
        return [
            self._ready(call, target, attribution, facts, partial)
            for target, attribution in zip(self._targets, found, strict=False)
        ]

    def _ready(
        self,
        call: MethodCall,
        target: ResolvedTarget,
        attribution: Attribution,
        facts: RunFacts,
        partial: bool,
    ) -> MapReady:
        all_zero = not np.any(attribution.map)
        warnings = (*attribution.warnings, *_cautions(call, target, attribution, all_zero))
        return MapReady(
            request=self._request,
            call=call,
            target=target,
            map=attribution.map,
            segments=attribution.segments,
            measures=tuple(
                one.at_most_fair()
                if attribution.truncated or (one.kind.by_construction and warnings)
                else one
                for one in attribution.measures
            ),
            warnings=warnings,
            all_zero=all_zero,
            truncated=attribution.truncated,
            facts=facts,
            partial=partial,
        )


def _cautions(
    call: MethodCall, target: ResolvedTarget, attribution: Attribution, all_zero: bool
) -> list[str]:
    """What to beware of, whatever the method."""
    found = []
    if all_zero:
        found.append("the map is zero everywhere: the method found nothing")
    if attribution.truncated:
        found.append("the deadline came first: the map rests on fewer calls than asked for")
    if unsure := _unsure(attribution.segments):
        found.append(unsure)
    if call.method.uses_baseline and target.baseline_score >= target.score:
        found.append(
            f"the baseline scores {_number(target.baseline_score)}, no less than the input's "
            f"{_number(target.score)}: another baseline may say more"
        )
    return found


def _unsure(segments: SegmentValues | None) -> str:
    """Warns where most segments may speak for the target as well as against it."""
    if segments is None or segments.low is None or segments.high is None:
        return ""
    count = int(np.count_nonzero((segments.low <= 0) & (segments.high >= 0)))
    if 2 * count <= len(segments.low):
        return ""
    return f"the intervals of {count} of {len(segments.low)} segments contain 0: take more samples"


def _number(value: float) -> str:
    """Three significant digits and a real minus sign."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


@cache
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return metadata.version(f"{distribution}-cpu")  # tensorflow without accelerators
