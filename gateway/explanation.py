"""Classifies a file, then has the answer explained and passes on what comes of it."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from gateway import metrics
from gateway.classification import Classified, Classifier, Wanted
from gateway.peers import ExplainPools
from gateway.predictions import encode_explained_input
from pellucid.api.explain.v1 import explain_pb2, explanation_pb2, methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.parameters import check_method_count
from pellucid.scores import check_targets, resolve_targets
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import ServedModel
from pellucid.serving.triton import MarkStale, changed

_PASSED_ON: Final = ("targets", "progress", "partial", "explanation", "failure", "comparison")
"""Events of the explain service that the gateway's stream has too, under the same name."""
_MAPS: Final = ("partial", "explanation")


class Explainer:
    """Explains what the gateway classifies.

    The prediction rests on one call of the classifier. The maps, and the scores of input and
    baseline that come with them, rest on calls of the graph that expands masks, which the explain
    service makes: the same weights in another graph, and in bfloat16 its last digits differ. A map
    must add up with scores of its own graph.
    """

    def __init__(self, classifier: Classifier, pools: ExplainPools, mark_stale: MarkStale) -> None:
        """Classify with `classifier`, have it explained by one of `pools`."""
        self._classifier = classifier
        self._pools = pools
        self._mark_stale = mark_stale

    async def plan(
        self, request: gateway_pb2.PlanExplainRequest, deadline: Deadline
    ) -> Sequence[explain_pb2.MethodPlan]:
        """Check an explanation as a whole and count what each of its methods would cost.

        Raises:
            InvalidArgument, UnknownLabel: a method, a parameter or an option is at fault.
            UnknownModel, ModelNotReady, ModelBroken, MethodUnavailable: the model cannot do it.
            BackendUnavailable, DeadlineTooShort: it cannot be done now.
        """
        model = await self._check(request)
        inner = explain_pb2.PlanRequest(
            model=request.model, methods=request.methods, options=request.options
        )
        return (await self._pools.of(model.card).plan(inner, deadline)).methods

    async def explain(
        self, request: gateway_pb2.ExplainRequest, deadline: Deadline
    ) -> AsyncGenerator[gateway_pb2.ExplainResponse, None]:
        """Classify and explain one file.

        The prediction comes once the explain service has accepted the whole request. Raises as
        `plan` and `Classifier.classify` do; an error of the explain service keeps its field.
        """
        self._classifier.check_content(request.content)
        await self._check(request)
        classified = await self._classifier.classify(
            request.model,
            request.content,
            deadline,
            Wanted(
                operating_point=request.operating_point,
                displayed=True,
                refuse=request.refuse_out_of_distribution,
            ),
        )
        targets = resolve_targets(
            classified.model.card,
            request.options.targets,
            classified.scores.overall.raw,
            "options.targets",
            classified.operating_point,
        )
        window = (
            classified.checked_window(request.window)
            if request.HasField("window")
            else classified.window_of(targets[0])
        )
        inner = explain_pb2.ExplainRequest(
            model=request.model,
            input=classified.windows[window].tensor,
            methods=request.methods,
            options=_with_targets(request.options, targets),
            model_version=classified.model.version,
            weights_digest=classified.model.weights_digest,
        )
        peer = self._pools.of(classified.model.card)
        async with aclosing(peer.explain(inner, deadline)) as events:
            accepted = _accepted(await anext(events), classified.windows[window].digest)
            explained = encode_explained_input(classified, window, accepted.queue_position)
            yield gateway_pb2.ExplainResponse(prediction=explained)
            async for event in events:
                if response := self._passed_on(event, classified):
                    yield response

    async def _check(
        self, request: gateway_pb2.PlanExplainRequest | gateway_pb2.ExplainRequest
    ) -> ServedModel:
        """Refuse what can be refused for nothing; the explain service checks all the rest."""
        check_method_count(len(request.methods), "methods")
        model = await self._classifier.model(request.model)
        check_targets(model.card, request.options.targets, "options.targets")
        return model

    def _passed_on(
        self, event: explain_pb2.ExplainResponse, classified: Classified
    ) -> gateway_pb2.ExplainResponse | None:
        """An event of the explain service as the gateway words it; None for one unknown to it."""
        kind = event.WhichOneof("event")
        if kind not in _PASSED_ON:
            return None
        name = classified.model.card.name
        if kind in _MAPS and not _is_of(getattr(event, kind).receipt, classified):
            self._mark_stale(name)
            raise changed(classified.model, "another version is explained than was classified")
        if kind == "explanation":
            metrics.EXPLANATIONS.labels(name, event.explanation.method).inc()
        return gateway_pb2.ExplainResponse(**{kind: getattr(event, kind)})


def _with_targets(
    options: methods_pb2.ExplainOptions, targets: Iterable[int]
) -> methods_pb2.ExplainOptions:
    """The options with the targets by number, so that maps explain what was predicted."""
    resolved = methods_pb2.ExplainOptions()
    resolved.CopyFrom(options)
    del resolved.targets[:]
    resolved.targets.extend(methods_pb2.Target(index=index) for index in targets)
    return resolved


def _accepted(event: explain_pb2.ExplainResponse, digest: str) -> explain_pb2.Accepted:
    """The first event, if it is of the tensor that was classified."""
    if event.WhichOneof("event") != "accepted":
        raise RuntimeError("the explain service began without accepting the request")
    if event.accepted.input_digest != digest:
        explained = event.accepted.input_digest
        raise RuntimeError(f"tensor {explained} is explained, {digest} was classified")
    return event.accepted


def _is_of(receipt: explanation_pb2.Receipt, classified: Classified) -> bool:
    """Whether a map is of the model that made the prediction."""
    model = classified.model
    return (receipt.model_version, receipt.weights_digest) == (model.version, model.weights_digest)
