"""What a study says of the model that it was given, and puts into each record."""

from __future__ import annotations

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
