from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification

import methods
from bench.model.forward import Forward
from bench.spec import TrainingSpec
from bench.training import compute

if TYPE_CHECKING:
    from bench.store.record import Compute

WIDTH, STYLES, LAYERS, VOCABULARY = 32, 3, 2, 100
SIZES: dict[str, Any] = {
    "n_layer": LAYERS,
    "n_embd": WIDTH,
    "n_head": 2,
    "n_positions": 96,
    "vocab_size": VOCABULARY,
    "num_labels": STYLES,
    "use_cache": False,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0),
    **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
}
TRAINING = TrainingSpec(epochs=1, batch_size=4, max_length=64, dtype="fp32", device="cpu")


def measured(name: str, **hyperparameters: object) -> Compute:
    torch.manual_seed(0)
    config = GPT2Config(**SIZES)
    method = methods.get(name)(**hyperparameters)
    module = method.apply(GPT2ForSequenceClassification(config))
    return compute.fixed_step(Forward(module, "cpu", "fp32", 0, STYLES), method, TRAINING, VOCABULARY)


def test_operations_of_a_linear_layer_are_those_counted_by_hand() -> None:
    layer, batch = torch.nn.Linear(5, 7), torch.ones(3, 5, requires_grad=True)
    with compute.Meter([*layer.parameters(), batch]) as meter:
        layer(batch).sum().backward()
    forward = 2 * 3 * 5 * 7
    assert meter.flops == 3 * forward  # the gradients of the weight and of the batch take as much each


@pytest.mark.parametrize("stacked", [(), (2,)])
def test_a_large_product_is_counted_and_held_but_not_computed(stacked: tuple[int, ...]) -> None:
    rows, width = 500, 400
    a, b = torch.ones(*stacked, rows, width), torch.ones(*stacked, width, width)
    copies = 2 if stacked else 1
    with compute.Meter([a, b]) as meter:
        before = meter.live_bytes
        large = a @ b
        small = a[..., :3, :] @ b
    assert meter.flops == copies * 2 * (rows + 3) * width * width
    assert meter.live_bytes - before == 4 * copies * (rows + 3) * width
    assert large.shape == (*stacked, rows, width)
    assert not large.any()
    assert (small == width).all()


def test_attention_on_the_cpu_counts() -> None:
    queries, keys, values = (torch.ones(1, 2, tokens, 8) for tokens in (3, 5, 5))
    with compute.Meter([]) as meter:
        torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    assert meter.flops == 2 * (2 * 3 * 5 * 8) * 2  # scores and their sum over values, two heads


def test_the_peak_is_what_was_alive_together() -> None:
    held = torch.ones(1000)
    with compute.Meter([held]) as meter:
        first = torch.ones(500)
        del first
        second = torch.ones(250)
        view = second.view(25, 10)
    assert meter.peak_bytes == 4 * (1000 + 500)
    assert meter.live_bytes == 4 * (1000 + 250)
    assert view.shape == (25, 10)


def test_the_frozen_backbone_needs_what_its_layers_need() -> None:
    tokens, passages = compute.PASSAGES * compute.TOKENS, compute.PASSAGES
    whole_block = 2 * tokens * 12 * WIDTH**2
    last_block = 2 * tokens * 3 * WIDTH**2 + 2 * passages * 9 * WIDTH**2
    attention = 4 * passages * WIDTH * (compute.TOKENS**2 + compute.TOKENS)
    head = 2 * passages * WIDTH * STYLES
    assert measured("frozen").flops == whole_block + last_block + attention + head


@pytest.mark.parametrize("name", ["frozen", "head", "lora", "ia3", "prefix"])
def test_the_figures_repeat_to_the_digit(name: str) -> None:
    first = measured(name)
    gc.collect()
    assert measured(name) == first


def test_a_larger_adapter_costs_more() -> None:
    small, large = measured("lora", r=2), measured("lora", r=16)
    assert large.flops > small.flops
    assert large.live_peak_bytes > small.live_peak_bytes
    assert measured("head").flops < small.flops
