"""Classifies a file, then has the answer explained: checks first, the cheapest at the front."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

from gateway import metrics
from gateway.classification import Classification, Classified
from gateway.methods import check_methods, with_defaults
from gateway.peers import ExplainPeer
from gateway.predictions import encode_explained
from pellucid.api.explain.v1 import explain_pb2, methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.errors import InvalidArgument, MethodUnavailable
from pellucid.scores import check_targets, resolve_targets
from pellucid.serving.deadline import Deadline
from pellucid.serving.triton import ServedModel


class Explanation:
    """Explanations of what the gateway classifies."""

    def __init__(self, classification: Classification, explain: ExplainPeer) -> None:
        """Classify with `classification`, have it explained by `explain`."""
        self._classification = classification
        self._explain = explain

    async def plan(
        self,
        name: str,
        methods: Sequence[methods_pb2.Method],
        options: methods_pb2.ExplainOptions,
        deadline: Deadline,
    ) -> list[explain_pb2.MethodPlan]:
        """Check an explanation as a whole and count what each of its methods would cost.

        Raises:
            InvalidArgument, UnknownLabel: a method, a parameter or an option is at fault.
            UnknownModel, ModelNotReady, MethodUnavailable: the model cannot do it.
            BackendUnavailable, DeadlineTooShort: it cannot be done now.
        """
        _, plan = await self._checked(name, methods, options, deadline)
        return [cost for _, cost in plan]

    async def explain(
        self, request: gateway_pb2.ExplainRequest, deadline: Deadline
    ) -> AsyncGenerator[gateway_pb2.ExplainResponse, None]:
        """Classify and explain one file; raises as `plan` and `Classification.classify` do."""
        self._classification.check_content(request.content)
        model, plan = await self._checked(request.model, request.methods, request.options, deadline)
        classified = await self._classification.run(model, request.content, deadline)
        targets = resolve_targets(
            model.card, request.options.targets, classified.overall_scores, "options.targets"
        )
        window = _window(request, classified, targets[0])
        space = request.options.score_space
        explained = encode_explained(classified, window, targets, space)
        yield gateway_pb2.ExplainResponse(prediction=explained)
        inner = explain_pb2.ExplainRequest(
            model=model.card.name,
            input=classified.windows[window].tensor,
            methods=[method for method, _ in plan],
            options=_with_targets(request.options, targets),
        )
        digest = classified.windows[window].digest
        async with aclosing(self._explain.explain(inner, deadline)) as events:
            async for event in events:
                if event.WhichOneof("event") == "targets":
                    _check_digest(event.targets.input_digest, digest)
                elif response := _relayed(event, model):
                    yield response

    async def _checked(
        self,
        name: str,
        methods: Sequence[methods_pb2.Method],
        options: methods_pb2.ExplainOptions,
        deadline: Deadline,
    ) -> tuple[ServedModel, list[tuple[methods_pb2.Method, explain_pb2.MethodPlan]]]:
        """The model, and each method with its cost: all that can be refused is refused here."""
        check_methods(methods)
        model = await self._classification.model(name)
        check_targets(model.card, options.targets, "options.targets")
        wanted = list(methods) or await self._available(name, deadline)
        request = explain_pb2.PlanRequest(model=name, methods=wanted, options=options)
        answer = await self._explain.plan(request, deadline)
        return model, list(zip(wanted, answer.methods, strict=True))

    async def _available(self, name: str, deadline: Deadline) -> list[methods_pb2.Method]:
        answers = await self._explain.methods(name, deadline)
        methods = [method for answer in answers for method in answer.methods]
        if available := [with_defaults(each.method) for each in methods if each.available]:
            return available
        reasons = sorted({each.unavailable_reason for each in methods})
        raise MethodUnavailable(
            f"{name} cannot be explained: {'; '.join(reasons) or 'no method knows it'}",
            field="model",
            remedy="choose another model",
            model=name,
        )


def _window(request: gateway_pb2.ExplainRequest, classified: Classified, target: int) -> int:
    """The window that the request names, or the one where the target scores highest."""
    count = len(classified.windows)
    if request.HasField("window"):
        if request.window >= count:
            raise InvalidArgument(
                f"there is no window {request.window}",
                field="window",
                remedy=f"choose 0 to {count - 1}",
                windows=str(count),
            )
        return int(request.window)
    # Scores close to 1 are equal in float32; logits still differ.
    return max(
        range(count),
        key=lambda n: (float(classified.scores[n, target]), float(classified.logits[n, target])),
    )


def _with_targets(
    options: methods_pb2.ExplainOptions, targets: Iterable[int]
) -> methods_pb2.ExplainOptions:
    """The options with the targets by number, so that maps explain what was predicted."""
    resolved = methods_pb2.ExplainOptions()
    resolved.CopyFrom(options)
    del resolved.targets[:]
    resolved.targets.extend(methods_pb2.Target(index=index) for index in targets)
    return resolved


def _check_digest(explained: str, predicted: str) -> None:
    if explained != predicted:
        raise RuntimeError(f"tensor {explained} is explained, {predicted} was classified")


def _relayed(
    event: explain_pb2.ExplainResponse, model: ServedModel
) -> gateway_pb2.ExplainResponse | None:
    """An event of the explain service as the gateway words it; None for one it does not know."""
    match event.WhichOneof("event"):
        case "progress":
            return gateway_pb2.ExplainResponse(progress=event.progress)
        case "partial":
            return gateway_pb2.ExplainResponse(partial=event.partial)
        case "explanation":
            metrics.EXPLANATIONS.labels(model.card.name, event.explanation.method).inc()
            return gateway_pb2.ExplainResponse(explanation=event.explanation)
        case "comparison":
            return gateway_pb2.ExplainResponse(comparison=event.comparison)
        case _:
            return None
