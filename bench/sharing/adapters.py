"""Adapters that a study saved: a folder each, named by its run's uid, as `methods.adapters.save` writes it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from bench.store.files import is_uid
from methods.adapters import METHOD_FILE, TENSORS_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from bench.store.record import Backbone

PEFT_CONFIG = "adapter_config.json"
_FILES = (METHOD_FILE, TENSORS_FILE, PEFT_CONFIG, "adapter_model.safetensors")


def beside(store: Path) -> Path:
    """Where a store has the adapters of its runs, unless `--save-adapters` named another folder."""
    return store / "adapters"


def found(folder: Path) -> dict[str, Path]:
    """Return the adapters in a folder by their runs' uids, in order; none where there is no such folder."""
    return {
        path.parent.name: path.parent for path in sorted(folder.glob(f"*/{METHOD_FILE}")) if is_uid(path.parent.name)
    }


def copy(source: Path, target: Path) -> None:
    """Copy an adapter, and nothing else that lies there, so that it appears whole or not at all. Raises OSError."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for name in _FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, part / name)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def name_backbone(folder: Path, backbone: Backbone) -> None:
    """Let peft's configuration name the backbone as its record does, where it had the path on this machine."""
    path = folder / PEFT_CONFIG
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = backbone.name
        config["revision"] = backbone.revision if backbone.source == "hub" else None
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def for_peft(folder: Path) -> bool:
    """Tell whether peft loads an adapter onto a stock model, without this project."""
    described = json.loads((folder / METHOD_FILE).read_text(encoding="utf-8"))
    return (folder / PEFT_CONFIG).is_file() and "note" not in described
