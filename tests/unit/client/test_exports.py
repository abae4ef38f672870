"""The client's public names, and that they mirror the contracts."""

import subprocess
import sys
from dataclasses import fields

import pytest

from pellucid import client
from pellucid.api.explain.v1 import methods_pb2
from pellucid.client.encoding import BASELINES, SCORE_SPACES
from pellucid.client.questions import METHODS, SEGMENTATIONS, Baseline, ScoreSpace


def test_public_names_are_sorted_and_exist() -> None:
    assert list(client.__all__) == sorted(client.__all__)
    assert all(hasattr(client, name) for name in client.__all__)


def test_every_method_of_the_contract_has_its_class() -> None:
    assert list(METHODS) == [field.name for field in methods_pb2.Method.DESCRIPTOR.fields]
    names = [field.name for field in methods_pb2.Segmentation.DESCRIPTOR.fields]
    assert list(SEGMENTATIONS) == names


@pytest.mark.parametrize(
    ("kinds", "message"),
    [(METHODS, methods_pb2.Method), (SEGMENTATIONS, methods_pb2.Segmentation)],
)
def test_every_parameter_of_the_contract_has_its_field(kinds: dict, message: type) -> None:  # type: ignore[type-arg]
    for name, kind in kinds.items():
        contract = message.DESCRIPTOR.fields_by_name[name].message_type  # type: ignore[attr-defined]
        assert [field.name for field in fields(kind)] == [field.name for field in contract.fields]


def test_every_choice_of_the_contract_is_offered() -> None:
    assert len(BASELINES) == len(Baseline) == len(methods_pb2.Baseline.values()) - 1
    assert len(SCORE_SPACES) == len(ScoreSpace) == len(methods_pb2.ScoreSpace.values()) - 1


def test_the_client_needs_nothing_but_the_base_install() -> None:
    heavy = ["torch", "tensorflow", "matplotlib", "tritonclient", "pydantic_settings", "librosa"]
    code = f"import pellucid.client, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
