"""What one copy keeps to itself when many use it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from torch import nn

from explain_service.gradient.model import Head
from explain_service.gradient.torch_copy import TorchCopy
from explain_service.methods.grad_cam import GradCam
from explain_service.methods.integrated_gradients import IntegratedGradients
from explain_service.run_control import RunControl
from pellucid.api.explain.v1 import methods_pb2 as pb
from tests.support.framework_pairs import pair_card, torch_network


def hooks(module: nn.Module) -> int:
    return sum(
        len(one._forward_hooks) + len(one._forward_pre_hooks) + len(one._backward_hooks)
        for one in module.modules()
    )


def explain(model, inputs, layer):
    grad_cam = pb.GradCam(layer=layer, positive_only=True)
    maps = GradCam().attribute(grad_cam, model, inputs, RunControl(total=1))
    path = pb.IntegratedGradients(steps=5)
    maps += IntegratedGradients().attribute(path, model, inputs, RunControl(total=9))
    return [one.map.tobytes() for one in maps]


def test_no_hooks_and_no_gradients_are_left_behind(ask):
    module = torch_network().train()
    card = pair_card("torch")
    explain(TorchCopy(card.architecture, module, 4), ask(card, 0, 1), "features")
    assert hooks(module) == 0
    assert not any(value.requires_grad or value.grad is not None for value in module.parameters())
    assert not any(one.training for one in module.modules())


def test_no_hooks_are_left_behind_by_a_failure(ask):
    module = torch_network()
    card = pair_card("torch")
    copy = TorchCopy(card.architecture, module, 4)
    too_small = ask(card).tensor[None, :2]
    with pytest.raises(RuntimeError):
        copy.layer_cam(too_small, "features", Head(0, 1.0, None))
    assert hooks(module) == 0


def test_a_copy_whose_card_names_an_unknown_layer_is_refused():
    facts = {"framework": "torch", "builder": "torch_network", "grad_cam_layers": ["nope"]}
    card = pair_card("torch", architecture=facts)
    with pytest.raises(ValueError, match="nope"):
        TorchCopy(card.architecture, torch_network(), 4)


def test_requests_at_once_get_the_bytes_they_would_get_alone(network, framework, ask):
    card = pair_card(framework)
    asked = [
        ask(card, target, probability=bool(target % 2), baseline=0.1 * place)
        for place in range(2)
        for target in range(3)
    ]
    alone = [explain(network, inputs, "first") for inputs in asked]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda inputs: explain(network, inputs, "first"), asked * 2))
    assert together == alone * 2
