"""AdaLoRA: low-rank updates in the form of a singular value decomposition, whose ranks share a shrinking budget."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from methods.base import LearningRate  # noqa: TC001
from methods.errors import MethodError
from methods.peft_method import PeftMethod, classification
from methods.registry import register
from methods.spaces import ALPHA, Range
from methods.targets import Targets, resolve_targets

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from methods.base import Plan


@register
class AdaLora(PeftMethod):
    """W x + alpha · B E A x, E diagonal; entries of E that matter least go to zero, until `target_r` a layer are left.

    The budget stays at `init_r` for the first 4% of the steps and at `target_r` for the last 10%, the shares of peft's
    own comparison.
    """

    name: ClassVar[str] = "adalora"
    trains: ClassVar[str] = "a low-rank update of the targeted layers whose ranks adapt, and the head"
    paper: ClassVar[str] = "Zhang et al. 2023, arXiv 2303.10512"
    family: ClassVar[str] = "lora-family"
    learning_rate_source: ClassVar[str] = "peft's example of AdaLoRA (examples/conditional_generation)"
    searched: ClassVar[Mapping[str, Range]] = {"alpha": ALPHA}
    defaults_source: ClassVar[str] = "peft's defaults; alpha and schedule from peft's example and its comparison"
    identity_at_start: ClassVar[bool] = True
    peft_type: ClassVar[str] = "ADALORA"
    peft_names: ClassVar[Mapping[str, str]] = {"alpha": "lora_alpha", "targets": "target_modules"}

    init_r: Annotated[int, Field(ge=1, le=1024)] = 12
    target_r: Annotated[int, Field(ge=1, le=1024)] = 8
    alpha: Annotated[int, Field(ge=1, le=65536)] = 32
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.85
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.85
    orth_reg_weight: Annotated[float, Field(ge=0)] = 0.5
    targets: Targets = None
    learning_rate: LearningRate = 1e-3

    @classmethod
    def of_length(cls, steps: int) -> dict[str, Any]:
        """Return the schedule for so many steps."""
        return {"total_step": steps, "tinit": round(0.04 * steps), "tfinal": round(0.1 * steps)}

    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return peft's configuration with the schedule for the run's steps. Raises MethodError without a plan."""
        from peft import AdaLoraConfig
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_ADALORA_TARGET_MODULES_MAPPING as BY_ARCHITECTURE

        if plan is None:
            raise MethodError("adalora spreads its budget over the steps of a run: apply(model, Plan(epochs, steps))")
        return AdaLoraConfig(
            init_r=self.init_r,
            target_r=self.target_r,
            lora_alpha=self.alpha,
            beta1=self.beta1,
            beta2=self.beta2,
            orth_reg_weight=self.orth_reg_weight,
            **self.of_length(plan.steps),
            target_modules=resolve_targets(self.name, model, self.targets, BY_ARCHITECTURE),
            **classification(model),
        )

    def after_step(self, module: nn.Module, step: int) -> None:
        """Move the budget on; the gradients of the step are still there, and say what matters."""
        adapted: Any = module
        adapted.base_model.update_and_allocate(step)

    def penalty(self, module: nn.Module) -> Tensor:
        """Return `orth_reg_weight` times the mean of ||P Pᵀ - I|| over all A and Bᵀ (the paper's equation 4)."""
        import torch

        distances = []
        for name, parameter in module.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                rows = parameter if ".lora_A." in name else parameter.T
                distances.append(torch.linalg.matrix_norm(rows @ rows.T - torch.eye(len(rows), device=rows.device)))
        return self.orth_reg_weight * torch.stack(distances).mean()
