"""The asynchronous client differs from the other one in how it waits, and in nothing else."""

import asyncio
import inspect
from contextlib import aclosing

import pytest

from pellucid.client import AsyncClient, Client, Comparison, ExplainedInput, Lime
from pellucid.errors import BackendUnavailable, UnknownModel
from tests.support.fake_gateway import FakeGateway
from tests.support.gateway_responses import picture, png

PNG = png(picture(26, 32))


async def test_every_call_works(url: str) -> None:
    async with AsyncClient(url, deadline_s=10) as client:
        assert len((await client.capabilities()).models) == 2
        assert await client.choose_model(PNG) == "xray"
        assert (await client.classify(PNG)).model == "xray"
        assert (await client.find_similar(PNG, count=3)).cases[2].distance == 2.5
        assert (await client.plan(PNG, methods=[Lime(samples=20)])).model_calls == 10
        events = [event async for event in client.explain(PNG, methods=["lime", "occlusion"])]
        assert isinstance(events[0], ExplainedInput)
        assert isinstance(events[-1], Comparison)
        result = await client.explain_all(PNG, methods=Lime())
        assert result.get("lime").map.shape == (224, 224)


async def test_errors_are_of_the_family(url: str, gateway: FakeGateway) -> None:
    gateway.errors.append(UnknownModel("no such model", field="model"))
    async with AsyncClient(url) as client:
        with pytest.raises(UnknownModel):
            await client.classify(PNG, "nope")


async def test_an_address_without_a_server_is_an_unavailable_backend() -> None:
    async with AsyncClient("localhost:1", deadline_s=5) as client:
        with pytest.raises(BackendUnavailable):
            await client.explain_all(PNG, "xray")


async def test_leaving_the_events_cancels_the_call(url: str, gateway: FakeGateway) -> None:
    gateway.endless = True
    async with AsyncClient(url) as client:
        async with aclosing(client.explain(PNG, "xray", methods="lime")) as events:
            await anext(events)
        for _ in range(100):
            if gateway.cancelled:
                break
            await asyncio.sleep(0.02)
    assert gateway.cancelled


async def test_many_explanations_at_once_do_not_mix(url: str) -> None:
    async with AsyncClient(url) as client:
        names = ["lime", "occlusion", "kernel_shap", "integrated_gradients"]
        results = await asyncio.gather(*(client.explain_all(PNG, methods=n) for n in names))
    assert [result.explanations[0].method for result in results] == names


@pytest.mark.parametrize(
    "name",
    [
        "capabilities",
        "choose_model",
        "classify",
        "find_similar",
        "plan",
        "explain",
        "explain_all",
    ],
)
def test_both_clients_take_the_same_arguments(name: str) -> None:
    ours, theirs = (inspect.signature(getattr(c, name)) for c in (Client, AsyncClient))
    assert ours.parameters == theirs.parameters


def test_both_clients_are_made_of_the_same_arguments() -> None:
    ours, theirs = (inspect.signature(kind).parameters for kind in (Client, AsyncClient))
    assert list(ours) == list(theirs)
    defaults = [[one.default for one in made.values()] for made in (ours, theirs)]
    assert defaults[0] == defaults[1]
