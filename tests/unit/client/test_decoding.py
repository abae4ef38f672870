"""What may be absent in an answer is None in the client."""

from pellucid.api.explain.v1.explanation_pb2 import Agreement, Comparison
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.client import Comparison as Compared
from pellucid.client import _decoding


def test_maps_that_cannot_be_compared_have_no_numbers() -> None:
    pairs = [Agreement(label="a"), Agreement(label="a", rank_correlation=0, top_overlap=0)]
    message = gateway_pb2.ExplainResponse(comparison=Comparison(agreements=pairs))
    comparison = _decoding.event(message)
    assert isinstance(comparison, Compared)
    absent, present = comparison.agreements
    assert (absent.rank_correlation, absent.top_overlap) == (None, None)
    assert (present.rank_correlation, present.top_overlap) == (0, 0)
