"""The explanation methods: a module for each, and the registry that lists them."""

from typing import Final

from explain_service.methods.grad_cam import GradCam
from explain_service.methods.integrated_gradients import IntegratedGradients
from explain_service.methods.kernel_shap import KernelShap
from explain_service.methods.lime import Lime
from explain_service.methods.occlusion import Occlusion
from explain_service.methods.partition_shap import PartitionShap
from explain_service.methods.registry import MethodRegistry

METHODS: Final = MethodRegistry(
    (Lime(), KernelShap(), PartitionShap(), Occlusion(), GradCam(), IntegratedGradients())
)
"""What a server explains with by default."""

__all__ = ["METHODS", "MethodRegistry"]
