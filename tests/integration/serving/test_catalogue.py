"""The catalogue over a real Triton, while its models are loaded again and go."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient

from pellucid.cards import DIGEST_PARAMETER
from pellucid.embedded.system import EmbeddedTriton
from pellucid.errors import ModelBroken, ModelChanged, ModelNotReady
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.deadline import Deadline
from pellucid.serving.served_model import State
from pellucid.serving.settings import TritonSettings
from pellucid.serving.triton import Answer, TritonInference
from tests.support.known_models import LinearModel, add_version, linear_model

SETTINGS = TritonSettings(catalogue_interval_s=0.2)
NAME = "linear"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LinearModel:
    return linear_model(tmp_path_factory.mktemp("repository"), NAME)


@pytest.fixture(scope="module")
def url(model: LinearModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a Triton whose models come and go as these tests say, in their order."""
    state = tmp_path_factory.mktemp("state")
    with EmbeddedTriton(model.folder.parent, state) as running:
        yield running.triton_url


@pytest.fixture
async def client(url: str) -> AsyncIterator[InferenceServerClient]:
    async with InferenceServerClient(url) as found:
        yield found


@pytest.fixture
async def catalogue(url: str) -> AsyncIterator[ModelCatalogue]:
    async with ModelCatalogue(url, SETTINGS) as found:
        yield found


@pytest.fixture
async def inference(url: str, catalogue: ModelCatalogue) -> AsyncIterator[TritonInference]:
    async with TritonInference(url, SETTINGS, catalogue.mark_stale) as found:
        yield found


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.05)


async def ask(inference: TritonInference, served: Any, inputs: Any) -> Answer:
    return await inference.infer(served, inputs, Deadline.after(10))


async def test_it_answers_as_the_model_does(
    model: LinearModel, catalogue: ModelCatalogue, inference: TritonInference
) -> None:
    served = await catalogue.get(NAME)
    assert (served.card, served.version, served.masked) == (model.card, "1", True)
    inputs = np.random.default_rng(0).normal(0, 1, (20, 1, 32, 32)).astype(np.float32)
    answer = await ask(inference, served, inputs)
    np.testing.assert_allclose(answer.logits, model.logits(inputs), atol=1e-4)
    assert answer.precision == "float32"


async def test_other_weights_under_the_same_version_are_noticed(
    catalogue: ModelCatalogue, client: InferenceServerClient
) -> None:
    served = await catalogue.get(NAME)
    own = (await client.get_model_config(NAME, as_json=True))["config"]
    others = {**own["parameters"], DIGEST_PARAMETER: {"string_value": "others"}}
    await client.load_model(NAME, config=json.dumps({**own, "parameters": others}))

    async def noticed() -> bool:
        now = await catalogue.get(NAME)
        return (now.weights_digest, now.masked) == ("others", False)

    await until(noticed)
    # Without a configuration, Triton would keep the one that it was given last.
    await client.load_model(NAME, config=json.dumps(own))

    async def back() -> bool:
        return (await catalogue.get(NAME)).weights_digest == served.weights_digest

    await until(back)


async def test_another_version_is_noticed_by_whoever_asks_for_the_old_one(
    model: LinearModel,
    catalogue: ModelCatalogue,
    client: InferenceServerClient,
    inference: TritonInference,
) -> None:
    old = await catalogue.get(NAME)
    for folder in (model.folder, model.folder.with_name(f"{NAME}_masked")):
        add_version(folder, folder)
        await client.load_model(folder.name)
    inputs = np.zeros((1, 1, 32, 32), np.float32)
    with pytest.raises(ModelChanged):
        await ask(inference, old, inputs)
    new = await catalogue.get(NAME)
    assert (new.version, new.masked) == ("2", True)
    assert len((await ask(inference, new, inputs)).logits) == 1


async def test_a_model_that_does_not_load_says_why(
    model: LinearModel, catalogue: ModelCatalogue, client: InferenceServerClient
) -> None:
    await client.unload_model(NAME)

    async def unloaded() -> bool:
        return [entry.state for entry in await catalogue.entries()] == [State.UNLOADED]

    await until(unloaded)
    with pytest.raises(ModelNotReady):
        await catalogue.get(NAME)
    graph = Path(model.folder, "2", "model.onnx")
    graph.write_bytes(b"rubbish")
    with pytest.raises(Exception, match="load failed"):
        await client.load_model(NAME)

    async def failed() -> bool:
        return [entry.state for entry in await catalogue.entries()] == [State.FAILED]

    await until(failed)
    with pytest.raises(ModelBroken, match="nable to read the model"):
        await catalogue.get(NAME)
    assert not catalogue.ready
