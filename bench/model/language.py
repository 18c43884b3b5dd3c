"""What a causal backbone's checkpoint has for modelling language: the head that a classifier leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from bench.model.weights import WRAPPED, quiet

if TYPE_CHECKING:
    from bench.spec import BackboneRef


class LanguageHead:
    """The language-modelling head that belongs to an adapted module, as transformers computes it.

    Where it is tied to the token embeddings, it is to those of the module; else its weights are the checkpoint's.
    Raises ValueError where the checkpoint lacks them.
    """

    def __init__(self, ref: BackboneRef, module: nn.Module) -> None:
        adapted: Any = next(part for part in module.modules() if isinstance(part, PreTrainedModel))
        embeddings = adapted.get_input_embeddings().weight
        config = AutoConfig.from_pretrained(ref.folder, local_files_only=True, trust_remote_code=False)
        config.num_hidden_layers = 0  # of the checkpoint nothing is read but embeddings, the last norm and the head
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                ref.folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                key_mapping={WRAPPED: ""},
                dtype=embeddings.dtype,
                output_loading_info=True,
            )
        model, loading = loaded
        if loading["missing_keys"]:
            raise ValueError(f"the checkpoint lacks {', '.join(sorted(loading['missing_keys']))}")
        output = model.get_output_embeddings()
        tied = output.weight is model.get_input_embeddings().weight
        self._given = _Given()
        setattr(model, model.base_model_prefix, self._given)
        self._model = model.to(embeddings.device).eval()
        if tied:
            output.weight = embeddings

    def __call__(self, states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of the tokens that follow, [texts, t, vocabulary].

        `states` [texts, t, width] are the pretrained part's last ones of the tokens `ids` [texts, t].
        """
        self._given.states = states
        logits: torch.Tensor = self._model(input_ids=ids).logits
        return logits


class _Given(nn.Module):
    """Stands for the pretrained part and returns states that were computed elsewhere."""

    states: torch.Tensor

    @property
    def decoder(self) -> nn.Module:
        """OPT's head asks a part of the pretrained part."""
        return self

    def forward(self, *_: object, **__: object) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=self.states)
