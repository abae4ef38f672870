"""Copies to differentiate in both frameworks, and a Triton that does what a test says.

The frameworks are imported by the fixtures alone: most tests here need neither.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from explain_service.attribution import ExplainInput
from explain_service.gradient.model import GradientModel
from explain_service.settings import ExplainSettings
from explain_service.triton_calls import TritonCalls
from pellucid.cards import Card
from pellucid.serving.triton import MarkStale
from tests.support.explain_inputs import explain_input
from tests.support.fake_triton import FakeTriton

FRAMEWORKS = ("torch", "keras")
Ask = Callable[..., ExplainInput]
Calls = Callable[..., TritonCalls]


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton() as running:
        yield running


@pytest.fixture
def make_calls(triton: FakeTriton) -> Iterator[Calls]:
    """Makes calls to the fake Triton, with given settings."""
    with ExitStack() as stack:

        def make(mark_stale: MarkStale = lambda name: None, **settings: Any) -> TritonCalls:
            chosen = ExplainSettings(triton_url=triton.url, **settings)
            found = TritonCalls(chosen, mark_stale)
            stack.callback(found.close)
            return found

        yield make
        triton.speak()


@pytest.fixture(scope="session", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def pair() -> dict[str, GradientModel]:
    """The pair of networks, by framework; four inputs at once. One thread: they are small."""
    from explain_service.gradient import torch_copy
    from tests.support import framework_pairs

    torch_copy.prepare(threads=1)
    return {name: framework_pairs.copy_of(framework_pairs.pair_card(name)) for name in FRAMEWORKS}


@pytest.fixture(scope="session")
def network(pair: dict[str, GradientModel], framework: str) -> GradientModel:
    """The pair's network in one framework."""
    return pair[framework]


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Makes what a method is asked about the pair's picture, in the layout of a card."""
    from tests.support.framework_pairs import picture

    def make(card: Card, *targets: int, probability: bool = False, **facts: Any) -> ExplainInput:
        tensor = np.moveaxis(picture(), 0, card.preprocess.channel_axis)
        return explain_input(
            card,
            tensor=np.ascontiguousarray(tensor),
            targets=targets or (1,),
            probability=probability,
            **facts,
        )

    return make


@pytest.fixture(scope="session")
def linear(framework: str) -> Callable[..., tuple[GradientModel, Any, Card]]:
    """Makes a linear copy: the copy, its weights `(K', *shape)`, its card."""
    from tests.support import framework_pairs

    def make(**changes: Any) -> tuple[GradientModel, Any, Card]:
        return framework_pairs.linear_copy(framework, **changes)

    return make
