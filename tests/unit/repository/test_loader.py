"""What is loaded, in which order, and what is left alone."""

import shutil
from collections.abc import Collection
from pathlib import Path

import pytest
import yaml

from pellucid.cards import DIGEST_PARAMETER, PRECISION_PARAMETER
from pellucid.lifecycle import Kind, LifecycleEvent, ignore
from pellucid.repository.build import build_model
from pellucid.repository.errors import TritonUnavailable
from pellucid.repository.loader import Loader
from pellucid.repository.model_control import ModelControl
from pellucid.repository.unloadable import WAITS
from tests.support.known_models import linear_model
from tests.unit.repository.fakes import FakeTriton


async def load(
    repository: Path,
    triton: FakeTriton,
    *,
    allowed: set[str] | None = None,
    automatic: str = "float32",
    not_built: dict[str, str] | None = None,
    waiting: Collection[str] = (),
) -> list[LifecycleEvent]:
    """Bring a Triton to a repository, by a loader that was never there before."""
    triton.actions.clear()
    events: list[LifecycleEvent] = []
    control = ModelControl(triton.url)
    loader = Loader(repository, control, allowed=allowed, listener=events.append, gap_s=0)
    await loader.reconcile(automatic, not_built or {}, waiting)
    return events


def change(folder: Path, **fields: object) -> None:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))
    build_model(folder)


def give_other_graph(repository: Path, folder: Path, version: str = "1") -> None:
    other = linear_model(repository.with_name("other"), folder.name, seed=9).folder
    (folder / version).mkdir(exist_ok=True)
    shutil.copy(other / "1" / "model.onnx", folder / version / "model.onnx")


async def test_a_classifier_is_loaded_before_its_masked_graph_and_neither_twice(
    triton: FakeTriton, tmp_path: Path
) -> None:
    linear_model(tmp_path)
    await load(tmp_path, triton)
    assert triton.actions == ["load linear", "load linear_masked"]
    await load(tmp_path, triton)
    assert triton.actions == []


async def test_a_changed_card_is_loaded_in_place(triton: FakeTriton, tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    await load(tmp_path, triton)
    change(folder, title="Another title")
    await load(tmp_path, triton)
    assert triton.actions == ["load linear", "load linear_masked"]


async def test_other_weights_under_the_same_version_replace_both_graphs_by_unloading_them_first(
    triton: FakeTriton, tmp_path: Path
) -> None:
    folder = linear_model(tmp_path / "repository").folder
    await load(folder.parent, triton)
    before = triton.parameter("linear", DIGEST_PARAMETER)
    give_other_graph(folder.parent, folder)
    build_model(folder)
    await load(folder.parent, triton)
    assert triton.actions == [
        "unload linear_masked",
        "unload linear",
        "load linear",
        "load linear_masked",
    ]
    digests = {triton.parameter(name, DIGEST_PARAMETER) for name in triton.ready}
    assert len(digests) == 1
    assert digests != {before}


async def test_another_version_is_loaded_without_a_gap(triton: FakeTriton, tmp_path: Path) -> None:
    folder = linear_model(tmp_path / "repository").folder
    await load(folder.parent, triton)
    give_other_graph(folder.parent, folder, version="2")
    change(folder, version="2")
    await load(folder.parent, triton)
    assert triton.actions == ["load linear", "load linear_masked"]
    versions = [list(c.version_policy.specific.versions) for c in triton.ready.values()]
    assert versions == [[2], [2]]


@pytest.mark.parametrize("card", ["float32", "auto"])
async def test_the_engines_own_precision_is_for_cards_that_leave_the_choice(
    triton: FakeTriton, tmp_path: Path, card: str
) -> None:
    change(linear_model(tmp_path).folder, precision=card)
    await load(tmp_path, triton, automatic="bfloat16")
    said = triton.parameter("linear", PRECISION_PARAMETER)
    assert said == {"float32": "float32", "auto": "bfloat16"}[card]


async def test_only_allowed_models_are_loaded_and_others_are_unloaded(
    triton: FakeTriton, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        linear_model(tmp_path, name)
    await load(tmp_path, triton)
    await load(tmp_path, triton, allowed={"two"})
    assert set(triton.ready) == {"two", "two_masked"}


async def test_what_somebody_else_has_loaded_stays(triton: FakeTriton, tmp_path: Path) -> None:
    linear_model(tmp_path)
    await load(tmp_path, triton)
    foreign = type(triton.ready["linear"])(name="foreign")
    foreign.version_policy.specific.versions.append(1)
    triton.ready["foreign"] = foreign
    await load(tmp_path, triton)
    assert triton.actions == []


async def test_a_malformed_configuration_is_a_warning_in_tritons_index_and_the_others_are_loaded(
    triton: FakeTriton, tmp_path: Path
) -> None:
    linear_model(tmp_path, "good")
    broken = linear_model(tmp_path, "broken").folder / "config.pbtxt"
    broken.write_text("max_batch_size: {{{\n")
    events = await load(tmp_path, triton)
    assert set(triton.ready) == {"good", "good_masked"}
    assert [event.subject for event in events if event.kind is Kind.WARNING] == ["broken"]
    assert "cannot be read" in triton.reasons["broken"]


async def test_a_masked_graph_is_not_loaded_where_its_classifier_is_not(
    triton: FakeTriton, tmp_path: Path
) -> None:
    linear_model(tmp_path)
    triton.failing.add("linear")
    events = await load(tmp_path, triton)
    assert triton.actions == ["load linear"]
    warnings = [event.message for event in events if event.kind is Kind.WARNING]
    assert warnings == ["not loaded: load failed: too large"]


async def test_a_model_that_could_not_be_built_is_in_tritons_index_with_the_reason(
    triton: FakeTriton, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    await load(tmp_path, triton, not_built={"broken": "the weights do not fit"})
    assert triton.reasons == {"broken": "the weights do not fit"}


async def test_a_model_whose_new_state_could_not_be_built_is_served_as_it_was(
    triton: FakeTriton, tmp_path: Path
) -> None:
    linear_model(tmp_path)
    await load(tmp_path, triton, not_built={"linear": "the weights do not fit"})
    assert set(triton.ready) == {"linear", "linear_masked"}
    assert triton.reasons == {}


async def test_a_refused_model_is_tried_again_only_where_triton_has_forgotten(
    triton: FakeTriton, tmp_path: Path
) -> None:
    linear_model(tmp_path)
    triton.failing.add("linear")
    loader = Loader(tmp_path, ModelControl(triton.url), allowed=None, listener=ignore, gap_s=0)
    for _ in range(2):
        await loader.reconcile("float32", {"gone": "no card"})
    assert triton.actions == ["load linear", "load gone"]
    triton.restart()
    await loader.reconcile("float32", {"gone": "no card"})
    assert triton.actions == ["load linear", "load gone"] * 2


async def test_a_model_that_stays_is_not_called_unloaded(
    triton: FakeTriton, tmp_path: Path
) -> None:
    for name in ("goes", "stuck"):
        linear_model(tmp_path, name)
    await load(tmp_path, triton)
    for name in ("goes", "stuck"):
        shutil.rmtree(tmp_path / name)
    events = await load(tmp_path, triton)
    assert [(e.kind, e.subject, e.message) for e in events] == [
        (Kind.DONE, "stuck_masked", "unloaded"),
        (Kind.WARNING, "stuck", "not unloaded: it is in use"),
        (Kind.DONE, "goes_masked", "unloaded"),
        (Kind.DONE, "goes", "unloaded"),
    ]


async def test_a_triton_that_does_not_answer_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(TritonUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        await load(tmp_path, FakeTriton(url="127.0.0.1:1"))


async def test_a_model_that_waits_to_be_built_says_so_in_tritons_index_and_others_are_loaded(
    triton: FakeTriton, tmp_path: Path
) -> None:
    linear_model(tmp_path, "here")
    linear_model(tmp_path, "stale")
    await load(tmp_path, triton, waiting={"stale"})
    assert set(triton.ready) == {"here", "here_masked"}
    assert WAITS in triton.reasons["stale"]
    await load(tmp_path, triton, waiting={"stale"})
    assert triton.actions == []
    await load(tmp_path, triton)
    assert set(triton.ready) == {"here", "here_masked", "stale", "stale_masked"}


async def test_what_is_loaded_stays_while_its_folder_waits_to_be_built(
    triton: FakeTriton, tmp_path: Path
) -> None:
    folder = linear_model(tmp_path).folder
    await load(tmp_path, triton)
    (folder / "config.pbtxt").unlink()  # as a build does for a moment
    await load(tmp_path, triton, waiting={"linear"})
    assert triton.actions == []
    assert set(triton.ready) == {"linear", "linear_masked"}
