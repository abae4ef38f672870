"""Answers as tables for people."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pellucid.client.offers import Capabilities, ModelOffer, Parameter, Plan
from pellucid.client.predictions import Prediction
from pellucid.client.results import Explanation, Result
from pellucid.rendering import words

answers = Console(highlight=False)
"""Standard output."""


def show_capabilities(found: Capabilities) -> None:
    """Print what is served."""
    if not found.models:
        answers.print("no model is served for this")
    for model in found.models:
        _show_model(model)
    limits = found.limits
    parts = [
        f"files up to {size(limits.max_content_bytes)}" if limits.max_content_bytes else "",
        f"{limits.max_pixels:,} pixels" if limits.max_pixels else "",
        f"{limits.max_audio_s:g} s of sound" if limits.max_audio_s else "",
        f"{limits.max_methods} methods a request" if limits.max_methods else "",
        f"deadlines up to {limits.max_deadline_s:g} s" if limits.max_deadline_s else "",
    ]
    if any(parts):
        answers.print("[dim]limits:[/] " + ", ".join(part for part in parts if part))


def show_prediction(prediction: Prediction) -> None:
    """Print scores, facts and windows."""
    answers.print(
        f"[bold]{escape(prediction.top_label)}[/]  [dim]{escape(prediction.model)} "
        f"version {escape(prediction.model_version)} · {escape(words.facts(prediction))}[/]",
        soft_wrap=True,
    )
    logit_of = "mean logit" if len(prediction.windows) > 1 else "logit"
    table = simple_table("label", "score", logit_of, "threshold")
    for score in sorted(prediction.scores, key=lambda one: -one.score):
        reached = {None: "", True: "reached", False: "not reached"}[score.above_threshold]
        logit = words.number(score.logit)
        table.add_row(escape(score.label), f"{score.score:.4f}", logit, reached)
    answers.print(table)
    if len(prediction.windows) > 1:
        table = simple_table("window", "seconds", *(score.label for score in prediction.scores))
        for place, window in enumerate(prediction.windows):
            span = f"{window.start_s:.2f} to {window.end_s:.2f}"
            table.add_row(str(place), span, *(f"{score.score:.4f}" for score in window.scores))
        answers.print(table)


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
    answers.print(table)


def show_result(result: Result) -> None:
    """Print the prediction and one row for each map."""
    show_prediction(result.prediction)
    if len(result.prediction.windows) > 1:
        answers.print(f"[dim]explained: window {result.explained.window_index}[/]")
    table = simple_table("method", "target", "trust", "calls", "seconds")
    for explanation in result.explanations:
        table.add_row(
            explanation.method,
            escape(explanation.target.label),
            _trust(explanation),
            f"{explanation.receipt.model_calls:,}",
            f"{explanation.receipt.seconds:.2f}",
        )
    answers.print(table)
    for explanation in result.explanations:
        name = f"{explanation.method}, {escape(explanation.target.label)}"
        for caution in words.cautions(explanation):
            answers.print(f"[yellow]beware[/] {name}: {escape(caution)}", soft_wrap=True)


def size(count: int) -> str:
    """Bytes for people."""
    value, units = float(count), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


def _show_model(model: ModelOffer) -> None:
    state = "ready" if model.ready else "[yellow]not ready[/]"
    answers.print(
        f"[bold]{escape(model.name)}[/] {escape(model.version)} · {escape(model.title)} · {state}"
    )
    answers.print(f"  [dim]labels:[/] {escape(', '.join(model.labels))}")
    answers.print(f"  [dim]files:[/]  {escape(', '.join(model.media_types))}")
    if model.parity is not None:
        verdict = "agrees" if model.parity.passed else "[red]drifts[/]"
        answers.print(
            f"  [dim]gradient copy:[/] {verdict}, largest difference "
            f"{words.number(model.parity.max_score_difference)} of {model.parity.tolerance:g}"
        )
    table = simple_table("method", "runs", "parameters (default, range)")
    for method in model.methods:
        if method.available:
            parameters = ", ".join(_parameter(parameter) for parameter in method.parameters)
            table.add_row(method.name, method.runtime.replace("_", " "), escape(parameters))
        else:
            reason = escape(method.unavailable_reason)
            table.add_row(f"[dim]{method.name}[/]", "", f"[yellow]not available: {reason}[/]")
    answers.print(table)


def _parameter(parameter: Parameter) -> str:
    bounds = ""
    if parameter.minimum is not None and parameter.maximum is not None:
        bounds = f", {parameter.minimum:g} to {parameter.maximum:g}"
    return f"{parameter.name} ({parameter.default or 'of the model'}{bounds})"


def _trust(explanation: Explanation) -> str:
    colours = {"good": "green", "fair": "yellow", "poor": "red"}
    return ", ".join(
        f"{finding.name} {finding.value} [{colours[finding.grade.value]}]{finding.grade.value}[/]"
        for finding in words.findings(explanation)
    )


def _seconds(seconds: float | None) -> str:
    return "not known yet" if seconds is None else f"{seconds:.1f}"


def simple_table(*columns: str) -> Table:
    """A table of the command's style; the first column is never wrapped."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(escape(column), no_wrap=place == 0, overflow="fold")
    return table
