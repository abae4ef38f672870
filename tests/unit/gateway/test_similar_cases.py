"""FindSimilar: cases of an index that fits the served model, or an error that says why not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.case_index import Case, write
from gateway.settings import GatewaySettings
from pellucid.api.gateway.v1.gateway_pb2 import (
    FindSimilarRequest,
    FindSimilarResponse,
    GetCapabilitiesRequest,
)
from pellucid.errors import IndexUnavailable, InvalidArgument, PellucidError, UnreadableMedia
from tests.unit.gateway.conftest import SETTINGS, Stage
from tests.unit.gateway.fakes import card
from tests.unit.gateway.refusals import refusal

# The scripted Triton's features are its inputs.
PLACES = {"dark/a": (9, 0, 0), "grey/b": (0, 9, 0), "bright/c": (0, 0, 9), "bright/d": (0, 0, 6)}


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    return SETTINGS.model_copy(update={"index_dir": tmp_path})


@pytest.fixture
def featured(stage: Stage) -> Stage:
    stage.load(card(features=True))
    return stage


def index(
    folder: Path,
    *,
    digest: str = "abc",
    model: str = "shade",
    places: dict[str, Sequence[float]] = PLACES,
    thumbnails: Sequence[bytes] = (),
) -> None:
    cases = [Case(id=name, labels=(name.partition("/")[0],)) for name in places]
    values = np.array([*places.values()], np.float32)
    write(folder / "shade", model, digest, cases, values, thumbnails)


async def similar(stage: Stage, **request: Any) -> FindSimilarResponse:
    return await stage.stub.FindSimilar(
        FindSimilarRequest(**({"model": "shade", "content": b"file"} | request))
    )


async def refused(stage: Stage, **request: Any) -> PellucidError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await similar(stage, **request)
    return refusal(caught.value)


async def test_the_nearest_cases_come_with_the_prediction(featured: Stage, tmp_path: Path) -> None:
    index(tmp_path)
    featured.preprocess.windows = [(0, 0, 8)]
    found = await similar(featured, count=3)
    assert [(case.id, [*case.labels], case.distance) for case in found.cases] == [
        ("bright/c", ["bright"], 1),
        ("bright/d", ["bright"], 2),
        ("dark/a", ["dark"], pytest.approx((81 + 64) ** 0.5)),
    ]
    assert found.prediction.top_label == "bright"
    assert found.prediction.request_id
    assert (found.index.cases, found.window_index) == (4, 0)
    assert [case.thumbnail_png for case in found.cases] == [b"", b"", b""]


async def test_five_cases_are_the_default_and_fewer_where_there_are_fewer(
    featured: Stage, tmp_path: Path
) -> None:
    index(tmp_path)
    assert len((await similar(featured)).cases) == 4
    index(tmp_path, places={str(n): (n, 0, 0) for n in range(7)})
    assert len((await similar(featured)).cases) == 5


async def test_pictures_come_where_the_index_keeps_them(featured: Stage, tmp_path: Path) -> None:
    index(tmp_path, thumbnails=[b"a", b"b", b"c", b"d"])
    featured.preprocess.windows = [(0, 9, 0)]
    assert (await similar(featured, count=1)).cases[0].thumbnail_png == b"b"


async def test_of_a_recording_the_window_of_the_top_label_is_looked_for(
    featured: Stage, tmp_path: Path
) -> None:
    index(tmp_path)
    featured.preprocess.windows = [(0, 4, 0), (0, 9, 0), (9, 0, 0)]
    found = await similar(featured, count=1)
    assert (found.window_index, found.cases[0].id) == (1, "grey/b")
    found = await similar(featured, count=1, window=2)
    assert (found.window_index, found.cases[0].id) == (2, "dark/a")
    error = await refused(featured, window=3)
    assert (type(error), error.field) == (InvalidArgument, "window")


async def test_the_capabilities_say_how_many_cases_there_are(
    featured: Stage, tmp_path: Path
) -> None:
    async def indexed() -> int:
        answer = await featured.stub.GetCapabilities(GetCapabilitiesRequest())
        return answer.models[0].indexed_cases

    assert await indexed() == 0
    index(tmp_path)
    assert await indexed() == 4
    index(tmp_path, digest="other")
    assert await indexed() == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"digest": "old"}, "other weights"), ({"model": "other"}, "is of other")],
)
async def test_an_index_that_does_not_fit_is_not_searched(
    featured: Stage, tmp_path: Path, wrong: dict[str, str], says: str
) -> None:
    index(tmp_path, **wrong)
    error = await refused(featured)
    assert isinstance(error, IndexUnavailable) and says in error.message
    assert error.remedy == "its operator makes one with `pellucid index build shade FOLDER`"
    assert not featured.triton.inferred


async def test_without_an_index_nothing_is_computed(featured: Stage, tmp_path: Path) -> None:
    assert "there is none" in (await refused(featured)).message
    (tmp_path / "shade").mkdir()
    (tmp_path / "shade/index.json").write_text("{")
    assert "cannot be read" in (await refused(featured)).message
    assert not featured.triton.inferred


@pytest.mark.parametrize("settings", [SETTINGS])
async def test_a_gateway_without_a_folder_of_indices_has_none(featured: Stage) -> None:
    assert isinstance(await refused(featured), IndexUnavailable)


async def test_an_index_of_features_of_another_width_is_no_bug(
    featured: Stage, tmp_path: Path
) -> None:
    index(tmp_path, places={"one": (1, 2)})
    assert isinstance(await refused(featured), IndexUnavailable)


async def test_a_model_that_gives_no_features_any_more_is_no_bug(
    stage: Stage, tmp_path: Path
) -> None:
    index(tmp_path)
    assert "features" in (await refused(stage)).message


async def test_bad_requests_name_their_field(featured: Stage, tmp_path: Path) -> None:
    index(tmp_path)
    error = await refused(featured, count=101)
    assert (type(error), error.field) == (InvalidArgument, "count")
    assert type(await refused(featured, content=b"")) is UnreadableMedia
    assert (await refused(featured, model="")).field == "model"
