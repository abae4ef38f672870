"""One request in a worker thread: resolve it, then run and report its methods one after another."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from explain_service import metrics
from explain_service.attribution import Attribution, ExplainInput
from explain_service.comparison import compare
from explain_service.events import Emit, MapReady, MapsCompared, MethodProgress, TargetsResolved
from explain_service.failures import MethodFailures, no_time_for
from explain_service.methods.base import Workload
from explain_service.reporting import Reporter
from explain_service.request import CheckedRequest, MethodCall
from explain_service.resolution import Dependencies, resolve_inputs, resolved_targets
from explain_service.run_control import Progress, RunControl
from explain_service.scheduling import Schedule
from explain_service.triton_calls import Caller
from pellucid.serving import tracing
from pellucid.tensors import FloatArray


class ExplanationRun:
    """Answers one request; `run` blocks, in a worker thread."""

    def __init__(
        self,
        dependencies: Dependencies,
        request: CheckedRequest,
        tensor: FloatArray,
        caller: Caller,
        emit: Emit,
    ) -> None:
        """Prepare.

        Args:
            dependencies: shared.
            request: methods and options.
            tensor: the input, of the shape that the card says.
            caller: on whose behalf.
            emit: called in the worker thread with each event.
        """
        self._dependencies = dependencies
        self._request = request
        self._tensor = tensor
        self._caller = caller
        self._emit = emit
        self._running: tuple[str, Progress] | None = None

    def progress(self) -> MethodProgress | None:
        """How far the running method is; None between methods. Any thread may call it."""
        running = self._running
        return None if running is None else _progress(*running)

    def run(self) -> None:
        """Emit all events, to the last.

        A method that fails, or for which no time was left, does not keep the others from their
        maps.

        Raises:
            Cancelled: the request was.
            DeadlineTooShort: a method lacks a map; all that there is was emitted.
            PellucidError: it cannot be answered, or a method failed; likewise.
        """
        schedule = Schedule(self._caller.deadline, self._dependencies.finish_s)
        inputs = resolve_inputs(self._request, self._tensor, self._caller, self._dependencies)
        targets = resolved_targets(inputs)
        self._emit(TargetsResolved(targets))
        methods = _Methods(self._dependencies, inputs, schedule, self._request.calls)
        reporter = Reporter(self._request, inputs, targets)
        maps: defaultdict[str, list[tuple[str, FloatArray]]] = defaultdict(list)
        failures = MethodFailures(self._emit)
        model = self._request.model.card.name
        for place, call in enumerate(self._request.calls):
            ready: list[MapReady] = []
            with failures.of(call), tracing.step(call.method.name, model=model):
                ready = self._explain(place, methods, reporter)
            for one in ready:
                self._emit(one)
                maps[one.target.label].append((call.method.name, one.map))
            if ready and len(ready) < len(targets):
                failures.add(call, no_time_for([call.method.name]))
        pairs = [pair for label, shown in maps.items() for pair in compare(label, shown)]
        for pair in pairs:
            if pair.rank_correlation is not None:
                metrics.AGREEMENT.labels(model).observe(pair.rank_correlation)
        if pairs:
            self._emit(MapsCompared(tuple(pairs)))
        failures.raise_for_all()

    def _explain(self, place: int, methods: "_Methods", reporter: Reporter) -> list[MapReady]:
        """Run one method; its finished maps, one for each target for which there was time."""
        call = self._request.calls[place]
        name = call.method.name

        def show(found: list[Attribution]) -> None:
            for one in reporter.partial(call, found, control.progress):
                self._emit(one)

        control = methods.control(place, show)
        self._running = (name, control.progress)
        try:
            self._emit(_progress(name, control.progress))
            found = methods.explain(call, control)
            control.progress.total = control.progress.done
            self._emit(_progress(name, control.progress))
        finally:
            self._running = None
        ready = reporter.finished(call, found, control.progress)
        _observe(name, self._request.model.card.name, control.progress, ready)
        return ready


class _Methods:
    """Runs the methods of one request, each in its share of the time."""

    def __init__(
        self,
        dependencies: Dependencies,
        inputs: ExplainInput,
        schedule: Schedule,
        calls: Sequence[MethodCall],
    ) -> None:
        self._dependencies = dependencies
        self._inputs = inputs
        self._schedule = schedule
        self._calls = calls

    def control(self, place: int, on_partial: Callable[[list[Attribution]], None]) -> RunControl:
        """Of the method whose turn it is."""
        inputs = self._inputs
        planner = self._dependencies.planner
        workload = Workload(
            card=inputs.model.card,
            segments=inputs.segment_count,
            targets=len(inputs.targets),
            baseline_is_constant=inputs.baseline.size < inputs.tensor.size,
        )
        costs = [
            planner.cost(call.method, call.parameters, workload) for call in self._calls[place:]
        ]
        return RunControl(
            total=costs[0].calls,
            cancellation=inputs.caller.cancellation,
            budget=self._schedule.budget(costs),
            on_partial=on_partial,
            partial_every_s=self._dependencies.partial_every_s,
        )

    def explain(self, call: MethodCall, control: RunControl) -> list[Attribution]:
        """Attributions, and the speed that was measured by them."""
        found = call.method.explain(
            call.parameters, self._inputs, self._dependencies.backends, control
        )
        progress = control.progress
        model = self._inputs.model.card.name
        self._dependencies.planner.measured(model, call.method, progress.done, progress.elapsed)
        return found


def _progress(method: str, progress: Progress) -> MethodProgress:
    return MethodProgress(
        method, progress.done, progress.total, progress.elapsed, progress.remaining
    )


def _observe(method: str, model: str, progress: Progress, ready: Sequence[MapReady]) -> None:
    """Count a method that has finished, and its maps."""
    metrics.STEPS.labels(method).inc(progress.done)
    metrics.SECONDS.labels(method, model).observe(progress.elapsed)
    for one in ready:
        if one.truncated:
            metrics.TRUNCATED.labels(method, model).inc()
        for measure in one.measures:
            metrics.MEASURES.labels(measure.kind.name, method, model).observe(measure.value)
