"""The client's public names, and that they mirror the contracts."""

from pellucid import client
from pellucid.api.explain.v1 import methods_pb2
from pellucid.client import Baseline, ScoreSpace
from pellucid.client._encoding import BASELINES, SCORE_SPACES


def test_public_names_are_sorted_and_exist() -> None:
    assert list(client.__all__) == sorted(client.__all__)
    assert all(hasattr(client, name) for name in client.__all__)


def test_every_choice_of_the_contract_is_offered() -> None:
    assert len(BASELINES) == len(Baseline) == len(methods_pb2.Baseline.values()) - 1
    assert len(SCORE_SPACES) == len(ScoreSpace) == len(methods_pb2.ScoreSpace.values()) - 1
