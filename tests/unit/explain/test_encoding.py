"""Events to the messages of the API."""

from typing import Any

import numpy as np
import pytest

from explain_service.comparison import Agreement
from explain_service.encoding import encode_event
from explain_service.events import (
    Event,
    MapReady,
    MapsCompared,
    MethodFailed,
    MethodProgress,
    RequestAccepted,
    TargetsResolved,
)
from pellucid import tensors
from pellucid.api.explain.v1 import methods_pb2 as pb
from tests.support.explain_runs import Runs, maps
from tests.unit.explain.conftest import Calls

LIME = pb.Method(lime=pb.Lime(samples=50))
OCCLUSION = pb.Method(occlusion=pb.Occlusion())


@pytest.fixture
def told(make_calls: Calls) -> list[Event]:
    """By a run of two methods."""
    events: list[Event] = []
    runs = Runs(make_calls(), partial_every_s=0)
    options: Any = {"score_space": pb.SCORE_SPACE_PROBABILITY, "seed": 7}
    runs.run(events, runs.check(LIME, OCCLUSION, **options))
    return events


def test_every_event_is_a_message_of_its_own(told: list[Event]) -> None:
    kinds = [encode_event(event).WhichOneof("event") for event in told]
    assert kinds[0] == "targets"
    assert kinds[-1] == "comparison"
    assert {"progress", "partial", "explanation"} <= set(kinds)
    accepted = encode_event(RequestAccepted("digest", 3)).accepted
    assert (accepted.input_digest, accepted.queue_position) == ("digest", 3)


def test_targets_have_their_scores_and_the_scale(told: list[Event]) -> None:
    assert isinstance(told[0], TargetsResolved)
    first = encode_event(told[0]).targets.targets[0]
    assert (first.label, first.index) == ("a", 0)
    assert 0 < first.baseline_score < first.score < 1
    assert first.score_space == pb.SCORE_SPACE_PROBABILITY


def test_a_map_has_its_segments_measures_and_receipt(told: list[Event]) -> None:
    ready: MapReady = maps(told)[0]
    found = encode_event(ready).explanation
    assert (found.method, found.title, found.target.label) == ("lime", "LIME", "a")
    assert np.array_equal(tensors.decode(found.map, "map"), ready.map)
    scores = found.segment_scores
    assert len(scores.values) == len(scores.low) == len(scores.high) == 64
    assert [one.name for one in found.trust.measures] == ["r_squared"]
    receipt = found.receipt
    assert receipt.method == pb.Method(lime=pb.Lime(samples=50, kernel_width=0.25, ridge=1))
    assert (receipt.model, receipt.model_version, receipt.seed) == ("model", "1", 7)
    assert receipt.segmentation == pb.Segmentation(grid=pb.Grid(rows=8, columns=8))
    assert receipt.baseline == pb.BASELINE_BLACK
    assert receipt.score_space == pb.SCORE_SPACE_PROBABILITY
    assert len(receipt.input_digest) == 64


def test_a_map_that_is_not_on_segments_has_none_in_its_receipt(told: list[Event]) -> None:
    occlusion = encode_event(maps(told)[-1]).explanation
    assert occlusion.method == "occlusion"
    assert not occlusion.HasField("segment_scores")
    assert not occlusion.receipt.HasField("segmentation")


def test_what_is_not_known_is_absent() -> None:
    begun = encode_event(MethodProgress("lime", 0, 10, 0.0, None)).progress
    assert not begun.HasField("remaining_seconds")
    pair = Agreement("lime", "occlusion", "a", rank_correlation=None, top_overlap=None)
    (found,) = encode_event(MapsCompared((pair,))).comparison.agreements
    assert not found.HasField("rank_correlation")
    assert not found.HasField("top_overlap")


def test_a_failure_says_what_to_do() -> None:
    event = MethodFailed("lime", "BACKEND_UNAVAILABLE", "it is away", "try again", True)
    failure = encode_event(event).failure
    assert (failure.method, failure.reason) == ("lime", "BACKEND_UNAVAILABLE")
    assert (failure.message, failure.remedy, failure.retriable) == ("it is away", "try again", True)
