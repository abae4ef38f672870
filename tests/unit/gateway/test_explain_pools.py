"""Explain services that answer for some models alone."""

import pytest

from pellucid.api.explain.v1.methods_pb2 import Lime, Method
from pellucid.api.gateway.v1.gateway_pb2 import (
    ExplainRequest,
    GetCapabilitiesRequest,
    PlanExplainRequest,
)
from tests.unit.gateway.conftest import Stage
from tests.unit.gateway.fakes import Explain, card

KERAS = {"framework": "keras", "grad_cam_layers": ["last"]}
LIME = Method(lime=Lime())


@pytest.fixture
def pools() -> dict[str, Explain]:
    """One for a framework, one for a model of that framework."""
    return {"keras": Explain(), "special": Explain()}


@pytest.mark.parametrize(
    ("model", "network", "explained_by"),
    [("shade", None, "default"), ("tone", KERAS, "keras"), ("special", KERAS, "special")],
)
async def test_a_model_is_explained_where_its_name_or_else_its_framework_says(
    stage: Stage,
    pools: dict[str, Explain],
    model: str,
    network: dict[str, object] | None,
    explained_by: str,
) -> None:
    stage.load(card(model, **({"architecture": network} if network else {})))
    async for _ in stage.stub.Explain(ExplainRequest(model=model, content=b"file", methods=[LIME])):
        pass
    await stage.stub.PlanExplain(PlanExplainRequest(model=model, methods=[LIME]))
    services = {"default": stage.explain, **pools}
    for name, service in services.items():
        assert len(service.asked) == len(service.planned) == (name == explained_by)


async def test_capabilities_ask_each_for_its_own_models(
    stage: Stage, pools: dict[str, Explain]
) -> None:
    stage.load(card("tone", architecture=KERAS))
    pools["keras"].knows = ["tone"]
    # Who is not in charge of a model has nothing to say about it.
    stage.explain.knows = []
    models = (await stage.stub.GetCapabilities(GetCapabilitiesRequest())).models
    available = {model.name: [one.available for one in model.methods] for model in models}
    assert any(available["tone"])
    assert not any(available["shade"])


async def test_models_of_the_others_are_explained_while_a_pool_is_away(
    stage: Stage, pools: dict[str, Explain]
) -> None:
    pools["keras"].fails = RuntimeError("away")
    async for _ in stage.stub.Explain(
        ExplainRequest(model="shade", content=b"file", methods=[LIME])
    ):
        pass
    assert stage.explain.asked
