"""Models loaded and followed, in a Triton that only writes down what it is asked."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pellucid.embedded import models
from pellucid.embedded.errors import BuildFailed
from pellucid.embedded.events import Event, Kind, Progress
from pellucid.embedded.models import Models
from tests.models import linear_model

WITHIN_S = 10


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Loads everything, and unloads everything but `stuck`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    def RepositoryModelLoad(self, request, context):  # noqa: N802
        self.asked.append(f"load {request.model_name}")
        return service_pb2.RepositoryModelLoadResponse()

    def RepositoryModelUnload(self, request, context):  # noqa: N802
        self.asked.append(f"unload {request.model_name}")
        if request.model_name == "stuck":
            context.abort(grpc.StatusCode.INTERNAL, "it is in use")
        return service_pb2.RepositoryModelUnloadResponse()


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    fake = FakeTriton()
    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    fake.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    server.stop(None).wait()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks at the repository follow each other closely."""
    monkeypatch.setattr(models, "_WATCH_S", 0.02)


@asynccontextmanager
async def following(followed: Models) -> AsyncIterator[asyncio.Task[None]]:
    """Follow meanwhile; what is there has been seen when the block begins."""
    task = asyncio.create_task(followed.follow())
    while followed._known is None and not task.done():
        await asyncio.sleep(0.01)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until_said(events: list[Event], message: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not any(message in event.message for event in events):
            await asyncio.sleep(0.01)


async def test_a_malformed_configuration_is_a_warning_and_the_others_are_loaded(
    triton: FakeTriton, tmp_path: Path
) -> None:
    linear_model(tmp_path, "good")
    broken = linear_model(tmp_path, "broken").folder / "config.pbtxt"
    broken.write_text("max_batch_size: {{{\n")
    events: list[Event] = []
    await Models(tmp_path, triton.url, "float32", events.append).load_all()
    assert sorted(triton.asked) == ["load broken_masked", "load good", "load good_masked"]
    warnings = [event.message for event in events if event.kind is Kind.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("broken did not load")


async def test_a_change_whose_build_failed_is_tried_again(
    triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = iter([BuildFailed("the builder was killed"), None])

    async def build(repository: Path, progress: Progress) -> None:
        if error := next(outcomes):
            raise error

    monkeypatch.setattr(models, "build_models", build)
    linear_model(tmp_path, "old")
    events: list[Event] = []
    followed = Models(tmp_path, triton.url, "float32", events.append)
    async with following(followed) as failing:
        linear_model(tmp_path, "new")
        with pytest.raises(BuildFailed):
            await asyncio.wait_for(failing, WITHIN_S)
    async with following(followed):
        await until_said(events, "loaded new_masked")
    assert triton.asked == ["load new", "load new_masked"]


async def test_what_comes_while_models_are_built_is_built_next(
    triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[list[str]] = []
    config = linear_model(tmp_path / "elsewhere", "late").folder / "config.pbtxt"

    async def build(repository: Path, progress: Progress) -> None:
        built.append(sorted(path.name for path in repository.iterdir()))
        if len(built) == 1:  # a copy begins, and its last file is there only after the build
            late = repository / "late"
            shutil.copytree(config.parent, late)
            (late / "config.pbtxt").unlink()
        else:
            shutil.copy(config, repository / "late")

    monkeypatch.setattr(models, "build_models", build)
    repository = tmp_path / "repository"
    repository.mkdir()
    events: list[Event] = []
    async with following(Models(repository, triton.url, "float32", events.append)):
        linear_model(repository, "early")
        await until_said(events, "loaded late")
    assert built == [["early", "early_masked"], ["early", "early_masked", "late"]]


async def test_a_model_that_stays_is_not_called_unloaded(
    triton: FakeTriton, tmp_path: Path
) -> None:
    for name in ("goes", "stuck"):
        linear_model(tmp_path, name)
    events: list[Event] = []
    async with following(Models(tmp_path, triton.url, "float32", events.append)):
        shutil.rmtree(tmp_path / "stuck")
        shutil.rmtree(tmp_path / "goes")
        await until_said(events, "stuck_masked")
    assert [(e.kind, e.message) for e in events] == [
        (Kind.DONE, "unloaded goes"),
        (Kind.DONE, "unloaded goes_masked"),
        (Kind.WARNING, "stuck was not unloaded: it is in use"),
        (Kind.DONE, "unloaded stuck_masked"),
    ]
