"""Measure what a method can do besides learning, on the contract's small models; all of it is counted, nothing timed.

`python -m bench.gates.capabilities [METHOD …]` measures all methods, or some, and keeps it in methods/catalogues.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import warnings
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import methods
from bench.reporting.model import Cell, Column, Row, Table
from bench.training.compute import metered
from methods import MethodError, adapters, contract
from methods.capabilities import LAYERS, Capabilities, Measured, described, file, measured
from methods.conv1d import to_linear
from methods.peft_method import PeftMethod, refusing
from methods.prepare import named_linears

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor
    from transformers import PreTrainedModel

    from methods import Method

    Backbone = Callable[[], PreTrainedModel]

LIBRARIES = ("peft", "torch", "transformers", "bitsandbytes")
MERGED = 1e-4
"""The largest difference between two logits that count as the same after merging, as in the contract."""
ON_QUANTISED = (
    contract.gradient_reaches_every_parameter,
    contract.fresh_one_changes_nothing,
    contract.saved_and_loaded_predicts_the_same,
)
"""The promises that a method keeps on a quantised backbone too, if it works there."""
WIDTH = 64
LONGEST = 160


def measure(kind: type[Method]) -> Capabilities:
    """Measure a method with its defaults. Raises MethodError where it serves no architecture of the contract."""
    method = kind()
    served = dict(_served(method))
    if not served:
        raise MethodError(f"{method.name} serves none of {', '.join(contract.BACKBONES)}")
    with torch.random.fork_rng(), _quiet():
        trained = {name: _trained(method, backbone) for name, backbone in served.items()}
        costs = {name: _costs(method, backbone) for name, backbone in served.items()}
        return Capabilities(
            merges=_common({name: merges for name, (merges, _) in trained.items()}),
            stock=_common({name: stock for name, (_, stock) in trained.items()}),
            operators={name: round(operators, 4) for name, (operators, _) in costs.items()},
            flops={name: round(flops, 4) for name, (_, flops) in costs.items()},
            quantised=_quantised(method, served),
            layers=_layers(method, next(iter(served.values()))),
        )


def table(name: str, found: Capabilities) -> Table:
    """Return what was measured, a row each."""
    rows = [Row((Cell(title), Cell(said))) for title, said in described(name, found=found).items()]
    return Table((Column("capability"), Column(name, limit=LONGEST)), tuple(rows))


def lines(found: Capabilities) -> list[str]:
    """Say what goes wrong on a quantised backbone, or why it wasn't tried."""
    if found.quantised is None:
        return ["A 4-bit backbone isn't tried: that takes bitsandbytes, which isn't installed."]
    return [f"On a 4-bit backbone: {found.quantised}"] if found.quantised else []


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep away what libraries warn of: whatever comes of it is measured."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _served(method: Method) -> Iterator[tuple[str, Backbone]]:
    for name, backbone in contract.BACKBONES.items():
        try:
            with torch.random.fork_rng(), _quiet():
                contract.adapted(method, backbone)
        except MethodError:
            continue
        yield name, backbone


def _common(by_architecture: dict[str, bool | None]) -> dict[str, bool] | None:
    """What is known of each architecture; None where it doesn't apply to a method."""
    return {name: found for name, found in by_architecture.items() if found is not None} or None


def _trained(method: Method, backbone: Backbone) -> tuple[bool | None, bool | None]:
    """Train an adapter; return whether it merges, and whether peft itself loads it onto a stock backbone."""
    from peft import PeftModel

    module = contract.adapted(method, backbone)
    contract.train(method, module)
    expected = contract.logits(module)
    with TemporaryDirectory() as folder:
        adapters.save(module, folder)
        loads = _loads(backbone, folder, expected) if (Path(folder) / "adapter_config.json").exists() else None
    if not isinstance(module, PeftModel):
        return None, loads
    merged = adapters.merge(module)
    return merged is not None and contract.difference(contract.logits(merged), expected) <= MERGED, loads


def _loads(backbone: Backbone, folder: str, expected: Tensor) -> bool:
    from peft import PeftModel

    torch.manual_seed(2)
    try:
        with refusing("peft can't load it"):
            loaded = PeftModel.from_pretrained(contract.backbone_with_another_head(backbone), folder)
            found = contract.logits(loaded)
    except MethodError:
        return False
    return found.shape == expected.shape and contract.difference(found, expected) <= contract.SAME


def _costs(method: Method, backbone: Backbone) -> tuple[float, float]:
    """How many times the operators, and the floating-point operations, of an evaluation without the method it takes."""
    operators, flops = [], []
    for one in (method, methods.get("frozen")()):
        module = contract.adapted(one, backbone)
        contract.logits(module)  # what some compute once, at the first pass
        with metered(module) as meter:
            contract.logits(module)
        operators.append(meter.operators)
        flops.append(meter.flops)
    return operators[0] / operators[1], flops[0] / flops[1]


def _quantised(method: Method, served: dict[str, Backbone]) -> str | None:
    """Say what goes wrong on linear layers in 4 bits, "" where nothing does; None where it can't be tried."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return None
    backbone = served.get("llama") or served.get("bert") or served["gpt2"]
    for check in ON_QUANTISED:
        try:
            check(method, lambda: in_4_bits(backbone()))
        except Exception as error:  # whatever it is, it doesn't work
            return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]
    return ""


def in_4_bits(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model with its pretrained linear layers in 4 bits (NF4), as transformers loads it by bitsandbytes."""
    import bitsandbytes

    quantised: Any = to_linear(model)
    for name, layer in list(named_linears(quantised)):
        kind = bitsandbytes.nn
        new = kind.Linear4bit(
            layer.in_features, layer.out_features, layer.bias is not None, torch.float32, quant_type="nf4"
        )
        new.weight = kind.Params4bit(layer.weight.detach().clone(), requires_grad=False, quant_type="nf4")
        new.bias = layer.bias
        new.support_avx512bf16_for_cpu = False  # some processors' own layout of the weights, which peft can't read
        quantised.set_submodule(name, new.to("cpu"))
    quantised.is_loaded_in_4bit = True
    return model


class _Lone(nn.Module):
    """A model of one layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layer(inputs)
        return found


def _lone(layer: str) -> tuple[nn.Module, Tensor]:
    """Return a layer of that name, and what it can be fed."""
    from transformers.pytorch_utils import Conv1D

    if layer == "Embedding":
        return nn.Embedding(96, WIDTH), torch.arange(12).view(2, 6)
    if layer == "Conv2d":
        return nn.Conv2d(WIDTH, WIDTH, 3), torch.randn(2, WIDTH, 8, 8)
    kinds: dict[str, Callable[[], nn.Module]] = {
        "Linear": lambda: nn.Linear(WIDTH, WIDTH),
        "Conv1D": lambda: Conv1D(WIDTH, WIDTH),
        "LayerNorm": lambda: nn.LayerNorm(WIDTH),
    }
    return kinds[layer](), torch.randn(2, 6, WIDTH)


def _layers(method: Method, backbone: Backbone) -> tuple[str, ...] | None:
    """Return the layers that peft adapts by the method's configuration; None where that names no layers."""
    if not isinstance(method, PeftMethod):
        return None
    config = method.config(to_linear(backbone()), contract.PLAN)
    if config.is_prompt_learning or not hasattr(config, "target_modules"):
        return None
    return tuple(layer for layer in LAYERS if _adapts(method, backbone, layer))


def _adapts(method: PeftMethod, backbone: Backbone, layer: str) -> bool:
    """Tell whether an adapter is put onto a layer, computes, and learns."""
    from peft import get_peft_model

    config: Any = method.config(to_linear(backbone()), contract.PLAN)
    config.task_type = config.modules_to_save = None
    config.target_modules = {"layer"}
    if hasattr(config, "feedforward_modules"):
        config.feedforward_modules = set()
    torch.manual_seed(0)
    lone, inputs = _lone(layer)
    try:
        model: Any = get_peft_model(_Lone(lone), config)
        found = model(inputs)
        found.square().sum().backward()
    except Exception:  # peft has many ways to say that it can't
        return False
    learns = any(p.grad is not None and bool(p.grad.any()) for p in model.parameters() if p.requires_grad)
    return learns and bool(found.isfinite().all())


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide; one that isn't installed is left out."""
    return {name: metadata.version(name) for name in LIBRARIES if importlib.util.find_spec(name)}


def main() -> int:
    """Measure and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", help="default: all")
    asked = parser.parse_args().methods
    names = asked or methods.names()
    known = measured(metadata.version("peft"))
    found = dict(known.methods) if known and asked else {}
    for number, name in enumerate(names, start=1):
        found[name] = measure(methods.get(name))
        kept = Measured(versions=versions(), methods=dict(sorted(found.items())))
        file("capabilities", versions()["peft"]).write_text(kept.model_dump_json(indent=1) + "\n", encoding="utf-8")
        print(f"{number} of {len(names)}: {name}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
