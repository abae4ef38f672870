"""The client and the command against the whole system."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pellucid.cli import app
from pellucid.client import (
    AsyncClient,
    Client,
    ExplainedInput,
    Grid,
    KernelShap,
    Label,
    Lime,
    MethodProgress,
    Occlusion,
    PartitionShap,
    ScoreSpace,
)
from pellucid.embedded.system import EmbeddedSystem
from pellucid.errors import MethodUnavailable, UnknownLabel, UnreadableMedia
from tests.integration.system import media

PATCH = "planted_patch"
PERTURBATIONS = [
    Lime(samples=200),
    KernelShap(samples=200),
    PartitionShap(evaluations=100),
    Occlusion(),
]


def test_every_method_finds_the_planted_patch(system: EmbeddedSystem) -> None:
    with Client(system.gateway_url) as client:
        events = list(
            client.explain(
                media.image(),
                PATCH,
                methods=PERTURBATIONS,
                target="patch",
                score_space=ScoreSpace.LOGIT,
                baseline="black",
                segmentation=Grid(rows=8, columns=8),
                seed=3,
            )
        )
        assert isinstance(events[0], ExplainedInput)
        assert any(isinstance(event, MethodProgress) for event in events)
        result = client.explain_all(media.image(), PATCH, methods=PERTURBATIONS, target="patch")
    assert result.comparison is not None
    for method in PERTURBATIONS:
        explanation = result.get(method.name, "patch")
        row, column = np.unravel_index(explanation.map.argmax(), explanation.map.shape)
        assert 8 <= row < 16, method.name
        assert 16 <= column < 24, method.name
        assert explanation.receipt.input_digest == result.input.window.digest


async def test_both_clients_get_the_same_bytes(system: EmbeddedSystem) -> None:
    methods = [Lime(samples=100), KernelShap(samples=100)]
    with Client(system.gateway_url) as client:
        one = client.explain_all(media.image(), PATCH, methods=methods, seed=5)
    async with AsyncClient(system.gateway_url) as patient:
        other = await patient.explain_all(media.image(), PATCH, methods=methods, seed=5)
    for mine, theirs in zip(one.explanations, other.explanations, strict=True):
        np.testing.assert_array_equal(mine.map, theirs.map)


def test_errors_come_back_as_the_family(system: EmbeddedSystem) -> None:
    with Client(system.gateway_url) as client:
        with pytest.raises(UnreadableMedia):
            client.classify(media.image()[:200], PATCH)
        with pytest.raises(UnknownLabel) as caught:
            client.explain_all(media.image(), PATCH, target=Label("nothing"))
        assert caught.value.field
        with pytest.raises(MethodUnavailable):
            client.explain_all(media.image(), PATCH, methods="grad_cam")


def test_the_command_explains_and_writes(
    system: EmbeddedSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "film.png"
    film.write_bytes(media.image())
    monkeypatch.setenv("PELLUCID_URL", system.gateway_url)
    arguments = ["explain", str(film), "--model", PATCH, "--methods", "lime,occlusion", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["prediction"]["model"] == PATCH
    assert Path(answer["files"]["page"]).is_file()
    with np.load(answer["files"]["archive"], allow_pickle=False) as archive:
        assert archive[f"lime.{answer['targets'][0]['label']}.map"].shape == (32, 32)
