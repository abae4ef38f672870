"""A running system as its models and services come and go."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml
from tritonclient.grpc import InferenceServerClient

from explain_service.settings import ExplainSettings
from pellucid.api.explain.v1.methods_pb2 import KernelShap, Lime, Method
from pellucid.api.gateway.v1.gateway_pb2 import (
    ClassifyRequest,
    ExplainRequest,
    GetCapabilitiesRequest,
)
from pellucid.api.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from pellucid.cards import Card
from pellucid.embedded.health import HEALTH_SERVICES, is_serving
from pellucid.embedded.settings import SystemSettings
from pellucid.embedded.system import EmbeddedSystem
from tests.integration.system import media
from tests.support.known_models import IMAGE, linear_model, write_linear
from tests.support.waiting import WITHIN_S, wait_until

PICTURE = media.image()


def models(gateway: Any, media_type: str = "") -> dict[str, Any]:
    answer = gateway.GetCapabilities(GetCapabilitiesRequest(media_type=media_type))
    return {model.name: model for model in answer.models}


def offered(gateway: Any, name: str) -> bool:
    found = models(gateway).get(name)
    return found is not None and any(method.available for method in found.methods)


def explained_version(gateway: Any, name: str) -> str:
    """Which version of a model a short explanation is of; empty where there is none."""
    methods = [Method(lime=Lime(samples=10))]
    request = ExplainRequest(model=name, content=PICTURE, methods=methods)
    version = ""
    with suppress(grpc.RpcError):
        for event in gateway.Explain(request, timeout=WITHIN_S):
            version = event.explanation.receipt.model_version or version
    return version


@pytest.fixture
def slow(gateway: Any, system_repository: Path, tmp_path: Path) -> Iterator[str]:
    """Name of a model over 224 by 224 pixels in colour, for as long as a test runs."""
    facts = {
        **linear_model(tmp_path).card.model_dump(mode="json", exclude_defaults=True),
        "name": "slow",
        "preprocess": {
            **IMAGE,
            "height": 224,
            "width": 224,
            "channels": 3,
            "mean": [0.5] * 3,
            "std": [0.25] * 3,
        },
    }
    weights = np.random.default_rng(3).normal(0, 1e-3, (3, 3, 224, 224)).astype(np.float32)
    card = Card.model_validate(facts)
    source = write_linear(tmp_path, card, weights, np.zeros(3, np.float32)).folder
    (source / "config.pbtxt").unlink()
    shutil.copytree(source, system_repository / "slow")
    # A test before this one may have left another version, which goes when this one comes.
    wait_until(lambda: explained_version(gateway, "slow") == "1")
    yield "slow"
    shutil.rmtree(system_repository / "slow")
    wait_until(lambda: "slow" not in models(gateway))


def test_models_are_told_by_the_file_in_hand(gateway: Any) -> None:
    assert set(models(gateway, "image/png")) == {"planted_patch", "binary"}
    assert set(models(gateway, "audio/flac")) == {"planted_tone"}


def test_prediction_and_maps_are_of_one_tensor(gateway: Any) -> None:
    methods = [Method(lime=Lime(samples=50)), Method(kernel_shap=KernelShap(samples=50))]
    request = ExplainRequest(model="planted_patch", content=PICTURE, methods=methods)
    events = list(gateway.Explain(request))
    kinds = [event.WhichOneof("event") for event in events]
    assert (kinds[0], kinds[-1]) == ("prediction", "comparison")
    explained = events[0].prediction
    digest = explained.prediction.windows[0].input_digest
    maps = [event.explanation for event in events if event.WhichOneof("event") == "explanation"]
    assert [each.method for each in maps] == ["lime", "kernel_shap"]
    assert {each.receipt.input_digest for each in maps} == {explained.window.digest} == {digest}
    (target,) = events[1].targets.targets
    for each in maps:
        assert (each.target.label, each.target.index) == (target.label, target.index)
        assert each.target.score == pytest.approx(target.score, abs=1e-5)


def test_a_long_recording_is_explained_where_its_target_is_loudest(gateway: Any) -> None:
    samples = media.tone(3.0)
    samples[: 2 * media.RATE] *= 1e-3
    content = media.sound(samples)
    request = ExplainRequest(
        model="planted_tone", content=content, methods=[Method(lime=Lime(samples=50))]
    )
    events = gateway.Explain(request)
    explained = next(events).prediction
    (target,) = next(events).targets.targets
    windows = explained.prediction.windows
    assert len(windows) == 5
    scores = [window.scores[target.index].score for window in windows]
    assert explained.window_index == scores.index(max(scores))
    assert explained.window.start_seconds == windows[explained.window_index].start_seconds
    assert len(explained.window.axes.time_seconds) == 63


def test_the_request_id_is_in_every_services_log(system: EmbeddedSystem, gateway: Any) -> None:
    request = ExplainRequest(
        model="planted_patch", content=PICTURE, methods=[Method(lime=Lime(samples=10))]
    )
    list(gateway.Explain(request, metadata=(("x-request-id", "follow-me"),)))

    def logged(name: str) -> bool:
        lines = Path(system.service(name).log).read_text().splitlines()
        return any(
            json.loads(line).get("request_id") == "follow-me"
            for line in lines
            if line.startswith("{")
        )

    wait_until(lambda: all(logged(name) for name in ("gateway", "preprocess", "explain")))


def test_the_request_id_reaches_triton(system: EmbeddedSystem, gateway: Any) -> None:
    request = ExplainRequest(
        model="planted_patch", content=PICTURE, methods=[Method(lime=Lime(samples=10))]
    )
    with InferenceServerClient(system.triton_url) as client:
        # Triton tells the ids of requests that succeed only when it is talkative.
        client.update_log_settings({"log_verbose_level": 1})
        try:
            list(gateway.Explain(request, metadata=(("x-request-id", "follow-me-down"),)))
        finally:
            client.update_log_settings({"log_verbose_level": 0})

    def told(masked: bool) -> bool:
        lines = Path(system.service("triton").log).read_text().splitlines()
        mine = [line for line in lines if "follow-me-down" in line]
        return any(("planted_patch_masked" in line) is masked for line in mine)

    wait_until(lambda: told(masked=True) and told(masked=False))


LONG = Method(lime=Lime(samples=10_000))
LONGER = Method(kernel_shap=KernelShap(samples=20_000))


def begin_long_explanation(gateway: Any, model: str, *methods: Method) -> tuple[Any, Any]:
    """A call that has many masks left, and how far it is."""
    methods = methods or (LONG,)
    call = gateway.Explain(ExplainRequest(model=model, content=PICTURE, methods=methods))
    for event in call:
        if event.progress.calls_done > 0:
            assert event.progress.calls_done < event.progress.calls_total
            return call, event.progress
    raise AssertionError("it ended before it was under way")


def begin_when_it_is_loaded(gateway: Any, model: str, *methods: Method) -> Any:
    """The same, of a model that is being loaded again, and so not there for moments."""
    end = time.monotonic() + WITHIN_S
    while True:
        try:
            call, _ = begin_long_explanation(gateway, model, *methods)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return call


def test_after_a_cancel_triton_is_asked_no_more(
    system: EmbeddedSystem, gateway: Any, slow: str
) -> None:
    with InferenceServerClient(system.triton_url) as client:

        def asked() -> int:
            statistics = client.get_inference_statistics(f"{slow}_masked")
            return int(statistics.model_stats[0].inference_stats.success.count)

        before = asked()
        call, progress = begin_long_explanation(gateway, slow)
        call.cancel()
        time.sleep(0.5)
        count = asked()
        time.sleep(1)
        assert asked() == count
        whole = progress.calls_total / ExplainSettings().masks_per_call
        assert 0 < count - before < whole / 2


def test_a_system_that_is_put_down_ends_its_explanations_with_what_there_is(
    system_repository: Path, slow: str, tmp_path: Path
) -> None:
    settings = SystemSettings(
        repository=system_repository,
        state_dir=tmp_path / "own",
        gateway_port=0,
        models=frozenset({slow}),
        watch=False,
        variables={"PELLUCID_EXPLAIN_GRACE_S": "4"},
    )
    with ThreadPoolExecutor(1) as reader:
        with EmbeddedSystem(settings) as own:
            channel = grpc.insecure_channel(own.gateway_url)
            call, _ = begin_long_explanation(GatewayServiceStub(channel), slow, LONG, LONGER)
            events = reader.submit(list, call)
        maps = [event.explanation for event in events.result() if event.HasField("explanation")]
    channel.close()
    assert [each.method for each in maps] == ["lime", "kernel_shap"]
    assert maps[-1].truncated


def add_version(folder: Path, version: str) -> None:
    shutil.copytree(folder / "1", folder / version)
    card = folder / "card.yaml"
    facts = yaml.safe_load(card.read_text(encoding="utf-8"))
    card.write_text(yaml.safe_dump(facts | {"version": version}), encoding="utf-8")


def explain_until_served(
    gateway: Any, model: str, version: str, call: Any
) -> list[tuple[str, bool]]:
    """One explanation after the other; the failures of the first that has any, if one has."""
    for _ in range(30):
        events = []
        with suppress(grpc.RpcError):  # where no method has a map, the call fails too
            events.extend(call)
        maps = [event.explanation for event in events if event.WhichOneof("event") == "explanation"]
        failures = [event.failure for event in events if event.WhichOneof("event") == "failure"]
        assert [each.method for each in (*maps, *failures)] == ["lime", "kernel_shap"]
        versions = {each.receipt.model_version for each in maps}
        assert len(versions) <= 1
        if failures:
            assert version not in versions
            return [(each.reason, each.retriable) for each in failures]
        if versions == {version}:  # it was loaded between two explanations
            return []
        call = begin_when_it_is_loaded(gateway, model, LONG, LONGER)
    raise AssertionError(f"version {version} was not loaded")


def errors_in_log(system: EmbeddedSystem, service: str) -> list[str]:
    lines = Path(system.service(service).log).read_text().splitlines()
    return [line for line in lines if '"level": "error"' in line]


def test_no_map_rests_on_two_versions_of_a_model(
    system: EmbeddedSystem, gateway: Any, system_repository: Path, slow: str
) -> None:
    # How soon a version is built and loaded is not known: mostly during an explanation.
    for version in ("2", "3", "4"):
        call = begin_when_it_is_loaded(gateway, slow, LONG, LONGER)
        add_version(system_repository / slow, version)
        failures = explain_until_served(gateway, slow, version, call)
        if failures:
            break
    assert set(failures) == {("MODEL_CHANGED", True)}, errors_in_log(system, "explain")

    methods = [Method(lime=Lime(samples=20))]
    request = ExplainRequest(model=slow, content=PICTURE, methods=methods)
    (explained,) = (
        event.explanation
        for event in gateway.Explain(request)
        if event.WhichOneof("event") == "explanation"
    )
    assert explained.receipt.model_version == version


def test_predictions_are_answered_while_explanations_run(gateway: Any, slow: str) -> None:
    """Told by the order of events, not by a clock: no explanation ends before the predictions."""
    order: list[str] = []
    running = [begin_long_explanation(gateway, slow)[0] for _ in range(2)]  # as many as workers

    def follow(call: Any) -> None:
        order.extend("explained" for event in call if event.WhichOneof("event") == "explanation")

    with ThreadPoolExecutor(len(running)) as threads:
        followed = [threads.submit(follow, call) for call in running]
        for name in ("planted_patch", slow) * 5:
            gateway.Classify(ClassifyRequest(model=name, content=PICTURE), timeout=WITHIN_S)
            order.append("predicted")
        for work in followed:
            work.result(4 * WITHIN_S)
    assert order == ["predicted"] * 10 + ["explained"] * len(running)


def test_a_dropped_folder_is_offered_explained_and_withdrawn(
    gateway: Any, system_repository: Path, tmp_path: Path
) -> None:
    source = linear_model(tmp_path, "newcomer").folder
    (source / "config.pbtxt").unlink()
    shutil.copytree(source, system_repository / "newcomer")

    wait_until(lambda: offered(gateway, "newcomer"))
    request = ExplainRequest(
        model="newcomer", content=PICTURE, methods=[Method(lime=Lime(samples=20))]
    )
    kinds = [event.WhichOneof("event") for event in gateway.Explain(request)]
    assert (kinds[0], kinds[-1]) == ("prediction", "explanation")

    shutil.rmtree(system_repository / "newcomer")
    wait_until(lambda: "newcomer" not in models(gateway))
    with pytest.raises(grpc.RpcError) as caught:
        gateway.Classify(ClassifyRequest(model="newcomer", content=PICTURE))
    error: Any = caught.value
    assert error.code() in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE}


def test_without_the_explain_service_files_are_still_classified(
    system: EmbeddedSystem, gateway: Any
) -> None:
    def ready(call: str = "") -> bool:
        return is_serving(system.gateway_url, HEALTH_SERVICES["gateway"] + call)

    assert ready() and ready("/Explain")
    os.kill(system.service("explain").pid, signal.SIGKILL)
    wait_until(lambda: not ready("/Explain"))
    assert ready()
    answer = gateway.Classify(ClassifyRequest(model="planted_patch", content=PICTURE))
    assert answer.prediction.top_label == "patch"
    (model,) = (found for name, found in models(gateway).items() if name == "planted_patch")
    assert model.methods
    wait_until(lambda: ready("/Explain"))
    methods = [Method(lime=Lime(samples=20))]
    request = ExplainRequest(model="planted_patch", content=PICTURE, methods=methods)
    assert list(gateway.Explain(request))[-1].WhichOneof("event") == "explanation"
