"""What one copy keeps to itself when many use it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from explain_service.tick import Tick
from torch import nn

from explain_service.gradient import grad_cam, integrated_gradients
from explain_service.gradient.model import Score
from explain_service.gradient.torch_copy import TorchCopy
from explain_service.methods import GradCam, IntegratedGradients
from tests.twins import torch_twin, twin_card


def hooks(module: nn.Module) -> int:
    return sum(
        len(one._forward_hooks) + len(one._forward_pre_hooks) + len(one._backward_hooks)
        for one in module.modules()
    )


def test_no_hooks_and_no_gradients_are_left_behind(ask):
    module = torch_twin().train()
    card = twin_card("torch")
    copy = TorchCopy(card, module, 4)
    question = ask(card, 0, 1)
    grad_cam.explain(GradCam(layer="features"), question, copy, Tick(total=1))
    integrated_gradients.explain(IntegratedGradients(steps=5), question, copy, Tick(total=5))
    assert hooks(module) == 0
    assert not any(value.requires_grad or value.grad is not None for value in module.parameters())
    assert not any(one.training for one in module.modules())


def test_no_hooks_are_left_behind_by_a_failure(ask):
    module = torch_twin()
    card = twin_card("torch")
    copy = TorchCopy(card, module, 4)
    too_small = ask(card).input[None, :2]
    with pytest.raises(RuntimeError):
        copy.layer_cam(too_small, "features", Score(0, False))
    assert hooks(module) == 0


def test_a_copy_whose_card_names_an_unknown_layer_is_refused():
    facts = {"framework": "torch", "builder": "torch_twin", "grad_cam_layers": ["nope"]}
    with pytest.raises(ValueError, match="nope"):
        TorchCopy(twin_card("torch", architecture=facts), torch_twin(), 4)


def test_requests_at_once_get_the_bytes_they_would_get_alone(twin, framework, ask):
    card = twin_card(framework)
    questions = [
        ask(card, target, probability=bool(target % 2), baseline=0.1 * place)
        for place in range(2)
        for target in range(3)
    ]

    def explain(question):
        maps = grad_cam.explain(GradCam(layer="first"), question, twin, Tick(total=1))
        maps += integrated_gradients.explain(
            IntegratedGradients(steps=5), question, twin, Tick(total=9)
        )
        return [one.map.tobytes() for one in maps]

    alone = [explain(question) for question in questions]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(explain, questions * 2))
    assert together == alone * 2
