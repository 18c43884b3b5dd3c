"""The main job: one command, small real models and texts, and what it leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from commands import bench, here
from in_process import prepared
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, f1_score

from bench import study
from bench.data import load_local, text_hash
from bench.model import backbone, weights
from bench.store.files import Store
from methods import adapters

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from bench.store.record import Record

METHODS = ("frozen", "head", "lora", "ia3", "prefix")
RATES = {"head": 0.01, "lora": 0.01, "ia3": 0.05, "prefix": 0.05}
"""High, so that six steps change what is predicted."""
TRAINING = ["--epochs", "2", "--max-steps", "6", "--batch-size", "8", "--device", "cpu", "--dtype", "fp32"]
STYLES = ["ann", "bob", "cat"]
SAME = 1e-4
"""The largest difference between two log-probabilities that count as the same in float32."""

CONTRACT = {
    "": "schema uid status error created_at wall_s method hyperparameters seed preset backbone data training "
    "parameters quality speed memory compute environment checksum",
    "backbone": "name source revision parameters",
    "data": "name source fingerprint styles sizes max_length",
    "data.sizes": "train validation test",
    "training": "epochs steps batch_size learning_rate dtype device threads padding_share feature_cache laid_out",
    "parameters": "trainable total adapter_bytes",
    "quality": "test epochs best_epoch predictions",
    "quality.test": "accuracy macro_f1 loss per_category",
    "speed": "load_s train_s train_tokens_per_s train_samples_per_s step_s_median step_s_p95 warmup_steps features_s "
    "features_reused matmul_share eval_s eval_tokens_per_s eval_samples_per_s eval_merged_tokens_per_s",
    "memory": "peak_bytes train_peak_bytes eval_peak_bytes baseline_bytes kind reserved_bytes",
    "environment": "python torch transformers peft platform cpu gpu git_commit git_dirty command",
}
"""The names that reports and other people's scripts read."""


class Finished(NamedTuple):
    """What the command left."""

    out: str
    err: str
    store: Path
    adapters: Path
    records: dict[str, Record]


def _label(record: Record) -> str:
    return f"{record.method} {record.hyperparameters['alpha']}" if record.method == "lora" else record.method


def _arguments(model: Path, texts: Path, *arguments: str) -> list[str]:
    rates = [f"--set={name}.learning_rate={rate}" for name, rate in RATES.items() if name in arguments[0]]
    sources = ["--model", str(model), "--data", str(texts), "--seeds", "0", "--results", "store"]
    return ["run", "--methods", *arguments, *rates, *sources, *TRAINING]


def _finished(done: subprocess.CompletedProcess[str], work: Path) -> Finished:
    assert done.returncode == 0, done.stdout + done.stderr
    records = {_label(record): record for record in Store(work / "store").read().records}
    return Finished(done.stdout, done.stderr, work / "store", work / "adapters", records)


@pytest.fixture(scope="module")
def finished(gpt2: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Five methods, LoRA at two alphas, one seed."""
    work = tmp_path_factory.mktemp("study")
    asked = _arguments(gpt2, texts, ",".join(METHODS), "--set", "lora.alpha=8,128", "--save-adapters", "adapters")
    faster = {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}  # or so the environment asks
    return _finished(bench(*asked, cwd=work, **faster), work)


@pytest.fixture(params=["frozen", "head", "lora 8", "lora 128", "ia3", "prefix"])
def label(request: pytest.FixtureRequest) -> str:
    """Each run in turn."""
    return str(request.param)


def test_every_run_is_ok_and_piped_it_is_plain_lines(finished: Finished) -> None:
    assert list(finished.records) == ["frozen", "head", "lora 8", "lora 128", "ia3", "prefix"]
    assert {record.status for record in finished.records.values()} == {"ok"}
    assert finished.err == ""
    assert "\x1b" not in finished.out
    baseline, result, *lines = finished.out.splitlines()
    assert baseline == "baseline: character n-grams of 37 train passages"
    assert result.startswith("baseline: accuracy ")
    for number, (line, name) in enumerate(
        zip(lines, ["frozen", "head", "lora", "lora", "ia3", "prefix"], strict=False)
    ):
        assert line.startswith(f"{number + 1}/6 · {name}")
        assert "accuracy" in line
    assert "6 of 6 runs ok" in lines
    assert "python report.py store" in lines[-1]


def test_one_file_a_run_and_its_predictions(finished: Finished) -> None:
    uids = [record.uid for record in finished.records.values()]
    names = {path.name for path in finished.store.iterdir() if not path.name.startswith((".", "baseline-"))}
    assert names == {f"{uid}.{kind}" for uid in uids for kind in ("json", "parquet")}
    assert {path.name for path in finished.adapters.iterdir()} == set(uids)


def test_the_record_keeps_its_names(finished: Finished, label: str) -> None:
    document = json.loads((finished.store / f"{finished.records[label].uid}.json").read_text())
    assert document["schema"] == 1
    for path, names in CONTRACT.items():
        part: Any = document
        for name in filter(None, path.split(".")):
            part = part[name]
        assert set(names.split()) <= set(part), path


def test_the_backbone_and_the_texts_are_recorded(finished: Finished, gpt2: Path, texts: Path, label: str) -> None:
    from transformers import AutoModel

    record, corpus = finished.records[label], load_local(texts)
    size = sum(parameter.numel() for parameter in AutoModel.from_pretrained(gpt2).parameters())
    assert (record.preset, record.backbone.name, record.backbone.source) == ("custom", "tiny-gpt2", "local")
    assert record.backbone.parameters == size
    assert (record.data.name, record.data.source, record.data.revision) == ("some-texts", "local", None)
    assert (record.data.styles, record.data.categories) == (STYLES, ["letters", "songs"])
    assert record.data.sizes.model_dump() == {"train": 37, "validation": 12, "test": 15}
    assert record.data.fingerprint == corpus.fingerprint
    assert record.data.max_length == 108  # 128 positions, 20 of which the prefix takes: the same for every method


def test_the_majority_is_scikit_learns(finished: Finished, texts: Path, label: str) -> None:
    train, test = (load_local(texts).frames[split] for split in ("train", "test"))
    answer = DummyClassifier(strategy="most_frequent").fit(train[["text"]], train["style"]).predict(test[["text"]])
    majority = finished.records[label].data.majority
    assert majority.style == answer[0] == "ann"
    assert majority.accuracy == pytest.approx(accuracy_score(test["style"], answer))
    assert majority.macro_f1 == pytest.approx(f1_score(test["style"], answer, average="macro", zero_division=0))


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("frozen", 0),
        ("head", 96),
        ("lora 8", 96 + 2 * 8 * (32 + 96)),
        ("lora 128", 96 + 2 * 8 * (32 + 96)),
        ("ia3", 96 + 2 * (96 + 128)),
        ("prefix", 96 + 2 * 20 * 2 * 32),
    ],
)
def test_what_trains_is_counted(finished: Finished, name: str, own: int) -> None:
    record = finished.records[name]
    assert record.parameters is not None
    assert record.backbone.parameters is not None
    assert record.parameters.trainable == own
    assert record.parameters.total == record.backbone.parameters + max(96, own)
    files = (finished.adapters / record.uid).glob("*.safetensors")
    assert record.parameters.adapter_bytes == sum(file.stat().st_size for file in files)


def test_training_is_the_same_for_every_method(finished: Finished) -> None:
    trained = [record for name, record in finished.records.items() if name != "frozen"]
    told = [
        record.training.model_dump(exclude={"learning_rate", "feature_cache", "padding_share"}) for record in trained
    ]
    assert all(training == told[0] for training in told)
    assert (told[0]["steps"], told[0]["max_steps"], told[0]["dtype"]) == (6, 6, "fp32")
    assert [record.training.learning_rate for record in trained] == [0.01, 0.01, 0.01, 0.05, 0.05]
    for record in trained:
        assert record.quality is not None
        assert [epoch.epoch for epoch in record.quality.epochs] == [1, 2]
        losses = [epoch.validation_loss for epoch in record.quality.epochs]
        assert record.quality.best_epoch == 1 + int(np.argmin(losses))
        assert record.training.padding_share is not None
        assert 0 <= record.training.padding_share < 1


def test_products_of_float32_are_never_rounded_whatever_the_environment_says(finished: Finished, label: str) -> None:
    assert finished.records[label].training.float32_matmul == "highest"


def test_what_cudas_libraries_would_do_by_themselves_is_off_in_a_run(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuDNN's attention, whose gradients can be NaN; TF32 in its convolutions."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.backends.cuda.enable_cudnn_sdp(True)
    prepared(gpt2, texts, tmp_path).begin("lora")
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert not torch.backends.cudnn.allow_tf32


def test_what_does_not_apply_to_the_frozen_one_is_null(finished: Finished) -> None:
    record = finished.records["frozen"]
    assert record.quality is not None
    assert record.speed is not None
    assert record.memory is not None
    assert [(epoch.epoch, epoch.train_loss) for epoch in record.quality.epochs] == [(0, None)]
    assert record.training.padding_share is None
    assert record.memory.train_peak_bytes is None
    training = ("train_s", "train_tokens_per_s", "train_samples_per_s", "step_s_median", "step_s_p95", "warmup_steps")
    assert [getattr(record.speed, name) for name in training] == [None] * 6


def test_speed_and_memory_are_plausible(finished: Finished, label: str) -> None:
    record = finished.records[label]
    assert record.speed is not None
    assert record.memory is not None
    assert 0 < record.speed.load_s < record.wall_s
    assert record.speed.eval_s
    assert record.speed.eval_tokens_per_s
    assert record.speed.eval_samples_per_s
    assert 0 < record.speed.eval_s < record.wall_s
    per_sample = record.speed.eval_tokens_per_s / record.speed.eval_samples_per_s
    assert 4 <= per_sample <= 108
    if record.speed.train_s is not None:
        assert record.speed.step_s_median is not None
        assert record.speed.step_s_p95 is not None
        assert 0 < record.speed.step_s_median <= record.speed.step_s_p95 <= record.speed.train_s < record.wall_s
    assert record.memory.kind == "rss"
    assert record.memory.baseline_bytes is not None
    peaks = [record.memory.load_peak_bytes, record.memory.train_peak_bytes, record.memory.eval_peak_bytes]
    assert record.memory.peak_bytes == max(peak for peak in peaks if peak is not None)
    assert record.memory.peak_bytes > record.memory.baseline_bytes > 2**26


def test_the_command_in_the_record_is_the_one_that_was_typed(finished: Finished) -> None:
    assert finished.records["head"].environment.command.startswith("python -m bench run --methods frozen,head,lora,")


def _predictions(finished: Finished, name: str) -> pd.DataFrame:
    record = finished.records[name]
    assert record.quality is not None
    return pd.read_parquet(finished.store / record.quality.predictions)


def _logp(predictions: pd.DataFrame) -> np.ndarray[Any, Any]:
    return predictions[[f"logp:{style}" for style in STYLES]].to_numpy(dtype=np.float64)


def test_predictions_are_one_row_a_test_example_and_give_the_scores(
    finished: Finished, texts: Path, label: str
) -> None:
    found, test = _predictions(finished, label), load_local(texts).frames["test"]
    assert list(found) == ["text_hash", "document", "category", "style", "prediction", *(f"logp:{s}" for s in STYLES)]
    assert found["text_hash"].tolist() == [text_hash(text) for text in test["text"]]
    for column in ("style", "category", "document"):
        assert found[column].tolist() == test[column].tolist()
    logp = _logp(found)
    np.testing.assert_allclose(np.exp(logp).sum(axis=1), 1, atol=1e-5)
    assert found["prediction"].tolist() == [STYLES[best] for best in logp.argmax(axis=1)]

    quality = finished.records[label].quality
    assert quality is not None
    right = found["style"] == found["prediction"]
    assert quality.test.accuracy == pytest.approx(right.mean())
    assert quality.test.macro_f1 == pytest.approx(
        f1_score(found["style"], found["prediction"], average="macro", zero_division=0)
    )
    its_own = logp[np.arange(len(found)), [STYLES.index(style) for style in found["style"]]]
    assert quality.test.loss == pytest.approx(-its_own.mean(), abs=1e-5)
    for category, scores in quality.test.per_category.items():
        own = found["category"] == category
        assert [scores.accuracy, scores.examples] == pytest.approx([right[own].mean(), own.sum()])
    for style, recognised in quality.test.per_style.items():
        own = found["style"] == style
        assert [recognised.accuracy, recognised.examples] == pytest.approx([right[own].mean(), own.sum()])


def test_training_changed_what_is_predicted(finished: Finished) -> None:
    untrained = _logp(_predictions(finished, "frozen"))
    for name in ("head", "lora 8", "lora 128", "ia3", "prefix"):
        assert abs(_logp(_predictions(finished, name)) - untrained).max() > 100 * SAME


def test_the_same_seed_gives_the_same_figures_whatever_else_runs(
    finished: Finished, gpt2: Path, texts: Path, tmp_path: Path
) -> None:
    alone = _arguments(gpt2, texts, "lora", "--set", "lora.alpha=128")
    again = _finished(here("bench", *alone, cwd=tmp_path), tmp_path)
    [before, after] = [run.records["lora 128"] for run in (finished, again)]
    # alone, LoRA leaves the prefix's positions to the text, which no text here needs
    assert after.data.max_length == 128
    pd.testing.assert_frame_equal(_predictions(again, "lora 128"), _predictions(finished, "lora 128"))
    assert before.quality is not None
    assert after.quality is not None
    assert after.quality.epochs == before.quality.epochs
    assert after.quality.test == before.quality.test


def _classify(module: Any, model: Path, texts: Path) -> np.ndarray[Any, Any]:
    """Each test text on its own, by nothing but transformers: log-probabilities [texts, styles]."""
    import torch
    from transformers import AutoTokenizer

    tokenizer, module = AutoTokenizer.from_pretrained(model), module.eval()
    with torch.no_grad():
        rows = [
            module(**tokenizer(text, return_tensors="pt")).logits[0].double().log_softmax(0)
            for text in load_local(texts).frames["test"]["text"]
        ]
    return torch.stack(rows).numpy()


def test_a_saved_adapter_predicts_what_was_recorded(finished: Finished, gpt2: Path, texts: Path, label: str) -> None:
    model = weights.load(backbone.local(gpt2), styles=3, seed=99)
    module = adapters.load(model, finished.adapters / finished.records[label].uid)
    np.testing.assert_allclose(_classify(module, gpt2, texts), _logp(_predictions(finished, label)), atol=SAME)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False", "ignore:`is_gradient_checkpointing`")
@pytest.mark.parametrize("name", ["lora 8", "lora 128", "ia3"])
def test_peft_puts_a_saved_adapter_onto_a_stock_gpt2(finished: Finished, gpt2: Path, texts: Path, name: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification
    from transformers.pytorch_utils import Conv1D

    stock = AutoModelForSequenceClassification.from_pretrained(gpt2, num_labels=3)
    assert any(isinstance(module, Conv1D) for module in stock.modules())
    module = PeftModel.from_pretrained(stock, str(finished.adapters / finished.records[name].uid))
    np.testing.assert_allclose(_classify(module, gpt2, texts), _logp(_predictions(finished, name)), atol=SAME)


def test_the_report_renders_what_the_run_left(finished: Finished) -> None:
    done = here("report.py", str(finished.store), "-o", "-", cwd=finished.store)
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("custom", "tiny-gpt2", "40.0%", *METHODS):
        assert part in done.stdout


@pytest.mark.parametrize("architecture", ["llama", "bert"])
def test_another_architecture_end_to_end(
    architecture: str, texts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: Path = request.getfixturevalue(architecture)
    _, records = study.run(
        study.Request(
            methods=METHODS,
            settings=("lora.alpha=8",),
            seeds=(0,),
            model=str(model),
            data=str(texts),
            max_steps=2,
            device="cpu",
            dtype="fp32",
            baseline=False,
            results=tmp_path / "store",
            save_adapters=tmp_path / "adapters",
        )
    )
    assert {record.method: record.error for record in records} == dict.fromkeys(METHODS)
    for record in records:
        module = adapters.load(weights.load(backbone.local(model), 3, seed=99), tmp_path / "adapters" / record.uid)
        found = pd.read_parquet(tmp_path / "store" / f"{record.uid}.parquet")
        np.testing.assert_allclose(_classify(module, model, texts), _logp(found), atol=SAME, err_msg=record.method)


def test_less_of_the_texts_in_half_precision(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    _, [record] = study.run(
        study.Request(
            methods=("lora",),
            settings=("lora.alpha=8",),
            seeds=(7,),
            model=str(gpt2),
            data=str(texts),
            categories=("letters",),
            train_size=10,
            epochs=1,
            device="cpu",
            dtype="bf16",
            baseline=False,
            results=tmp_path,
        )
    )
    assert (record.status, record.training.dtype, record.seed) == ("ok", "bf16", 7)
    assert (record.data.styles, record.data.categories) == (["ann", "bob"], ["letters"])
    assert record.data.sizes.model_dump() == {"train": 10, "validation": 8, "test": 11}
    assert record.data.fingerprint != load_local(texts).fingerprint
