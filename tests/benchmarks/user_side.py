"""What a user would write without the harness: GPT-2 adapted by peft, as the documentation shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def user_model(method: str, folder: Path, styles: int, **settings: Any) -> Any:
    """Return the GPT-2 in `folder` with a head for so many styles, adapted with the harness's hyperparameters.

    `settings` replace those of its config.json.
    """
    import peft
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=styles, **settings)
    if method in ("frozen", "head"):
        model.requires_grad_(False)
        model.score.requires_grad_(True)
        return model
    configs = {
        "lora": lambda: peft.LoraConfig(
            task_type="SEQ_CLS", r=8, lora_alpha=32, target_modules=["c_attn"], fan_in_fan_out=True
        ),
        "ia3": lambda: peft.IA3Config(task_type="SEQ_CLS"),
        "prefix": lambda: peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=20),
    }
    return peft.get_peft_model(model, configs[method]())
