"""GPT-2 for training on a CPU: the same function as transformers', in bfloat16 and with a loss in pieces."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import GPT2Config, GPT2LMHeadModel

LOSS_ROWS = 1024
"""Tokens whose logits exist at a time: 32 MB of them at a vocabulary of 8,192, which a cache holds."""


class Network(nn.Module):
    """Parameters are kept in float32 and rounded to `dtype` where they are multiplied."""

    def __init__(self, config: GPT2Config, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.dtype = config, dtype
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.01)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """Tokens (batch, length) whose positions begin at offsets (batch,) -> states (batch, length, width)."""
        positions = offsets[:, None] + torch.arange(tokens.shape[1], device=tokens.device)
        states = (self.wte(tokens) + self.wpe(positions)).to(self.dtype)
        for block in self.blocks:
            states = block(states)
        return _norm(self.ln_f, states)

    def loss(self, sequences: Tensor, offsets: Tensor) -> Tensor:
        """The mean cross entropy in nats of each token after the first; sequences (batch, length + 1)."""
        states = self(sequences[:, :-1], offsets)
        targets = sequences[:, 1:].flatten()
        loss: Tensor = TiedCrossEntropy.apply(states.flatten(0, 1), self.wte.weight, targets)  # type: ignore[no-untyped-call]
        return loss

    def matrices(self) -> list[nn.Parameter]:
        """What Muon is for: the blocks' weights of two dimensions."""
        return [parameter for parameter in self.blocks.parameters() if parameter.ndim == 2]

    def others(self) -> list[nn.Parameter]:
        matrices = {id(parameter) for parameter in self.matrices()}
        return [parameter for parameter in self.parameters() if id(parameter) not in matrices]


class Block(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        width = config.n_embd
        self.heads = config.n_head
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.attn_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.mlp_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (self.c_attn, self.c_fc, self.attn_proj, self.mlp_proj):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        for layer in (self.attn_proj, self.mlp_proj):
            nn.init.zeros_(layer.weight)

    def forward(self, states: Tensor) -> Tensor:
        states = states + _linear(self.attn_proj, self._attend(_linear(self.c_attn, _norm(self.ln_1, states))))
        hidden = F.gelu(_linear(self.c_fc, _norm(self.ln_2, states)), approximate="tanh")
        return states + _linear(self.mlp_proj, hidden)

    def _attend(self, fused: Tensor) -> Tensor:
        """Written out: at these lengths twice as fast on a CPU as PyTorch's fused kernel, forward and backward."""
        batch, length, width = fused.shape[0], fused.shape[1], fused.shape[2] // 3
        query, key, value = fused.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        later = torch.full((length, length), float("-inf"), dtype=fused.dtype, device=fused.device).triu(1)
        scores = query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5 + later
        mixed: Tensor = scores.softmax(-1) @ value
        return mixed.transpose(1, 2).reshape(batch, length, width)


def _linear(layer: nn.Linear, states: Tensor) -> Tensor:
    return F.linear(states, layer.weight.to(states.dtype), layer.bias.to(states.dtype))


def _norm(layer: nn.LayerNorm, states: Tensor) -> Tensor:
    return F.layer_norm(states.float(), layer.normalized_shape, layer.weight, layer.bias).to(states.dtype)


class TiedCrossEntropy(torch.autograd.Function):
    """Cross entropy of `states @ weight.T` without ever holding all logits: gradients are made on the way."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        rounded = weight.to(states.dtype)
        states_gradient, weight_gradient = torch.empty_like(states), torch.zeros_like(weight)
        total = torch.zeros((), device=states.device)
        for start in range(0, len(states), LOSS_ROWS):
            rows = slice(start, start + LOSS_ROWS)
            target = targets[rows, None]
            log_p = (states[rows] @ rounded.T).float().log_softmax(-1)
            total -= log_p.gather(1, target).sum()
            error = log_p.exp_()
            error.scatter_add_(1, target, error.new_full(target.shape, -1.0))
            scaled = error.div_(len(states)).to(states.dtype)
            states_gradient[rows] = scaled @ rounded
            weight_gradient += scaled.T @ states[rows]
        ctx.save_for_backward(states_gradient, weight_gradient)
        return total / len(states)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        states_gradient, weight_gradient = ctx.saved_tensors  # type: ignore[attr-defined]
        return states_gradient * gradient.to(states_gradient.dtype), weight_gradient * gradient, None


def to_transformers(network: Network) -> GPT2LMHeadModel:
    """The same weights as transformers lays them out (its Conv1D holds a linear layer's weight transposed)."""
    model = GPT2LMHeadModel(network.config)
    names = {"attn_proj": "attn.c_proj", "c_attn": "attn.c_attn", "mlp_proj": "mlp.c_proj", "c_fc": "mlp.c_fc"}
    state = {}
    for name, value in network.state_dict().items():
        renamed = f"transformer.{name.replace('blocks.', 'h.')}"
        for ours, theirs in names.items():
            renamed = renamed.replace(f".{ours}.", f".{theirs}.")
        state[renamed] = value.T.contiguous() if "blocks" in name and value.ndim == 2 else value
    state["lm_head.weight"] = state["transformer.wte.weight"]
    model.load_state_dict(state)
    model.eval()
    return model
