"""What a study says of the model that it was given, and puts into each record."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from commands import bench

from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

CHOSEN = ["--methods", "head", "--seeds", "0", "--max-steps", "2", "--device", "cpu", "--dtype", "fp32"]


def test_what_was_done_about_the_weights_is_said_and_recorded(bert: Path, texts: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(bert, tmp_path / "model")
    weights = load_file(bert / "model.safetensors")
    kept = {f"module.{name}": tensor for name, tensor in weights.items() if "pooler" not in name}
    save_file(kept, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    where = ["--model", "model", "--data", str(texts), "--results", "store"]
    done = bench("run", *CHOSEN, *where, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "begin with module., which is taken off" in done.stdout
    assert "lack bert.pooler" in done.stdout
    [record] = Store(tmp_path / "store").read().records
    assert (record.backbone.stripped_prefix, record.backbone.new_parts) == ("module.", ["bert.pooler"])
    assert record.training.feature_cache is False  # what trains is no fixed feature
    assert record.parameters is not None
    assert record.parameters.trainable == 3 * 32 + 3 + 32 * 32 + 32


def test_texts_as_they_are_make_records_that_say_what_they_are_called(gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, count in (("train", 60), ("test", 20)):
        rows = [{"question1": f"the moon {i}", "question2": f"bread {split}", "label": i % 2} for i in range(count)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = bench("run", *CHOSEN, "--model", str(gpt2), "--data", "data", "--results", "store", cwd=tmp_path)
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
