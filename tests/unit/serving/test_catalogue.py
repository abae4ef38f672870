"""The catalogue: told from memory, read by one watcher, and right again once somebody notices."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from pellucid.cards import CARD_PARAMETER, Card
from pellucid.errors import BackendUnavailable, ModelBroken, ModelNotReady, UnknownModel
from pellucid.repository.unloadable import WAITS
from pellucid.serving.catalogue import ModelCatalogue
from pellucid.serving.served_model import State
from pellucid.serving.settings import TritonSettings
from tests.support.scripted_triton import Graph, ScriptedTriton, one_address

NEVER_S = 60.0
"""No reading but those that somebody waits for."""
OFTEN_S = 0.01


def card(name: str = "shade", **more: Any) -> Card:
    return Card.model_validate(
        {
            "name": name,
            "version": "1",
            "title": "Shade",
            "description": "",
            "modality": "photo",
            "labels": ("dark", "grey", "bright"),
            "output": {"activation": "softmax"},
            "preprocess": {
                "kind": "image",
                "height": 1,
                "width": 3,
                "channels": 1,
                "layout": "CHW",
                "mean": [0],
                "std": [1],
            },
            **more,
        }
    )


@pytest.fixture
async def triton() -> AsyncIterator[ScriptedTriton]:
    async with ScriptedTriton() as found:
        yield found


@asynccontextmanager
async def catalogue_of(
    url: str, interval_s: float = NEVER_S, timeout_s: float = 30.0
) -> AsyncIterator[ModelCatalogue]:
    settings = TritonSettings(catalogue_interval_s=interval_s, catalogue_timeout_s=timeout_s)
    async with ModelCatalogue(url, settings) as found:
        yield found


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_model_is_told_by_its_configuration(triton: ScriptedTriton) -> None:
    triton.load(card(), "7", digest="d1", precision="bfloat16")
    async with catalogue_of(triton.url) as catalogue:
        model = await catalogue.get("shade")
    assert (model.card, model.version, model.weights_digest) == (card(), "7", "d1")
    assert (model.precision, model.masked, model.max_batch) == ("bfloat16", True, 16)


def counted() -> set[tuple[str, str]]:
    """Models and versions in the metrics."""
    return {
        (sample.labels["model"], sample.labels["version"])
        for family in REGISTRY.collect()
        if family.name == "pellucid_model_info"
        for sample in family.samples
    }


async def test_the_metrics_have_the_versions_that_are_served_and_no_others(
    triton: ScriptedTriton,
) -> None:
    triton.load(card("shade"))
    async with catalogue_of(triton.url, OFTEN_S) as catalogue:
        await catalogue.list()
        assert counted() == {("shade", "1")}
        triton.load(card("shade", version="2"), "2")
        triton.load(card("tone"))
        await until(lambda: counted() == {("shade", "2"), ("tone", "1")})


async def test_what_is_known_is_told_without_asking(triton: ScriptedTriton) -> None:
    triton.load(card())
    async with catalogue_of(triton.url) as catalogue:
        await catalogue.get("shade")
        asked = triton.metadata_calls
        for _ in range(20):
            await catalogue.get("shade")
            await catalogue.list()
        assert triton.metadata_calls == asked


async def test_the_highest_version_that_is_ready_is_served(triton: ScriptedTriton) -> None:
    triton.load(card(), "9")
    for version, state in (("10", "READY"), ("11", "LOADING")):
        for graph in ("shade", "shade_masked"):
            ready = triton.graphs[graph]["9"]
            triton.graphs[graph][version] = Graph(ready.parameters, state=state)
    async with catalogue_of(triton.url) as catalogue:
        assert (await catalogue.get("shade")).version == "10"


@pytest.mark.parametrize(
    ("masked_digest", "masked"), [("", True), ("others", False), (None, False)]
)
async def test_masks_need_a_graph_of_the_same_weights(
    triton: ScriptedTriton, masked_digest: str | None, masked: bool
) -> None:
    triton.load(card(), digest="own", masked_digest=masked_digest)
    async with catalogue_of(triton.url) as catalogue:
        assert (await catalogue.get("shade")).masked is masked


async def test_masks_need_a_graph_of_the_same_version(triton: ScriptedTriton) -> None:
    triton.load(card(), "2")
    triton.graphs["shade_masked"] = {"1": triton.graphs["shade_masked"]["2"]}
    async with catalogue_of(triton.url) as catalogue:
        model = await catalogue.get("shade")
    assert not model.masked
    assert model.masked_is_coming


@pytest.mark.parametrize(
    ("state", "reason", "coming"),
    [
        ("READY", "", False),
        ("LOADING", "", True),
        ("UNAVAILABLE", "unloaded", True),
        ("", "", True),
        ("UNAVAILABLE", "out of memory", False),
    ],
)
async def test_a_masked_graph_that_is_not_loaded_yet_is_coming(
    triton: ScriptedTriton, state: str, reason: str, coming: bool
) -> None:
    triton.load(card(), "1")
    parameters = triton.graphs["shade_masked"]["1"].parameters
    triton.graphs["shade_masked"]["1"] = Graph(parameters, state=state, reason=reason)
    async with catalogue_of(triton.url) as catalogue:
        model = await catalogue.get("shade")
    assert (model.masked, model.masked_is_coming) == (state == "READY", coming)


async def test_a_masked_graph_that_there_is_not_is_not_coming(triton: ScriptedTriton) -> None:
    triton.load(card(), masked_digest=None)
    async with catalogue_of(triton.url) as catalogue:
        assert not (await catalogue.get("shade")).masked_is_coming


@pytest.mark.parametrize(
    ("state", "reason", "seen", "error", "says"),
    [
        ("LOADING", "", State.LOADING, ModelNotReady, "is loading"),
        ("UNLOADING", "", State.LOADING, ModelNotReady, "unloading"),
        ("UNAVAILABLE", f"no backend '{WAITS}'", State.LOADING, ModelNotReady, f"it {WAITS}"),
        ("UNAVAILABLE", "unloaded", State.UNLOADED, ModelNotReady, "it is not loaded"),
        ("", "", State.UNLOADED, ModelNotReady, "it is not loaded"),
        (
            "UNAVAILABLE",
            'Internal: Exception from src/core.cpp:1:\nno "/srv/repo/1/model.onnx"\n\nAt:\n  /x.py',
            State.FAILED,
            ModelBroken,
            'Internal: Exception from src/core.cpp:1: no "model.onnx"',
        ),
    ],
)
async def test_a_model_that_is_not_ready_says_why(
    triton: ScriptedTriton, state: str, reason: str, seen: State, error: type, says: str
) -> None:
    graph = triton.load(card())
    graph.state, graph.reason = state, reason
    async with catalogue_of(triton.url) as catalogue:
        (entry,) = await catalogue.entries()
        assert (entry.name, entry.state, entry.model) == ("shade", seen, None)
        assert says in entry.reason and "/x.py" not in entry.reason
        assert await catalogue.list() == []
        with pytest.raises(error, match=says) as caught:
            await catalogue.get("shade", field="query.model")
        assert caught.value.field == "query.model"
        assert bool(caught.value.retry_after_s) is (error is ModelNotReady)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"name": "other"}, "it is 'other'"), ({"labels": ("dark", "dark", "bright")}, "labels")],
)
async def test_a_card_that_cannot_be_right_breaks_its_model(
    triton: ScriptedTriton, changes: dict[str, Any], says: str
) -> None:
    wrong = card().model_copy(update=changes).to_json()
    triton.graphs["shade"] = {"1": Graph({CARD_PARAMETER: wrong})}
    async with catalogue_of(triton.url) as catalogue:
        (entry,) = await catalogue.entries()
        assert entry.state is State.FAILED
        with pytest.raises(ModelBroken, match=says):
            await catalogue.get("shade")


@pytest.mark.parametrize("name", ["nope", "shade_masked", "no_card", ""])
async def test_what_is_no_model_of_ours_is_unknown(triton: ScriptedTriton, name: str) -> None:
    triton.load(card())
    triton.graphs["no_card"] = {"1": Graph({})}
    async with catalogue_of(triton.url) as catalogue:
        with pytest.raises(UnknownModel) as caught:
            await catalogue.get(name)
        assert caught.value.remedy == "choose one of: shade"
        assert [entry.name for entry in await catalogue.entries()] == ["shade"]


async def test_a_new_model_is_found_by_who_asks_for_it(triton: ScriptedTriton) -> None:
    triton.load(card("first"))
    async with catalogue_of(triton.url) as catalogue:
        await catalogue.list()
        triton.load(card("second"))
        assert (await catalogue.get("second")).card.name == "second"
        assert len(await catalogue.list()) == 2


async def test_all_who_wait_share_one_reading(triton: ScriptedTriton) -> None:
    triton.load(card())
    async with catalogue_of(triton.url) as catalogue:
        await catalogue.list()
        asked = triton.calls["RepositoryIndex"]
        triton.holds.clear()
        waiting = [asyncio.create_task(catalogue.get("nope")) for _ in range(50)]
        await until(lambda: triton.calls["RepositoryIndex"] > asked)
        triton.holds.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(answer) for answer in answers} == {UnknownModel}
        assert triton.calls["RepositoryIndex"] == asked + 1


async def test_who_stops_waiting_disturbs_nobody(triton: ScriptedTriton) -> None:
    triton.load(card())
    async with catalogue_of(triton.url) as catalogue:
        await catalogue.list()
        asked = triton.calls["RepositoryIndex"]
        triton.holds.clear()
        gone, patient = (asyncio.create_task(catalogue.get("nope")) for _ in range(2))
        await until(lambda: triton.calls["RepositoryIndex"] > asked)
        gone.cancel()
        triton.holds.set()
        with pytest.raises(UnknownModel):
            await patient


async def test_a_marked_model_is_read_again_before_it_is_told(triton: ScriptedTriton) -> None:
    triton.load(card("shade"), digest="old")
    triton.load(card("other"))
    async with catalogue_of(triton.url) as catalogue:
        await catalogue.list()
        triton.load(card("shade"), digest="new")
        assert (await catalogue.get("shade")).weights_digest == "old"
        marking = threading.Thread(target=catalogue.mark_stale, args=("shade",))
        marking.start()
        marking.join()
        asked = triton.metadata_calls
        await catalogue.get("other")
        assert triton.metadata_calls == asked
        assert (await catalogue.get("shade")).weights_digest == "new"
        asked = triton.metadata_calls
        await catalogue.get("shade")
        assert triton.metadata_calls == asked


async def test_a_list_waits_for_what_was_marked(triton: ScriptedTriton) -> None:
    triton.load(card())
    async with catalogue_of(triton.url) as catalogue:
        await catalogue.list()
        triton.unload("shade")
        catalogue.mark_stale("shade")
        assert await catalogue.list() == []


async def test_a_mark_that_comes_while_it_is_read_counts(triton: ScriptedTriton) -> None:
    triton.load(card(), digest="old")
    async with catalogue_of(triton.url) as catalogue:
        await catalogue.list()
        asked = triton.metadata_calls
        catalogue.mark_stale("shade")
        triton.holds.clear()
        first = asyncio.create_task(catalogue.get("shade"))
        await until(lambda: triton.metadata_calls > asked)
        catalogue.mark_stale("shade")
        second = asyncio.create_task(catalogue.get("shade"))
        triton.holds.set()
        assert (await first).weights_digest == "old"
        triton.load(card(), digest="new")
        assert (await second).weights_digest == "new"


async def test_weights_that_were_loaded_again_under_the_same_version_are_noticed(
    triton: ScriptedTriton,
) -> None:
    names = [f"m{number}" for number in range(9)]
    for name in names:
        triton.load(card(name), digest="old")
    async with catalogue_of(triton.url, OFTEN_S) as catalogue:
        await catalogue.list()
        for name in names:
            triton.load(card(name), digest="new")
        async with asyncio.timeout(5):
            while {model.weights_digest for model in await catalogue.list()} != {"new"}:
                await asyncio.sleep(OFTEN_S)


async def test_many_models_are_no_flood_of_questions(triton: ScriptedTriton) -> None:
    for number in range(40):
        triton.load(card(f"m{number}"))
    async with catalogue_of(triton.url, OFTEN_S) as catalogue:
        await catalogue.list()
        index, configurations = triton.calls["RepositoryIndex"], triton.calls["ModelConfig"]
        await until(lambda: triton.calls["RepositoryIndex"] >= index + 10)
        each = (triton.calls["ModelConfig"] - configurations) / 10
        assert 0 < each <= 10  # four models and their masked graphs, and a reading under way


async def test_without_triton_what_is_known_is_still_told(triton: ScriptedTriton) -> None:
    triton.load(card())
    async with catalogue_of(triton.url) as catalogue:
        await catalogue.list()
        await triton.stop()
        assert (await catalogue.get("shade")).card == card()
        with pytest.raises(BackendUnavailable):
            await catalogue.get("nope")
        catalogue.mark_stale("shade")
        for _ in range(2):  # the mark stays
            with pytest.raises(BackendUnavailable) as caught:
                await catalogue.get("shade")
        assert caught.value.metadata["peer"] == "Triton"
        assert caught.value.retry_after_s


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_a_triton_that_was_never_there_is_unavailable(
    triton: ScriptedTriton, how: str
) -> None:
    if how == "refuses":
        triton.fails = grpc.StatusCode.UNAVAILABLE
    else:
        triton.holds.clear()
    async with catalogue_of(triton.url, timeout_s=0.1) as catalogue:
        for question in (catalogue.get("shade"), catalogue.list(), catalogue.entries()):
            with pytest.raises(BackendUnavailable):
                await question
        assert not catalogue.ready


async def test_it_is_ready_while_triton_answers_and_serves_something(
    triton: ScriptedTriton,
) -> None:
    async with catalogue_of(triton.url, OFTEN_S) as catalogue:
        assert not catalogue.ready
        assert await catalogue.list() == []
        assert not catalogue.ready
        triton.load(card())
        triton.graphs["bad"] = {"1": Graph({}, state="UNAVAILABLE", reason="rubbish")}
        await until(lambda: catalogue.ready)
        triton.unload("shade")
        await until(lambda: not catalogue.ready)


async def test_changes_are_told_one_after_another(triton: ScriptedTriton) -> None:
    async with catalogue_of(triton.url, OFTEN_S) as catalogue:
        changes = catalogue.changes()

        async def told() -> list[tuple[str, str]]:
            models = await asyncio.wait_for(anext(changes), 5)
            return [(model.card.name, model.weights_digest) for model in models]

        assert await told() == []
        triton.load(card(), digest="d1")
        assert await told() == [("shade", "d1")]
        triton.load(card(), digest="d2")
        assert await told() == [("shade", "d2")]
        triton.graphs["bad"] = {"1": Graph({}, state="UNAVAILABLE", reason="rubbish")}
        triton.unload("shade")
        assert await told() == []


async def test_tritons_that_differ_while_they_are_updated_make_no_model_come_and_go() -> None:
    async with ScriptedTriton() as first, ScriptedTriton() as second:
        for triton in (first, second):
            triton.load(card(), "1", digest="d1")
        async with catalogue_of(one_address((first, second)), OFTEN_S) as catalogue:
            changes = catalogue.changes()
            await anext(changes)
            second.load(card(), "2", digest="d2")
            changed = asyncio.create_task(anext(changes))
            before = first.calls["RepositoryIndex"], second.calls["RepositoryIndex"]
            await until(
                lambda: (
                    first.calls["RepositoryIndex"] > before[0] + 10
                    and second.calls["RepositoryIndex"] > before[1] + 10
                )
            )
            assert not changed.done()
            first.load(card(), "2", digest="d2")
            (model,) = await asyncio.wait_for(changed, 5)
            assert (model.version, model.weights_digest) == ("2", "d2")
