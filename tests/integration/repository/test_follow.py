"""The repository's commands beside a Triton that was started by somebody else."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pellucid.cards import PRECISION_PARAMETER
from pellucid.embedded.system import EmbeddedTriton
from pellucid.repository.model_control import ModelControl
from tests.support.known_models import linear_model
from tests.support.triton_client import infer
from tests.support.waiting import wait_until


@contextmanager
def following(repository: Path, url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "pellucid.repository", "follow", str(repository))
    with subprocess.Popen(
        [*command, "--triton", url, "--json", *options], stdout=subprocess.PIPE, text=True
    ) as follower:
        yield follower
        follower.terminate()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedTriton, Path]]:
    """A Triton over an empty folder, which nothing else fills or follows."""
    repository = tmp_path_factory.mktemp("repository")
    with EmbeddedTriton(repository, tmp_path_factory.mktemp("state")) as system:
        yield system, repository


def ready(url: str) -> set[str]:
    return {model.name for model in ModelControl(url).index() if model.state == "READY"}


def test_a_follower_builds_and_loads_for_a_triton_of_somebody_else(
    bare: tuple[EmbeddedTriton, Path],
) -> None:
    system, repository = bare
    model = linear_model(repository)
    shutil.rmtree(repository / "linear_masked")
    linear_model(repository, "unwanted")
    with following(repository, system.triton_url, "--models", "linear") as follower:
        wait_until(lambda: ready(system.triton_url) == {"linear", "linear_masked"})
        config = ModelControl(system.triton_url).config("linear")
        assert config is not None
        assert config.parameters[PRECISION_PARAMETER].string_value == "float32"
        inputs = np.ones((1, *model.card.preprocess.shape), np.float32)
        served = infer(system.triton_url, "linear", input=inputs)
        np.testing.assert_allclose(served, model.logits(inputs), atol=1e-4)
        shutil.rmtree(repository / "linear")
        wait_until(lambda: not ready(system.triton_url))
        follower.terminate()
        said = [json.loads(line) for line in follower.communicate()[0].splitlines()]
    assert follower.returncode == 0
    assert {"linear"} <= {event["subject"] for event in said if event["message"] == "built"}
