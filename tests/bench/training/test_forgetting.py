"""What tuning cost in modelling ordinary text: by real small language models, against transformers' own loss."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from in_process import STYLES, nobody, prepared
from safetensors.torch import load_file, save_file
from small import save_model
from torch.nn import functional

import methods
from bench.data import HeldOut, held_out
from bench.model import backbone, weights
from bench.model.forward import Forward
from bench.model.language import LanguageHead
from bench.spec import TrialSpec
from bench.training import forgetting
from bench.training.run import Run

if TYPE_CHECKING:
    from pathlib import Path

TEXT = held_out.read(held_out.EVERYDAY)[:1500]
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Language models: GPT-2, whose head is its token embeddings, and others; Llama's and GPT-NeoX's are their own."""
    folder = tmp_path_factory.mktemp("language-models")
    kinds = ("gpt2", "llama", "opt", "gpt_neox")
    return {kind: save_model(kind, folder / kind, language=True) for kind in kinds}


def forward(model: Path, method: str = "frozen", **hyperparameters: Any) -> Forward:
    """Return a freshly adapted model."""
    torch.manual_seed(0)
    ref = backbone.local(model)
    module = methods.get(method)(**hyperparameters).apply(weights.load(ref, len(STYLES), 0))
    return Forward(module, "cpu", "fp32", backbone.pad_id(ref), len(STYLES))


def text(model: Path) -> HeldOut:
    return HeldOut.of(TEXT, backbone.tokenizer(backbone.local(model)))


def nats(model: Path, read: Forward, longest: int = 64) -> float:
    return forgetting.nats_per_token(read, backbone.local(model), text(model), longest)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "gpt_neox"])
def test_it_is_transformers_own_loss_of_the_language_model(kind: str, models: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(models[kind]).eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for piece in text(models[kind]).pieces(64):
            ids = torch.tensor([piece])
            total += float(model(ids, labels=ids).loss) * (len(piece) - 1)
            count += len(piece) - 1
    assert count == text(models[kind]).predicted(64)
    assert nats(models[kind], forward(models[kind])) == pytest.approx(total / count, abs=ROUNDING)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_head_changes_nothing_and_a_fresh_lora_rounding_at_most(kind: str, models: dict[str, Path]) -> None:
    before = nats(models[kind], forward(models[kind]))
    head = forward(models[kind], "head")
    with torch.no_grad():
        head.module.get_parameter("score.weight").normal_()
    assert nats(models[kind], head) == before
    assert nats(models[kind], forward(models[kind], "lora")) == pytest.approx(before, abs=ROUNDING)


def test_a_run_measures_before_and_after_and_before_is_the_same_for_all(
    models: dict[str, Path], texts: Path, tmp_path: Path
) -> None:
    study = prepared(models["gpt2"], texts, tmp_path / "scratch", max_steps=4)
    outcomes = [study.run(method, learning_rate=0.05) for method in ("lora", "head", "prefix")]
    assert [outcome.notes for outcome in outcomes] == [()] * 3
    [lora, head, prefix] = [outcome.forgetting.model_dump() for outcome in outcomes if outcome.forgetting]
    assert head["after"] == head["before"] == lora["before"]
    held = HeldOut.load(study.scratch)
    assert held is not None
    assert head["tokens"] == lora["tokens"] == held.predicted(128)
    assert prefix["tokens"] == held.predicted(108)  # 20 positions are the prefix's
    assert head["text_sha256"] == hashlib.sha256(held_out.EVERYDAY.read_bytes()).hexdigest()
    for found in (lora, prefix):
        assert abs(found["after"] - found["before"]) > 100 * ROUNDING


def test_a_searchs_trial_does_not_measure_it(models: dict[str, Path], texts: Path, tmp_path: Path) -> None:
    asked = prepared(models["gpt2"], texts, tmp_path / "scratch", max_steps=1).begin("head")
    spec = asked.spec.model_copy(update={"search": TrialSpec(trial=0, space={})})
    assert asked.held_out is not None
    assert Run(replace(asked.job, spec=spec), nobody).outcome().forgetting is None


def test_what_trains_in_tied_embeddings_is_in_the_head_too(models: dict[str, Path]) -> None:
    full = forward(models["gpt2"], "full")
    with torch.no_grad():
        full.module.get_parameter("transformer.wte.weight").mul_(0)
    vocabulary = len(full.module.get_parameter("transformer.wte.weight"))
    assert nats(models["gpt2"], full) == pytest.approx(np.log(vocabulary), abs=ROUNDING)


@pytest.mark.parametrize(
    ("kind", "method"), [("gpt2", "lora"), ("gpt2", "prefix"), ("gpt2", "prompt_tuning"), ("llama", "prefix")]
)
def test_it_reads_the_text_as_a_classifier_does_packed_or_padded(
    kind: str, method: str, models: dict[str, Path]
) -> None:
    """What the classification head reads of a text is the state from which its next token is predicted."""
    from bench.data import TokenSplit

    read = forward(models[kind], method)
    head, [piece, *_] = LanguageHead(backbone.local(models[kind]), read.module), text(models[kind]).pieces(40)
    longest, shorter = np.array(piece[:-1], dtype=np.int32), np.array(piece[:9], dtype=np.int32)
    split = TokenSplit(np.concatenate([longest, shorter]), np.array([0, 39, 48]), np.zeros(2, dtype=np.int64))
    read.module.eval()
    with torch.inference_mode():
        losses = read.next_token_losses(head, piece)
        states = read.head_input(_score(read), split, np.array([0, 1]))
        logits = head(states[:, None], torch.tensor([piece[-2:-1], piece[8:9]]))[:, 0]
        expected = functional.cross_entropy(logits, torch.tensor([piece[-1], piece[9]]), reduction="none")
    torch.testing.assert_close(losses[[-1, 8]], expected, atol=ROUNDING, rtol=ROUNDING)


def _score(read: Forward) -> torch.nn.Module:
    from transformers import PreTrainedModel

    from methods.prepare import head_modules

    [head] = head_modules(next(part for part in read.module.modules() if isinstance(part, PreTrainedModel))).values()
    return head


def test_no_language_model_is_a_masked_one_a_bare_one_or_a_classifier(
    bert: Path, gpt2: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    config = json.loads((models["gpt2"] / "config.json").read_text())
    assert backbone.models_language(backbone.local(models["gpt2"]))
    classifier = _copied(models["gpt2"], tmp_path / "classifier")
    (classifier / "config.json").write_text(json.dumps({**config, "architectures": ["GPT2ForSequenceClassification"]}))
    masked = save_model("bert", tmp_path / "masked", language=True)  # BertLMHeadModel, which sees what follows
    for folder in (bert, gpt2, classifier, masked):
        assert not backbone.models_language(backbone.local(folder))


def test_a_head_that_the_checkpoint_lacks_is_named(models: dict[str, Path], tmp_path: Path) -> None:
    headless = _copied(models["llama"], tmp_path / "headless")
    tensors = load_file(headless / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, headless / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"the checkpoint lacks lm_head\.weight"):
        nats(headless, forward(headless))


def test_a_loss_that_is_no_number_is_refused(models: dict[str, Path]) -> None:
    full = forward(models["gpt2"], "full")
    with torch.no_grad():
        full.module.get_parameter("transformer.wte.weight").fill_(torch.nan)
    with pytest.raises(ValueError, match="the language model's loss is nan"):
        nats(models["gpt2"], full)


def _copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def test_a_prompt_that_leaves_less_room_makes_the_pieces_shorter() -> None:
    assert forgetting.longest(1024, 20) == 256
    assert forgetting.longest(128, 20) == 108
    assert forgetting.longest(None, 20) == 256
