"""Responses as tables for people."""

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from pellucid.cli.consoles import stdout
from pellucid.client import (
    Capabilities,
    Explanation,
    MethodCapability,
    ModelCapability,
    ModelState,
    Parameter,
    Plan,
    Prediction,
    Result,
    SimilarCases,
)
from pellucid.rendering import descriptions

_COLOURS: Final = {
    "good": "green",
    "fair": "yellow",
    "poor": "red",
    ModelState.READY: "green",
    ModelState.LOADING: "yellow",
    ModelState.FAILED: "red",
    ModelState.UNKNOWN: "yellow",
}
"""Of grades and of states."""


def show_capabilities(found: Capabilities) -> None:
    """Print what is served."""
    if not found.models:
        stdout.print("no model is served for this")
    for model in found.models:
        show_model(model)
    limits = found.limits
    parts = [
        f"files up to {size(limits.max_content_bytes)}" if limits.max_content_bytes else "",
        f"{limits.max_pixels:,} pixels" if limits.max_pixels else "",
        f"{limits.max_audio_s:g} s of sound" if limits.max_audio_s else "",
        f"{limits.max_methods} methods a request" if limits.max_methods else "",
        f"deadlines up to {limits.max_deadline_s:g} s" if limits.max_deadline_s else "",
    ]
    if any(parts):
        stdout.print("[dim]limits:[/] " + ", ".join(part for part in parts if part))


def show_prediction(prediction: Prediction) -> None:
    """Print scores, facts and windows."""
    stdout.print(
        f"[bold]{escape(prediction.top_label)}[/]  [dim]{escape(prediction.model)} "
        f"version {escape(prediction.model_version)} · {escape(descriptions.facts(prediction))}[/]",
        soft_wrap=True,
    )
    if warning := descriptions.out_of_distribution(prediction):
        stdout.print(f"[yellow]warning[/] {escape(warning)}", soft_wrap=True)
    logit_of = "mean logit" if len(prediction.windows) > 1 else "logit"
    threshold = f"threshold ({prediction.operating_point})".removesuffix(" ()")
    spread = any(score.spread is not None for score in prediction.scores)
    columns = ("label", "raw score", "calibrated", logit_of, threshold)
    table = simple_table(*columns, *(["spread of members"] if spread else []))
    for score in sorted(prediction.scores, key=lambda one: -one.score):
        reached = {None: "", True: "reached", False: "not reached"}[score.above_threshold]
        calibrated = "" if score.calibrated_score is None else f"{score.calibrated_score:.4f}"
        logit = descriptions.number(score.logit)
        row = (escape(score.label), f"{score.score:.4f}", calibrated, logit, reached)
        table.add_row(*row, *([f"{score.spread:.4f}"] if score.spread is not None else []))
    stdout.print(table)
    if len(prediction.windows) > 1:
        table = simple_table("window", "seconds", *(score.label for score in prediction.scores))
        for place, window in enumerate(prediction.windows):
            span = f"{window.start_s:.2f} to {window.end_s:.2f}"
            scores = map(descriptions.raw_and_calibrated, window.scores)
            table.add_row(str(place), span, *scores)
        stdout.print(table)


def show_similar(found: SimilarCases) -> None:
    """Print the prediction, and the cases like the file."""
    prediction = found.prediction
    if warning := descriptions.out_of_distribution(prediction):
        stdout.print(f"[yellow]warning[/] {escape(warning)}", soft_wrap=True)
    stdout.print(
        f"[bold]{escape(prediction.top_label)}[/]  [dim]{escape(prediction.model)}; nearest of "
        f"{found.indexed:,} cases, of which one is {found.typical_distance:.4g} from its nearest "
        "(median)[/]",
        soft_wrap=True,
    )
    timed = any(case.end_s for case in found.cases)
    table = simple_table("case", "labels", "distance", *(["seconds"] if timed else []))
    for case in found.cases:
        span = [f"{case.start_s:.2f} to {case.end_s:.2f}"] if timed else []
        labels = ", ".join(case.labels)
        table.add_row(escape(case.id), escape(labels), f"{case.distance:.4g}", *span)
    stdout.print(table)


def show_plan(plan: Plan) -> None:
    """Print what an explanation would cost."""
    table = simple_table("method", "model calls", "to Triton", "seconds")
    for method in plan.methods:
        table.add_row(
            method.method,
            f"{method.model_calls:,}",
            size(method.bytes_to_triton),
            _seconds(method.seconds),
        )
    table.add_section()
    total = (f"{plan.model_calls:,}", size(plan.bytes_to_triton), _seconds(plan.seconds))
    table.add_row("[bold]together[/]", *total)
    stdout.print(table)


def show_result(result: Result) -> None:
    """Print the prediction and one row for each map."""
    show_prediction(result.prediction)
    if len(result.prediction.windows) > 1:
        stdout.print(f"[dim]explained: window {result.input.window_index}[/]")
    table = simple_table("method", "target", "trust", "calls", "seconds")
    for explanation in result.maps:
        table.add_row(
            explanation.method if explanation.finished else f"{explanation.method} (unfinished)",
            escape(explanation.target.label),
            _trust(explanation),
            f"{explanation.receipt.model_calls:,}",
            f"{explanation.receipt.seconds:.2f}",
        )
    stdout.print(table)
    for explanation in result.maps:
        name = f"{explanation.method}, {escape(explanation.target.label)}"
        for warning in explanation.trust.warnings:
            stdout.print(f"[yellow]warning[/] {name}: {escape(warning)}", soft_wrap=True)
    for failure in result.failures:
        remedy = f"; {failure.remedy}" if failure.remedy else ""
        words = escape(f"{failure.method}: {failure.message}{remedy}")
        stdout.print(f"[red]failed[/] {words}", soft_wrap=True)


def size(count: int) -> str:
    """Bytes for people."""
    value, units = float(count), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


def show_model(model: ModelCapability) -> None:
    """Print what is served of one model, and which methods explain it."""
    why = f": {escape(model.state_reason)}" if model.state_reason else ""
    known = (model.version, model.title, model.precision)
    stdout.print(
        " · ".join([f"[bold]{escape(model.name)}[/]", *(escape(part) for part in known if part)]),
        f"[{_COLOURS[model.state]}]{model.state}[/]{why}",
        soft_wrap=True,
    )
    if not model.labels:  # of a model that is not ready, no more may be known
        return
    _show_line("labels", model.labels)
    _show_line("operating points", list(model.operating_points))
    _show_line("files", model.media_types)
    _show_line("baselines", model.baselines)
    _show_line("segments", [one.name for one in model.segmentations])
    if model.parity is not None:
        verdict = "agrees" if model.parity.passed else "[red]drifts[/]"
        difference = descriptions.number(model.parity.max_score_difference)
        stdout.print(
            f"  [dim]gradient copy:[/] {verdict}, largest difference "
            f"{difference} of {model.parity.tolerance:g}"
        )
    table = simple_table("method", "runs", "parameters (default, range)", "measures")
    for method in model.methods:
        table.add_row(*_method_row(method))
    stdout.print(table)


def _show_line(name: str, values: Sequence[str]) -> None:
    if values:
        stdout.print(f"  [dim]{name}:[/] {escape(', '.join(map(str, values)))}", soft_wrap=True)


def _method_row(method: MethodCapability) -> tuple[str, ...]:
    if not method.available:
        reason = escape(method.unavailable_reason)
        return f"[dim]{escape(method.name)}[/]", "", f"[yellow]not available: {reason}[/]", ""
    return (
        escape(method.name),
        "" if method.runtime is None else method.runtime.replace("_", " "),
        escape(", ".join(map(_parameter, method.parameters))),
        escape(", ".join(measure.title for measure in method.measures)),
    )


def _parameter(parameter: Parameter) -> str:
    bounds = ""
    if parameter.minimum is not None and parameter.maximum is not None:
        bounds = f", {parameter.minimum:g} to {parameter.maximum:g} {parameter.unit}".rstrip()
    return f"{parameter.name} ({parameter.default or 'of the model'}{bounds})"


def _trust(explanation: Explanation) -> str:
    words = []
    for measure in explanation.trust:
        graded = f" [{_COLOURS[measure.grade]}]{measure.grade}[/]" if measure.grade else ""
        words.append(f"{escape(measure.title)} {descriptions.number(measure.value)}{graded}")
    return ", ".join(words)


def _seconds(seconds: float | None) -> str:
    return "not known yet" if seconds is None else f"{seconds:.1f}"


def simple_table(*columns: str) -> Table:
    """A table of the command's style; the first column is never wrapped."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(escape(column), no_wrap=place == 0, overflow="fold")
    return table
