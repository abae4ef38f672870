"""What is made of the builder's output and of its end."""

import os
import shutil
from pathlib import Path

import pytest

from pellucid.lifecycle import Kind, LifecycleEvent, ignore
from pellucid.repository.build_process import CURRENT, build_repository
from pellucid.repository.errors import BuilderFailed
from tests.integration.conftest import REPOSITORY as SHIPPED


def builder(*lines: str, then: str = "") -> tuple[str, ...]:
    """A program that writes some lines and then does something else; the folder is its `$0`."""
    return ("/bin/sh", "-c", "\n".join([*(f"echo '{line}'" for line in lines), then]))


def line(kind: Kind, message: str) -> str:
    return LifecycleEvent(kind, "one", message).to_json()


async def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    program = builder(line(Kind.STEP, "building"), "", "a warning", line(Kind.DONE, "built"))
    events: list[LifecycleEvent] = []
    assert await build_repository(tmp_path, events.append, builder=program) == {}
    assert [event.kind for event in events] == [Kind.STEP, Kind.DONE]


async def test_a_model_that_is_not_built_is_a_warning_and_returned(tmp_path: Path) -> None:
    program = builder(line(Kind.WARNING, "not built: no card"), then="exit 1")
    events: list[LifecycleEvent] = []
    failures = await build_repository(tmp_path, events.append, builder=program)
    assert failures == {"one": "not built: no card"}
    assert [event.kind for event in events] == [Kind.WARNING]


async def test_a_builder_that_fails_without_naming_a_model_has_failed(tmp_path: Path) -> None:
    program = builder(then="echo 'ImportError: no onnx' >&2; exit 1")
    with pytest.raises(BuilderFailed, match="status 1: ImportError: no onnx"):
        await build_repository(tmp_path, ignore, builder=program)


async def test_the_builder_is_given_the_folder_and_what_to_build(tmp_path: Path) -> None:
    program = builder(then=f'echo "$0 $@" > {tmp_path}/arguments')
    await build_repository(
        tmp_path, ignore, {"two", "one"}, first={"two"}, force=True, builder=program
    )
    arguments = (tmp_path / "arguments").read_text()
    assert arguments == f"{tmp_path} --models one,two --first two --force\n"


async def test_each_model_is_settled_as_soon_as_it_is_known_what_became_of_it(
    tmp_path: Path,
) -> None:
    lines = (line(Kind.STEP, "building"), line(Kind.DONE, CURRENT), line(Kind.WARNING, "not built"))
    program = builder(*lines, then="exit 1")
    events: list[LifecycleEvent] = []
    settled: list[str] = []
    await build_repository(tmp_path, events.append, settled=settled.append, builder=program)
    assert settled == ["one", "one"]
    assert CURRENT not in [event.message for event in events]


async def test_what_is_built_in_the_background_leaves_the_cores_to_others(tmp_path: Path) -> None:
    program = builder(then=f"nice > {tmp_path}/niceness")
    await build_repository(tmp_path, ignore, in_background=True, builder=program)
    assert int((tmp_path / "niceness").read_text()) > os.nice(0)


async def test_models_of_keras_and_of_torch_are_built_at_once(tmp_path: Path) -> None:
    for name in ("pneumonia_alexnet", "pneumonia_mobilenet_v2", "speech_vgg16"):
        (tmp_path / name).mkdir()
        shutil.copy(SHIPPED / name / "card.yaml", tmp_path / name)
    # Each waits until the other has begun.
    program = builder(
        then=f"""
        echo "$2" >> {tmp_path}/begun
        for second in $(seq 10); do
            [ $(wc -l < {tmp_path}/begun) = 2 ] && exit 0
            sleep 1
        done
        exit 3"""
    )
    await build_repository(tmp_path, ignore, builder=program)
    assert sorted((tmp_path / "begun").read_text().split()) == [
        "pneumonia_alexnet",
        "pneumonia_mobilenet_v2,speech_vgg16",
    ]
