"""The supervisor at work: deaths, folders that come and go, two systems, the command's life."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import psutil
import pytest

from pellucid.cards import DIGEST_PARAMETER
from pellucid.embedded.commands import SystemState, down, status, up
from pellucid.embedded.errors import EmbeddedError, PortTaken
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.system import EmbeddedSystem, EmbeddedTriton
from pellucid.lifecycle import Kind, LifecycleEvent
from pellucid.repository.model_control import ModelControl
from pellucid.repository.unloadable import WAITS
from tests.support import prometheus
from tests.support.known_models import binary_model, linear_model
from tests.support.triton_client import infer
from tests.support.waiting import wait_until


def ready_models(url: str) -> set[str]:
    return {model.name for model in ModelControl(url).index() if model.state == "READY"}


def digests(url: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Digests of the weights of models that are ready; empty for one that is not."""
    configs = [ModelControl(url).config(name) for name in names]
    return tuple(
        config.parameters[DIGEST_PARAMETER].string_value if config else "" for config in configs
    )


def reason(url: str, name: str) -> str:
    """Why a model is not ready, as Triton's index says."""
    return "".join(model.reason for model in ModelControl(url).index() if model.name == name)


@pytest.fixture(scope="module")
def events() -> list[LifecycleEvent]:
    return []


@pytest.fixture(scope="module")
def own(
    tmp_path_factory: pytest.TempPathFactory, events: list[LifecycleEvent]
) -> Iterator[tuple[EmbeddedTriton, Path]]:
    """A Triton that may be mistreated, and its repository."""
    repository = tmp_path_factory.mktemp("repository")
    linear_model(repository)
    state = tmp_path_factory.mktemp("state")
    with EmbeddedTriton(repository, state, watch=True, listener=events.append) as system:
        yield system, repository


def test_the_start_is_told_in_order(
    own: tuple[EmbeddedTriton, Path], events: list[LifecycleEvent]
) -> None:
    kinds = [event.kind for event in events if event.subject == "system"]
    assert kinds[:2] == [Kind.STEP, Kind.READY]


def test_a_system_is_ready_with_its_first_models_and_the_others_say_that_they_wait(
    tmp_path: Path,
) -> None:
    for name in ("early", "late"):
        (linear_model(tmp_path / "repository", name).folder / "config.pbtxt").unlink()
    settings = SystemSettings(
        repository=tmp_path / "repository",
        state_dir=tmp_path / "state",
        services=("triton",),
        first=frozenset({"early"}),
    )
    with EmbeddedSystem(settings) as system:
        assert ready_models(system.triton_url) == {"early", "early_masked"}
        assert WAITS in reason(system.triton_url, "late")
        wait_until(lambda: {"late", "late_masked"} <= ready_models(system.triton_url))


def test_a_folder_dropped_in_is_loaded_and_goes_when_it_is_removed(
    own: tuple[EmbeddedTriton, Path], tmp_path: Path
) -> None:
    system, repository = own
    source = binary_model(tmp_path).folder
    (source / "config.pbtxt").unlink()

    shutil.copytree(source, repository / "binary")
    wait_until(lambda: {"binary", "binary_masked"} <= ready_models(system.triton_url))

    shutil.rmtree(repository / "binary")
    wait_until(lambda: not {"binary", "binary_masked"} & ready_models(system.triton_url))
    assert "linear" in ready_models(system.triton_url)


def test_a_broken_folder_is_a_warning_and_a_reason_in_tritons_index_and_harms_no_other(
    own: tuple[EmbeddedTriton, Path], events: list[LifecycleEvent]
) -> None:
    system, repository = own
    (repository / "broken").mkdir()
    (repository / "broken" / "card.yaml").write_text("name: broken\n")
    wait_until(lambda: any(e.kind is Kind.WARNING and e.subject == "broken" for e in events))
    wait_until(lambda: "not built: broken/card.yaml" in reason(system.triton_url, "broken"))
    assert "linear" in ready_models(system.triton_url)
    shutil.rmtree(repository / "broken")


def test_a_configuration_that_cannot_be_read_is_a_warning_and_harms_no_other(
    own: tuple[EmbeddedTriton, Path], events: list[LifecycleEvent]
) -> None:
    system, repository = own
    (repository / "malformed" / "1").mkdir(parents=True)
    (repository / "malformed" / "1" / "model.onnx").touch()
    (repository / "malformed" / "config.pbtxt").write_text("max_batch_size: {{{\n")
    wait_until(lambda: any(e.kind is Kind.WARNING and e.subject == "malformed" for e in events))
    assert system.service("triton").state == "ready"
    assert "linear" in ready_models(system.triton_url)
    shutil.rmtree(repository / "malformed")


def test_other_weights_under_the_same_version_are_never_ready_beside_the_old_ones(
    own: tuple[EmbeddedTriton, Path], tmp_path: Path
) -> None:
    system, repository = own
    model = binary_model(repository, "changing")
    pair = ("changing", "changing_masked")
    wait_until(lambda: set(pair) <= ready_models(system.triton_url))
    before = digests(system.triton_url, pair)

    other = binary_model(tmp_path, "changing", seed=5)
    shutil.copy(other.folder / "1" / "model.onnx", model.folder / "1" / "model.onnx")
    seen: set[tuple[str, ...]] = set()

    def changed() -> bool:
        now = digests(system.triton_url, pair)
        seen.add(now)
        return "" not in now and now != before

    wait_until(changed)
    after = digests(system.triton_url, pair)
    assert len(set(after)) == 1
    # In between, one of them was away: a look every tenth of a second cannot miss it.
    assert ("", "") in seen
    assert all(len({digest for digest in look if digest}) <= 1 for look in seen)
    inputs = np.ones((1, *model.card.preprocess.shape), np.float32)
    served = infer(system.triton_url, "changing", input=inputs)
    np.testing.assert_allclose(served, other.logits(inputs), atol=1e-4)
    shutil.rmtree(model.folder)


def test_a_killed_triton_comes_back_with_its_models(own: tuple[EmbeddedTriton, Path]) -> None:
    system, _ = own
    before = system.service("triton")

    os.kill(before.pid, signal.SIGKILL)
    wait_until(lambda: system.service("triton").restarts == 1)
    wait_until(lambda: system.service("triton").state == "ready")

    after = system.service("triton")
    assert after.url == before.url
    assert after.pid != before.pid
    assert {"linear", "linear_masked"} <= ready_models(system.triton_url)


def test_a_triton_that_lost_a_process_of_a_model_is_started_again(
    own: tuple[EmbeddedTriton, Path],
) -> None:
    system, _ = own
    before = system.service("triton")
    stub = next(child for child in psutil.Process(before.pid).children() if "stub" in child.name())
    stub.kill()
    wait_until(lambda: system.service("triton").restarts == before.restarts + 1)
    wait_until(lambda: system.service("triton").state == "ready")
    assert {"linear", "linear_masked"} <= ready_models(system.triton_url)


def test_a_taken_port_is_said_before_anything_is_started(
    own: tuple[EmbeddedTriton, Path], tmp_path: Path
) -> None:
    system, repository = own
    port = int(system.triton_url.rpartition(":")[2])
    settings = SystemSettings(
        repository=repository, state_dir=tmp_path, services=("triton",), ports={"triton": port}
    )
    with (
        pytest.raises(PortTaken, match=f"port {port} for triton .* process .*tritonserver"),
        EmbeddedSystem(settings),
    ):
        pass
    assert status(tmp_path).state is SystemState.DOWN


def test_a_repository_that_is_not_there_is_said(tmp_path: Path) -> None:
    settings = SystemSettings(repository=tmp_path / "nowhere", state_dir=tmp_path / "state")
    with pytest.raises(EmbeddedError, match="nowhere"):
        up(settings.model_copy(update={"gateway_port": 0}), detach=True)


def test_a_detached_system_runs_beside_another_until_it_is_put_down(
    own: tuple[EmbeddedTriton, Path], tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    (tmp_path / "repository").mkdir()
    linear_model(repository)
    shutil.rmtree(repository / "linear_masked")
    settings = SystemSettings(
        repository=repository, state_dir=tmp_path / "state", services=("triton",)
    )
    events: list[LifecycleEvent] = []

    now = up(settings, detach=True, listener=events.append)

    assert now.state is SystemState.READY
    assert {model.name for model in now.models} == {"linear", "linear_masked"}
    assert now.url("triton") != own[0].triton_url
    assert any(
        (event.kind, event.subject, event.message) == (Kind.DONE, "linear", "built")
        for event in events
    )
    with pytest.raises(EmbeddedError, match="is running"):
        up(settings, detach=True)

    assert down(settings.state_dir)
    assert status(settings.state_dir).state is SystemState.DOWN
    assert not down(settings.state_dir)


@pytest.mark.skipif(not prometheus.is_installed(), reason=prometheus.MISSING)
def test_prometheus_watches_the_other_services_with_the_alerts(tmp_path: Path) -> None:
    settings = SystemSettings(
        repository=tmp_path, state_dir=tmp_path / "state", services=("prometheus", "preprocess")
    )
    with EmbeddedSystem(settings) as system:
        url = system.service("prometheus").url
        watching = prometheus.Prometheus(f"http://{url}")
        wait_until(lambda: watching.samples('up{job="preprocess"}') == [1])
        wait_until(lambda: bool(watching.samples("sum(pellucid_preprocess_workers)")))
        assert status(settings.state_dir).state is SystemState.READY
        with urlopen(f"http://{url}/api/v1/rules") as answer:
            assert "PellucidPeerDown" in answer.read().decode()


def test_only_allowed_models_are_built_and_loaded(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for name in ("wanted", "other"):
        linear_model(repository, name)
        shutil.rmtree(repository / f"{name}_masked")
    settings = SystemSettings(
        repository=repository,
        state_dir=tmp_path / "state",
        services=("triton",),
        models=frozenset({"wanted"}),
    )
    with EmbeddedSystem(settings) as system:
        assert ready_models(system.triton_url) == {"wanted", "wanted_masked"}
    assert not (repository / "other_masked").exists()
