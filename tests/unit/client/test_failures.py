"""How the client's calls fail: the server's errors, deadlines, broken streams, files not sent."""

from pathlib import Path

import grpc
import pytest

from pellucid.client import (
    AsyncClient,
    Client,
    IncompleteExplanation,
    Partial,
    ResultBuilder,
    ServerError,
)
from pellucid.errors import (
    BackendUnavailable,
    DeadlineTooShort,
    MediaLimitExceeded,
    QueueFull,
    UnknownModel,
)
from tests.support.fake_gateway import FakeGateway
from tests.support.gateway_responses import picture, png

PNG = png(picture(26, 32))


def test_errors_of_the_family_come_back_as_they_were_raised(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.errors.append(QueueFull("full", remedy="come back", retry_after_s=2.5, limit="8"))
    with pytest.raises(QueueFull) as caught:
        client.explain_all(PNG, "xray", request_id="mine")
    assert caught.value.retry_after_s == 2.5
    assert caught.value.metadata["limit"] == "8"
    assert caught.value.metadata["request_id"] == "mine"
    gateway.errors.append(UnknownModel("no such model", field="model"))
    with pytest.raises(UnknownModel):
        client.classify(PNG, "nope")


def test_a_bug_of_the_server_names_the_request(client: Client, gateway: FakeGateway) -> None:
    gateway.errors.append(grpc.StatusCode.INTERNAL)
    with pytest.raises(ServerError) as caught:
        client.classify(PNG, "xray", request_id="mine")
    assert caught.value.code == "INTERNAL"
    assert caught.value.request_id == "mine"


def test_a_unary_call_is_retried_while_the_server_is_unavailable(
    client: Client, gateway: FakeGateway
) -> None:
    gateway.errors += [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE]
    assert client.classify(PNG, "xray").top_label == "other"
    assert len(gateway.requests) == 3


def test_an_explanation_is_not_begun_twice(client: Client, gateway: FakeGateway) -> None:
    gateway.errors.append(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(BackendUnavailable):
        client.explain_all(PNG, "xray")
    assert len(gateway.requests) == 1


def test_an_address_without_a_server_is_an_unavailable_backend() -> None:
    with Client("localhost:1", deadline_s=5) as client, pytest.raises(BackendUnavailable):
        client.capabilities()


def test_the_deadline_travels_and_ends_the_call(client: Client, gateway: FakeGateway) -> None:
    gateway.endless = True
    with pytest.raises(IncompleteExplanation) as caught:
        client.explain_all(PNG, "xray", methods="lime", deadline=0.5)
    assert isinstance(caught.value.error, DeadlineTooShort)
    assert gateway.timeouts[-1] is not None
    assert gateway.timeouts[-1] < 1


@pytest.mark.parametrize("error", [QueueFull("full"), grpc.StatusCode.UNAVAILABLE])
def test_the_maps_that_came_before_a_stream_breaks_are_kept(
    client: Client, gateway: FakeGateway, error: QueueFull | grpc.StatusCode
) -> None:
    gateway.breaks_after["occlusion"] = error
    with pytest.raises(IncompleteExplanation) as caught:
        client.explain_all(PNG, "xray", methods=["lime", "occlusion", "kernel_shap"])
    result = caught.value.result
    assert [(one.method, one.finished) for one in result.explanations] == [("lime", True)]
    assert [(one.method, one.finished) for one in result.partials] == [("occlusion", False)]
    assert result.maps == result.explanations + result.partials
    assert result.comparison is None
    assert caught.value.__cause__ is caught.value.error
    assert isinstance(caught.value.error, QueueFull | BackendUnavailable)


async def test_the_asynchronous_client_keeps_them_too(url: str, gateway: FakeGateway) -> None:
    gateway.breaks_after["occlusion"] = grpc.StatusCode.INTERNAL
    async with AsyncClient(url) as client:
        with pytest.raises(IncompleteExplanation) as caught:
            await client.explain_all(PNG, "xray", methods=["lime", "occlusion"])
    assert [one.method for one in caught.value.result.maps] == ["lime", "occlusion"]
    assert isinstance(caught.value.error, ServerError)


def test_a_finished_map_takes_the_place_of_its_partial_one(client: Client) -> None:
    gathered = ResultBuilder()
    for event in client.explain(PNG, "xray", methods="lime"):
        gathered.add(event)
        if isinstance(event, Partial):
            assert [one.finished for one in gathered.result().maps] == [False]
    assert [one.finished for one in gathered.result().maps] == [True]


def test_leaving_the_events_cancels_the_call(client: Client, gateway: FakeGateway) -> None:
    gateway.endless = True
    events = client.explain(PNG, "xray", methods="lime")
    next(events)
    events.close()  # type: ignore[attr-defined]
    client.capabilities()  # the connection still works
    for _ in range(200):
        if gateway.cancelled:
            break
        client.capabilities()
    assert gateway.cancelled


def test_a_file_past_the_servers_limit_is_not_sent(client: Client, gateway: FakeGateway) -> None:
    with pytest.raises(MediaLimitExceeded) as caught:
        client.classify(b"\0" * ((20 << 20) + 1), "xray")
    assert caught.value.field == "content"
    assert caught.value.metadata["limit"] == "max_content_bytes"
    assert caught.value.metadata["maximum"] == str(20 << 20)
    assert [type(request).__name__ for request in gateway.requests] == ["GetCapabilitiesRequest"]


def test_a_file_past_the_clients_own_message_size_is_not_sent(url: str) -> None:
    with (
        Client(url, max_message_bytes=4 << 20) as client,
        pytest.raises(MediaLimitExceeded) as caught,
    ):
        client.classify(b"\0" * (4 << 20), "xray")
    assert caught.value.metadata["limit"] == "max_message_bytes"


def test_a_large_file_below_the_limit_is_sent(client: Client, gateway: FakeGateway) -> None:
    client.classify(b"\0" * (10 << 20), "xray")
    assert len(gateway.requests[-1].content) == 10 << 20


def test_what_is_not_read_is_not_sent(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.classify(tmp_path / "nothing.png", "xray")
