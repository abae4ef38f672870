"""A method is one class: two toys, listed in a registry alone, explain through a service.

Their parameters are messages that no contract of Pellucid knows.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from tritonclient.grpc import InferenceServerClient

from explain_service.attribution import Attribution, ExplainInput, SegmentValues
from explain_service.gradient.model import GradientModel, Head
from explain_service.measures import Grade, Measure, MeasureKind
from explain_service.methods import METHODS, MethodRegistry
from explain_service.methods.base import Workload
from explain_service.methods.gradient_method import GradientMethod
from explain_service.methods.mask_method import MaskMethod
from explain_service.perturbation.masks import MaskedModel
from explain_service.run_control import RunControl
from explain_service.segmentation import SegmentMap
from pellucid.api.explain.v1 import explain_pb2 as pb
from pellucid.api.explain.v1.methods_pb2 import BASELINE_BLACK, Lime, Method, Target
from pellucid.cards import Card
from pellucid.errors import InvalidArgument
from tests.integration.explain.conftest import Serve
from tests.integration.explain.networks import LINEAR, WEIGHTS, serving
from tests.integration.explain.requests import picture, request
from tests.support.explain_client import Stub, explain, measure, refused
from tests.support.toy_methods import Field, options, packed, parameters_message

BLACK = -2.0
"""The pixel value 0 in the space of the input."""
LARGEST = MeasureKind("largest", "largest", "The largest drop of the score.")


class LeaveOneOut(MaskMethod[Any]):
    """Drop of the score without each segment."""

    name = "leave_one_out"
    title = "Leave One Out"
    description = "How far the score drops without each segment."
    paper = "arXiv:0000.00001"
    message = parameters_message(
        "LeaveOneOut",
        factor=Field("number", options(default="1", minimum=0.1, maximum=10, unit="times")),
    )
    measures = (LARGEST,)

    def __init__(self) -> None:
        self.explained: list[int] = []
        """Number of segments of each input."""

    def calls(self, parameters: Any, workload: Workload) -> int:
        return workload.segments

    def attribute(
        self,
        parameters: Any,
        model: MaskedModel,
        segments: SegmentMap,
        targets: tuple[int, ...],
        seed: int,
        control: RunControl,
    ) -> list[Attribution]:
        self.explained.append(model.segments)
        masks = 1 - np.eye(model.segments, dtype=np.uint8)
        scores = np.concatenate(list(model.stream(masks)))
        drops = (model.full.astype(np.float64) - scores) * parameters.factor
        return [self._attribution(segments, drops[:, target]) for target in targets]

    def _attribution(self, segments: SegmentMap, drops: Any) -> Attribution:
        found = SegmentValues.of(segments, drops)
        largest = Measure(LARGEST, float(drops.max()), Grade.GOOD, "the largest drop")
        return Attribution(map=found.map, segments=found, measures=(largest,))


class InputTimesGradient(GradientMethod[Any]):
    """Gradient at the input, times the input."""

    name = "input_times_gradient"
    title = "Input x Gradient"
    description = "The gradient of the score at the input, times the input."
    paper = "arXiv:0000.00002"
    message = parameters_message(
        "InputTimesGradient", magnitude=Field("boolean", options(default="false"))
    )
    uses_baseline = False

    def missing(self, card: Card) -> str:
        return "it takes three channels" if card.preprocess.planes != 3 else ""

    def calls(self, parameters: Any, workload: Workload) -> int:
        return 1

    def attribute(
        self, parameters: Any, model: GradientModel, inputs: ExplainInput, control: RunControl
    ) -> list[Attribution]:
        card, x = inputs.model.card, inputs.tensor
        heads = [Head.of(card, one, probability=inputs.probability) for one in inputs.targets]
        gradients = model.gradients(x[np.newaxis], heads)[:, 0]
        control.advance(1)
        products = (gradients * x).sum(axis=1 + card.preprocess.channel_axis)
        return [Attribution(map=abs(one) if parameters.magnitude else one) for one in products]


@pytest.fixture(scope="module", autouse=True)
def served(repository: Path, triton_client: InferenceServerClient) -> Iterator[None]:
    with serving(repository, triton_client, [LINEAR]):
        yield


@pytest.fixture(scope="module")
def leave_one_out() -> LeaveOneOut:
    return LeaveOneOut()


@pytest.fixture
async def stub(explain_service: Serve, leave_one_out: LeaveOneOut) -> AsyncIterator[Stub]:
    """A client of a service that has the toys after its own methods."""
    registry = MethodRegistry((*METHODS, leave_one_out, InputTimesGradient()))
    async with explain_service(registry) as found:
        yield found


def toy(message: type[Message], **parameters: Any) -> Method:
    return packed(message(**parameters))


async def test_toys_are_listed_with_all_that_is_to_know_of_them(stub: Stub) -> None:
    answer = await stub.ListMethods(pb.ListMethodsRequest(model=LINEAR.card.name))
    found = {one.method: one for one in answer.models[0].methods}
    perturbation, gradient = found["leave_one_out"], found["input_times_gradient"]
    assert perturbation.available and gradient.available
    assert (perturbation.title, perturbation.paper) == ("Leave One Out", "arXiv:0000.00001")
    assert perturbation.runtime == pb.RUNTIME_TRITON
    assert perturbation.on_segments
    assert perturbation.parameters_message == "pellucid.tests.LeaveOneOut"
    assert [one.name for one in perturbation.measures] == ["largest"]
    (factor,) = perturbation.parameters
    assert (factor.name, factor.type, factor.default_value) == ("factor", "number", "1")
    assert (factor.minimum, factor.maximum, factor.unit) == (0.1, 10, "times")
    assert gradient.runtime == pb.RUNTIME_LOCAL_COPY
    (magnitude,) = gradient.parameters
    assert (magnitude.type, magnitude.default_value) == ("boolean", "false")


async def test_a_toy_says_itself_which_models_it_cannot_explain(stub: Stub) -> None:
    answer = await stub.ListMethods(pb.ListMethodsRequest(model="linear"))
    found = {one.method: one for one in answer.models[0].methods}
    assert found["leave_one_out"].available
    assert "no architecture" in found["input_times_gradient"].unavailable_reason


async def test_a_toy_is_warmed_up_before_the_service_is_ready(
    stub: Stub, leave_one_out: LeaveOneOut
) -> None:
    assert 16 in leave_one_out.explained


async def test_a_parameter_out_of_range_is_refused_by_its_name(stub: Stub) -> None:
    asked = request(LINEAR, picture(LINEAR), [toy(LeaveOneOut.message, factor=11)])
    error = await refused(stub, asked)
    assert isinstance(error, InvalidArgument)
    assert error.field == "methods[0].extension.factor"
    assert error.remedy == "choose 0.1 to 10 times"


async def test_a_toy_is_planned(stub: Stub) -> None:
    methods = [toy(LeaveOneOut.message), toy(InputTimesGradient.message)]
    asked = request(LINEAR, picture(LINEAR), methods)
    plan = await stub.Plan(
        pb.PlanRequest(model=LINEAR.card.name, methods=methods, options=asked.options)
    )
    masks, gradient = plan.methods
    assert (masks.method, masks.model_calls) == ("leave_one_out", 16)
    assert masks.bytes_to_triton > 0
    assert (gradient.method, gradient.model_calls) == ("input_times_gradient", 1)


async def test_toys_explain_next_to_other_methods_and_are_in_their_receipts(stub: Stub) -> None:
    image = picture(LINEAR)
    asked = request(
        LINEAR,
        image,
        [
            toy(LeaveOneOut.message, factor=2),
            toy(InputTimesGradient.message),
            Method(lime=Lime(samples=50)),
        ],
        targets=[Target(label="c")],
        baseline=BASELINE_BLACK,
    )
    answer = await explain(stub, asked)
    drops, product, lime = answer.explanations
    assert [drops.title, product.title, lime.title] == ["Leave One Out", "Input x Gradient", "LIME"]
    share = (WEIGHTS[2].astype(np.float32) * (image - BLACK)).sum(axis=0)
    cells = share.reshape(4, 3, 4, 4).sum(axis=(1, 3)).ravel()
    assert drops.segment_scores.values == pytest.approx(2 * cells, abs=1e-4)
    assert measure(drops, "largest") == pytest.approx(2 * cells.max(), abs=1e-4)
    expected = (WEIGHTS[2].astype(np.float32) * image).sum(axis=0)
    assert answer.maps[1] == pytest.approx(expected, abs=1e-6)
    assert drops.receipt.method == toy(LeaveOneOut.message, factor=2)
    assert product.receipt.method == toy(InputTimesGradient.message, magnitude=False)
    assert drops.receipt.model_calls == 16
    assert "torch" in product.receipt.library_versions
    pairs = {(pair.method_a, pair.method_b) for pair in answer.comparison.agreements}
    assert ("leave_one_out", "input_times_gradient") in pairs


async def test_toys_are_among_every_method_that_is_available(stub: Stub) -> None:
    answer = await explain(stub, request(LINEAR, picture(LINEAR), ()))
    found = [one.method for one in answer.explanations]
    assert found[-2:] == ["leave_one_out", "input_times_gradient"]
