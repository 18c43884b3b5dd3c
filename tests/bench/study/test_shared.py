"""What a study says of the model and the texts that it was given, and puts into each record."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from commands import here

from bench import study
from bench.execution import baseline
from bench.machine import cores
from bench.reporting import markdown, report
from bench.store.files import DAMAGED, Store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.store.record import Record

CHOSEN = ["--methods", "head", "--seeds", "0", "--max-steps", "2", "--device", "cpu", "--dtype", "fp32"]


def test_what_was_done_about_the_weights_is_said_and_recorded(bert: Path, texts: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(bert, tmp_path / "model")
    weights = load_file(bert / "model.safetensors")
    kept = {f"module.{name}": tensor for name, tensor in weights.items() if "pooler" not in name}
    save_file(kept, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    where = ["--model", "model", "--data", str(texts), "--results", "store"]
    done = here("bench", "run", *CHOSEN, *where, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "begin with module., which is taken off" in done.stdout
    assert "lack bert.pooler" in done.stdout
    [record] = Store(tmp_path / "store").read().records
    assert (record.backbone.stripped_prefix, record.backbone.new_parts) == ("module.", ["bert.pooler"])
    assert record.training.feature_cache is False  # what trains is no fixed feature
    assert record.parameters is not None
    assert record.parameters.trainable == 3 * 32 + 3 + 32 * 32 + 32


def _study(model: Path, texts: Path, results: Path, **changes: Any) -> Record:
    """Run one cheap method in this process; return its record."""
    chosen: dict[str, Any] = {"methods": ("frozen",), "seeds": (0,), "model": str(model), "data": str(texts)}
    request = study.Request(**{**chosen, "device": "cpu", "dtype": "fp32", "results": results, **changes})
    _, [record] = study.run(request)
    return record


def test_the_baseline_is_computed_once_a_store_and_again_where_it_is_damaged(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _study(gpt2, texts, tmp_path)
    assert first.data.baseline is not None
    assert first.data.baseline.passages == first.data.sizes.train == 37
    assert "baseline: character n-grams of 37 train passages" in capsys.readouterr().out

    monkeypatch.setattr(baseline, "compute", lambda *_: pytest.fail("it was computed again"))
    assert _study(gpt2, texts, tmp_path, seeds=(1,)).data.baseline == first.data.baseline
    monkeypatch.undo()
    assert "baseline" not in capsys.readouterr().out

    [table] = tmp_path.glob("baseline-*.parquet")
    content = table.read_bytes()
    table.write_bytes(content[:-9])
    again = _study(gpt2, texts, tmp_path, seeds=(2,)).data.baseline
    assert again is not None
    assert again.accuracy == first.data.baseline.accuracy
    assert table.read_bytes() == content
    [aside] = tmp_path.glob(f"{DAMAGED}/*/{table.name}")
    assert aside.read_bytes() == content[:-9]
    assert "its predictions were changed or damaged) and was set aside, into" in capsys.readouterr().out


def test_the_baseline_can_be_left_out(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(gpt2), "--data", str(texts), "--results", "store", "--no-baseline"]
    done = here("bench", "run", *CHOSEN, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = Store(tmp_path / "store").read().records
    assert record.data.baseline is None
    assert not list((tmp_path / "store").glob("baseline-*"))
    assert "n-grams" not in done.stdout


def test_a_baseline_that_fails_costs_a_warning_and_not_the_study(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise baseline.Failed("MemoryError: no room")

    monkeypatch.setattr(baseline, "compute", fails)
    record = _study(gpt2, texts, tmp_path)
    assert (record.status, record.data.baseline) == ("ok", None)
    assert "MemoryError: no room" in capsys.readouterr().err
    assert not list(tmp_path.glob("baseline-*"))


def test_the_baseline_has_cores_of_its_own_while_it_is_computed(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[object] = []

    def looks(*given: object) -> None:
        held.extend([given[-1], cores.Cores(()).runs()])
        raise baseline.Failed("it only looked")

    monkeypatch.setattr(baseline, "compute", looks)
    record = _study(gpt2, texts, tmp_path)
    assert held == [cores.usable()[:1], 1]
    assert record.speed is not None
    assert record.speed.neighbours == 0  # they were given back


def test_of_a_huge_corpus_the_record_and_the_report_say_how_much_the_baseline_saw(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "PASSAGES", 12)
    record = _study(gpt2, texts, tmp_path)
    assert record.data.baseline is not None
    assert record.data.baseline.passages == 12
    text = markdown.render(report(Store(tmp_path).read(), tmp_path))
    assert "It was fitted to 12 of 37 train passages, each style keeping its share." in text


def test_texts_as_they_are_make_records_that_say_what_they_are_called(gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, count in (("train", 60), ("test", 20)):
        rows = [{"question1": f"the moon {i}", "question2": f"bread {split}", "label": i % 2} for i in range(count)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = here("bench", "run", *CHOSEN, "--model", str(gpt2), "--data", "data", "--results", "store", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data: text: columns `question1` and `question2`; label: column `label`, 2 labels; no group" in done.stdout
    assert "tokenizer puts nothing between the two texts of a pair" in done.stdout
    assert "There is no validation split" in done.stderr
    [record] = Store(tmp_path / "store").read().records
    data = record.data
    assert (data.styles, data.categories, data.label, data.group) == (["0", "1"], [], "label", None)
    assert (data.sizes.train, data.sizes.validation, data.sizes.test) == (54, 6, 20)
    assert record.quality is not None
    assert record.quality.test.per_category == {}
    assert set(record.quality.test.per_style) == {"0", "1"}
