"""A repository followed while it and its Triton change."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pellucid.lifecycle import Kind, LifecycleEvent, Listener
from pellucid.repository.build_process import Settled
from pellucid.repository.errors import BuilderFailed
from pellucid.repository.folder import model_folders
from pellucid.repository.follower import Build, Follower
from pellucid.repository.model_control import ModelControl
from pellucid.repository.unloadable import WAITS
from tests.support.known_models import linear_model
from tests.unit.repository.fakes import FakeTriton, serving

WITHIN_S = 60
PAIR = {"linear", "linear_masked"}


async def build_nothing(
    repository: Path,
    listener: Listener,
    allowed: Collection[str] | None,
    *,
    settled: Settled,
    **options: Any,
) -> dict[str, str]:
    """Find everything current."""
    for folder in model_folders(repository, allowed):
        settled(folder.name)
    return {}


@asynccontextmanager
async def following(
    repository: Path, url: str, build: Build = build_nothing
) -> AsyncIterator[list[LifecycleEvent]]:
    """Follow meanwhile, with short pauses; gives the events."""
    events: list[LifecycleEvent] = []
    follower = Follower(
        repository, ModelControl(url), listener=events.append, build=build, period_s=0.02, gap_s=0
    )
    task = asyncio.create_task(follower.follow())
    yield events
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_models_come_and_go_with_their_folders(triton: FakeTriton, tmp_path: Path) -> None:
    async with following(tmp_path, triton.url):
        linear_model(tmp_path)
        await until(lambda: set(triton.ready) == PAIR)
        shutil.rmtree(tmp_path / "linear")
        await until(lambda: not triton.ready)


async def test_a_triton_that_was_started_anew_gets_its_models_again(
    triton: FakeTriton, tmp_path: Path
) -> None:
    linear_model(tmp_path)
    async with following(tmp_path, triton.url):
        await until(lambda: set(triton.ready) == PAIR)
        triton.restart()
        await until(lambda: set(triton.ready) == PAIR)


async def test_a_follower_builds_before_triton_is_there_and_loads_when_it_comes(
    tmp_path: Path,
) -> None:
    built = asyncio.Event()

    async def build(
        repository: Path, listener: Listener, allowed: Collection[str] | None, **options: Any
    ) -> dict[str, str]:
        built.set()
        return await build_nothing(repository, listener, allowed, **options)

    linear_model(tmp_path)
    with serving(FakeTriton()) as gone:
        pass
    async with following(tmp_path, gone.url, build) as events:
        await asyncio.wait_for(built.wait(), WITHIN_S)
        with serving(gone):
            await until(lambda: set(gone.ready) == PAIR)
    assert [event.kind for event in events].count(Kind.WARNING) == 1


async def test_a_build_that_failed_is_tried_again(triton: FakeTriton, tmp_path: Path) -> None:
    outcomes = iter([BuilderFailed("the builder was killed"), RuntimeError("no such thing")])

    async def build(
        repository: Path, listener: Listener, allowed: Collection[str] | None, **options: Any
    ) -> dict[str, str]:
        if error := next(outcomes, None):
            raise error
        return await build_nothing(repository, listener, allowed, **options)

    linear_model(tmp_path)
    async with following(tmp_path, triton.url, build) as events:
        await until(lambda: set(triton.ready) == PAIR)
    warnings = [event.message for event in events if event.kind is Kind.WARNING]
    assert [warning.partition(";")[0] for warning in warnings] == [
        "the builder was killed",
        "no such thing",
    ]


async def test_a_model_is_built_again_when_its_detector_comes_or_changes(
    triton: FakeTriton, tmp_path: Path
) -> None:
    builds = 0

    async def build(
        repository: Path, listener: Listener, allowed: Collection[str] | None, **options: Any
    ) -> dict[str, str]:
        nonlocal builds
        builds += 1
        return await build_nothing(repository, listener, allowed, **options)

    detector = linear_model(tmp_path).folder / "1/detector.safetensors"
    async with following(tmp_path, triton.url, build):
        await until(lambda: set(triton.ready) == PAIR)
        for content in (b"one", b"another"):
            before = builds
            detector.write_bytes(content)
            await until(lambda before=before: builds > before)


async def test_what_comes_while_models_are_built_is_built_next(
    triton: FakeTriton, tmp_path: Path
) -> None:
    built: list[list[str]] = []
    config = linear_model(tmp_path / "elsewhere", "late").folder / "config.pbtxt"

    async def build(
        repository: Path, listener: Listener, allowed: Collection[str] | None, **options: Any
    ) -> dict[str, str]:
        built.append(sorted(path.name for path in repository.iterdir()))
        if len(built) == 1:  # a copy begins, and its last file is there only after the build
            late = repository / "late"
            shutil.copytree(config.parent, late)
            (late / "config.pbtxt").unlink()
        else:
            shutil.copy(config, repository / "late")
        return await build_nothing(repository, listener, allowed, **options)

    repository = tmp_path / "repository"
    linear_model(repository, "early")
    async with following(repository, triton.url, build):
        await until(lambda: "late" in triton.ready)
    assert built[:2] == [["early", "early_masked"], ["early", "early_masked", "late"]]


async def test_the_first_models_are_loaded_before_the_others_are_built_and_each_when_it_is(
    triton: FakeTriton, tmp_path: Path
) -> None:
    """A build of one model ends only when the one before it is loaded."""
    asked: list[tuple[Collection[str] | None, bool]] = []

    async def build(
        repository: Path,
        listener: Listener,
        allowed: Collection[str] | None,
        *,
        settled: Settled,
        in_background: bool,
        **options: Any,
    ) -> dict[str, str]:
        asked.append((allowed, in_background))
        for name in allowed or ("first", "then", "zuletzt"):
            settled(name)
            if allowed is None:
                await until(lambda name=name: name in triton.ready)
        return {}

    for name in ("first", "then", "zuletzt"):
        linear_model(tmp_path, name)
    follower = Follower(
        tmp_path, ModelControl(triton.url), first={"first"}, build=build, period_s=0.02, gap_s=0
    )
    await follower.build()
    await follower.load()
    assert set(triton.ready) == {"first", "first_masked"}
    assert {name for name, why in triton.reasons.items() if WAITS in why} == {"then", "zuletzt"}
    following = asyncio.create_task(follower.follow())
    await until(lambda: {"then_masked", "zuletzt_masked"} <= set(triton.ready))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert asked[:2] == [(frozenset({"first"}), False), (None, True)]


async def test_a_build_ends_with_the_follower(triton: FakeTriton, tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def build(
        repository: Path, listener: Listener, allowed: Collection[str] | None, **options: Any
    ) -> dict[str, str]:
        try:
            begun.set()
            await asyncio.sleep(WITHIN_S)
        finally:
            ended.set()
        return {}

    linear_model(tmp_path)
    async with following(tmp_path, triton.url, build):
        await asyncio.wait_for(begun.wait(), WITHIN_S)
    assert ended.is_set()
