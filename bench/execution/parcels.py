"""Files that travel to a Ray cluster's nodes: put into its object store once, unpacked on each node once."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEPT_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Parcel:
    """Files of one folder, as Ray's references to their bytes. What has the same name has the same in it."""

    name: str
    files: tuple[tuple[str, ray.ObjectRef[Any]], ...]

    @classmethod
    def of(cls, name: str, files: Iterable[Path]) -> Parcel:
        """Put the files into the object store, which keeps them as long as this process has the parcel."""
        return cls(name, tuple((path.name, ray.put(np.fromfile(path, np.uint8))) for path in files))

    def unpacked(self) -> Path:
        """Return the folder on this node that has the files, and perhaps what earlier runs left beside them.

        Who is the first to need it unpacks it. What nobody has needed for a week goes then.
        """
        shelf = _shelf()
        shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(shelf / ".lock"):
            folder = shelf / self.name
            if not folder.is_dir():
                _clear(shelf)
                part = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=shelf))
                for name, content in self.files:
                    ray.get(content).tofile(part / name)
                part.rename(folder)
            os.utime(folder)
            return folder


def remove(names: Iterable[str]) -> None:
    """Remove what was unpacked on this node."""
    for name in names:
        shutil.rmtree(_shelf() / name, ignore_errors=True)


def _shelf() -> Path:
    return Path(tempfile.gettempdir()) / f"peft-bench-ray-{os.getuid()}"


def _clear(shelf: Path) -> None:
    for folder in shelf.iterdir():
        if folder.is_dir() and time.time() - folder.stat().st_mtime > _KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
