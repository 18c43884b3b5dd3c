"""What the machine has beside the model's device changes nothing."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils import cpp_extension
from torch.utils._python_dispatch import TorchDispatchMode

import methods
from methods import adapters, contract
from methods.peft_method import on_device

if TYPE_CHECKING:
    from pathlib import Path


class Operators(TorchDispatchMode):
    """Writes down the operators that are computed, and the types of their results."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.seen.append(f"{func} {getattr(result, 'dtype', None)}")
        return result


@pytest.fixture
def old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU beside the processor, as far as anybody is told who asks; one that can't multiply bf16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: False)


def _steps(name: str) -> tuple[list[str], torch.Tensor]:
    """Return what a method computes in a few steps on the processor, and what it predicts then."""
    method = methods.get(name)()
    with Operators() as operators:
        module = contract.adapted(method, contract.tiny_gpt2)
        contract.train(method, module)
        return operators.seen, contract.logits(module)


ASKING = ["lora_fa", "monteclora", "randlora"]
"""What peft computes on what the machine has, if it is let."""


@pytest.fixture(scope="module")
def alone() -> dict[str, tuple[list[str], torch.Tensor]]:
    """What is computed where there is no GPU; the first time, libraries compute a little that they keep."""
    _steps(ASKING[0])
    return {name: _steps(name) for name in ASKING}


@pytest.mark.parametrize("name", ASKING)
def test_a_gpu_that_is_not_used_changes_no_operator(
    name: str, alone: dict[str, tuple[list[str], torch.Tensor]], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("old_gpu")
    operators, predicted = _steps(name)
    assert operators == alone[name][0]
    torch.testing.assert_close(predicted, alone[name][1], rtol=0, atol=0)


def test_an_adapter_is_loaded_onto_its_models_device(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    saved = contract.adapted(methods.get("lora")(), contract.tiny_gpt2)
    adapters.save(saved, tmp_path)
    request.getfixturevalue("old_gpu")
    loaded = adapters.load(contract.tiny_gpt2(), tmp_path)
    torch.testing.assert_close(contract.logits(loaded), contract.logits(saved), rtol=0, atol=0)


def test_on_a_gpu_peft_is_told_so_and_afterwards_asks_for_itself() -> None:
    from peft.optimizers import lorafa

    before = lorafa.infer_device, lorafa.is_bf16_available
    with on_device(torch.device("cuda", 1)):
        assert (lorafa.infer_device(), lorafa.is_bf16_available) == ("cuda", before[1])
    assert (lorafa.infer_device, lorafa.is_bf16_available) == before


def test_no_extension_is_built_behind_a_users_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """peft's BOFT would compile one, and warn of each of its layers where it can't."""
    built: list[str] = []
    monkeypatch.setattr(cpp_extension, "load", lambda name, **_: built.append(name))
    method = methods.get("boft")()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        module = method.apply(contract.tiny_gpt2())
    contract.train(method, module)
    adapters.save(module, tmp_path)
    assert adapters.merge(adapters.load(contract.tiny_gpt2(), tmp_path)) is not None
    assert built == []
