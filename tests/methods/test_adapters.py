"""Counting, saving, loading and merging an adapted model's own parameters."""

from __future__ import annotations

import copy
import tempfile
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file

import methods
from methods import adapters, contract

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", methods.names())
def test_trainable_is_what_requires_grad_and_count_agrees(name: str) -> None:
    module = contract.adapted(methods.get(name)(), contract.tiny_gpt2)
    trained = adapters.trainable(module)
    assert all(tensor.requires_grad for tensor in trained.values())
    assert adapters.count(module)[0] == sum(tensor.numel() for tensor in trained.values())


@pytest.mark.parametrize("name", ["head", "lora", "ia3", "prefix"])
def test_the_total_is_the_backbone_and_the_adapter_and_no_second_head(name: str) -> None:
    model = contract.tiny_gpt2()
    backbone = sum(parameter.numel() for parameter in model.parameters())
    trained, total = adapters.count(methods.get(name)().apply(model))
    assert total == backbone + trained - contract.STYLES * 64


@pytest.mark.parametrize("name", methods.names())
def test_a_saved_adapter_is_one_file_of_safetensors_without_the_backbone(name: str, tmp_path: Path) -> None:
    module = contract.adapted(methods.get(name)(), contract.tiny_gpt2)
    adapters.save(module, tmp_path)
    files = list(tmp_path.rglob("*.safetensors"))
    assert [file.suffix for file in tmp_path.iterdir() if file.suffix in {".bin", ".pt", ".pth"}] == []
    assert len(files) == 1
    assert (name == "full") == any("wte" in tensor for tensor in load_file(files[0]))
    assert adapters.adapter_bytes(module) == files[0].stat().st_size


def test_the_size_is_known_without_room_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    for name in ("lora", "full"):
        assert adapters.adapter_bytes(methods.get(name)().apply(contract.tiny_gpt2())) > 0


@pytest.mark.parametrize("name", ["frozen", "head", "lora", "ia3", "prefix", "bitfit", "probe", "full"])
def test_a_saved_adapter_is_only_what_trains(name: str, tmp_path: Path) -> None:
    """Some of peft's types save more: matrices that were drawn, say, from which what trains is made."""
    module = methods.get(name)().apply(contract.tiny_gpt2())
    adapters.save(module, tmp_path)
    [file] = tmp_path.rglob("*.safetensors")
    head = contract.STYLES * 64
    assert sum(tensor.numel() for tensor in load_file(file).values()) == max(adapters.count(module)[0], head)


def test_a_folder_without_an_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(methods.MethodError, match="holds no saved adapter"):
        adapters.load(contract.tiny_gpt2(), tmp_path)


def test_a_head_of_another_model_is_refused(tmp_path: Path) -> None:
    adapters.save(methods.get("head")().apply(contract.tiny_gpt2()), tmp_path)
    with pytest.raises(methods.MethodError, match=r"doesn't fit this model: its tensor 'score.weight'"):
        adapters.load(contract.tiny_bert(), tmp_path)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    adapters.save(methods.get("lora")().apply(contract.tiny_gpt2()), tmp_path)
    with pytest.raises(methods.MethodError, match="doesn't fit BertForSequenceClassification"):
        adapters.load(contract.tiny_bert(), tmp_path)


def test_an_adapter_of_a_shallower_model_is_refused(tmp_path: Path) -> None:
    shallow = contract.tiny_gpt2()
    del shallow.get_submodule("transformer.h")[-1]  # type: ignore[operator]
    adapters.save(methods.get("lora")().apply(shallow), tmp_path)
    with pytest.raises(methods.MethodError, match=r"doesn't fit GPT2ForSequenceClassification: .*missing"):
        adapters.load(contract.tiny_gpt2(), tmp_path)


def test_a_loaded_adapter_carries_its_method(tmp_path: Path) -> None:
    adapters.save(methods.get("lora")(alpha=128).apply(contract.tiny_gpt2()), tmp_path)
    loaded = adapters.load(contract.tiny_gpt2(), tmp_path)
    adapters.save(loaded, tmp_path / "again")
    assert (tmp_path / "again/method.json").read_text() == (tmp_path / "method.json").read_text()


def test_only_a_model_that_a_method_was_applied_to_is_saved(tmp_path: Path) -> None:
    with pytest.raises(methods.MethodError, match="no method was applied to this GPT2ForSequenceClassification"):
        adapters.save(contract.tiny_gpt2(), tmp_path)


@pytest.mark.parametrize(("name", "merges"), [("lora", True), ("ia3", True), ("prefix", False), ("head", False)])
def test_merging_leaves_a_plain_backbone_or_nothing(name: str, merges: bool) -> None:
    merged = adapters.merge(methods.get(name)().apply(contract.tiny_gpt2()))
    assert (merged is not None) == merges
    if merged is not None:
        assert type(merged) is type(contract.tiny_gpt2())
        assert sum(p.numel() for p in merged.parameters()) == sum(p.numel() for p in contract.tiny_gpt2().parameters())


def test_merging_into_a_half_precision_backbone_is_done_in_float32() -> None:
    """In bfloat16 the sum of weight and update would be rounded."""
    method = methods.get("lora")()
    module = contract.adapted(method, lambda: contract.in_bfloat16(contract.tiny_gpt2()))
    contract.train(method, module)
    exact = contract.logits(copy.deepcopy(module).float())
    merged = adapters.merge(module)
    assert merged is not None
    assert {p.dtype for p in merged.parameters()} == {torch.float32}
    assert contract.difference(contract.logits(merged), exact) < 1e-4
