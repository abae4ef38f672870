"""The options of an explanation to messages of the API; see `_decoding` for the way back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from google.protobuf.message import Message

from pellucid.api.explain.v1 import methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client.choices import Baseline, ScoreSpace
from pellucid.client.methods import METHODS, SEGMENTATIONS, Method, Segmentation
from pellucid.client.options import AboveThreshold, Index, Label, Methods, Targets, TopK
from pellucid.errors import InvalidArgument

BASELINES: Final[dict[Baseline, methods_pb2.Baseline.ValueType]] = {
    Baseline.BLACK: methods_pb2.BASELINE_BLACK,
    Baseline.MEAN: methods_pb2.BASELINE_MEAN,
    Baseline.BLUR: methods_pb2.BASELINE_BLUR,
    Baseline.SILENCE: methods_pb2.BASELINE_SILENCE,
}
SCORE_SPACES: Final[dict[ScoreSpace, methods_pb2.ScoreSpace.ValueType]] = {
    ScoreSpace.LOGIT: methods_pb2.SCORE_SPACE_LOGIT,
    ScoreSpace.PROBABILITY: methods_pb2.SCORE_SPACE_PROBABILITY,
}


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """The options of one call, all present; see `ExplainOptions`."""

    methods: Methods | None = None
    target: Targets | None = None
    score_space: ScoreSpace | str | None = None
    baseline: Baseline | str | None = None
    segmentation: Segmentation | str | None = None
    seed: int | None = None
    deadline: float | None = None
    request_id: str | None = None
    window: int | None = None
    operating_point: str | None = None
    refuse_out_of_distribution: bool = False

    def plan_request(self, model: str) -> gateway_pb2.PlanExplainRequest:
        """The request for what it would cost.

        Raises:
            InvalidArgument: an option is of the wrong kind.
        """
        return gateway_pb2.PlanExplainRequest(
            model=model, methods=_methods(self.methods), options=self._options()
        )

    def explain_request(self, model: str, content: bytes) -> gateway_pb2.ExplainRequest:
        """The request for the explanation.

        Raises:
            InvalidArgument: an option is of the wrong kind.
        """
        request = gateway_pb2.ExplainRequest(
            model=model,
            content=content,
            methods=_methods(self.methods),
            options=self._options(),
            refuse_out_of_distribution=self.refuse_out_of_distribution,
        )
        _set(request, "window", self.window, "window")
        _set(request, "operating_point", self.operating_point, "operating_point")
        return request

    def _options(self) -> methods_pb2.ExplainOptions:
        options = methods_pb2.ExplainOptions(targets=_targets(self.target))
        if self.score_space is not None:
            space = _choice(ScoreSpace, self.score_space, "options.score_space")
            options.score_space = SCORE_SPACES[space]
        if self.baseline is not None:
            baseline = _choice(Baseline, self.baseline, "options.baseline")
            options.baseline = BASELINES[baseline]
        if self.segmentation is not None:
            field = "options.segmentation"
            chosen: Segmentation = _named(SEGMENTATIONS, self.segmentation, field)
            _fill(getattr(options.segmentation, chosen.name), chosen, f"{field}.{chosen.name}")
        _set(options, "seed", self.seed, "options.seed")
        return options


def _methods(wanted: Methods | None) -> Iterator[methods_pb2.Method]:
    for place, one in enumerate(_listed(wanted)):
        field = f"methods[{place}]"
        if isinstance(one, Message):
            yield _from_message(one)
            continue
        method: Method = _named(METHODS, one, field)
        message = methods_pb2.Method()
        _fill(getattr(message, method.name), method, f"{field}.{method.name}")
        yield message


def _from_message(parameters: Message) -> methods_pb2.Method:
    """The method whose parameters a message holds: one of the contract's own, or an extension."""
    method = methods_pb2.Method()
    for name in METHODS:
        own = getattr(method, name)
        if isinstance(parameters, type(own)):
            own.CopyFrom(parameters)
            own.SetInParent()
            return method
    method.extension.Pack(parameters)
    return method


def _targets(wanted: Targets | None) -> Iterator[methods_pb2.Target]:
    for place, one in enumerate(_listed(wanted)):
        field = f"options.targets[{place}]"
        message = methods_pb2.Target()
        match one:
            case str() | Label():
                name = one if isinstance(one, str) else one.name
                _set(message, "label", name, f"{field}.label")
            case Index():
                _set(message, "index", one.place, f"{field}.index")
            case TopK():
                _set(message, "top_k", one.k, f"{field}.top_k")
            case AboveThreshold():
                message.above_threshold = True
            case _:
                raise InvalidArgument(
                    f"{one!r} is no target",
                    field=field,
                    remedy="give a label, Index, TopK or AboveThreshold",
                )
        yield message


def _listed(wanted: Any) -> Sequence[Any]:
    """One, several or none as a sequence; a string is one."""
    if wanted is None:
        return ()
    return (wanted,) if isinstance(wanted, str) or not isinstance(wanted, Sequence) else wanted


def _choice(kind: Any, value: str, field: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise InvalidArgument(
            f"{value!r} is not known here", field=field, remedy=f"choose one of: {', '.join(kind)}"
        ) from None


def _named(kinds: dict[str, Any], value: Any, field: str) -> Any:
    if isinstance(value, tuple(kinds.values())):
        return value
    if value in kinds:
        return kinds[value]()
    raise InvalidArgument(
        f"{value!r} is not known here", field=field, remedy=f"choose one of: {', '.join(kinds)}"
    )


def _fill(message: Message, parameters: Any, field: str) -> None:
    message.SetInParent()  # also where every parameter takes its default
    for parameter in fields(parameters):
        value = getattr(parameters, parameter.name)
        _set(message, parameter.name, value, f"{field}.{parameter.name}")


def _set(message: Message, name: str, value: Any, field: str) -> None:
    if value is None:
        return
    try:
        setattr(message, name, value)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(
            f"{value!r} does not fit: {error}", field=field, remedy="see its type and range"
        ) from None
