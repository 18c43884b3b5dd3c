"""Fetch a pinned release of a package, once, into a cache folder."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    kind: Literal["wheel", "sdist", "npm"] = "wheel"


def archive(package: Package, cache: Path) -> Path:
    """The package's file, downloaded with pip or npm where the cache lacks it.

    Raises UsageError where that fails.
    """
    folder = cache / "packages" / f"{package.name.replace('/', '-')}-{package.version}"
    if not folder.is_dir() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(_command(package, folder), check=True, capture_output=True, text=True, cwd=folder)
        except (OSError, subprocess.CalledProcessError) as error:
            folder.rmdir()
            tool = "npm" if package.kind == "npm" else "pip"
            raise UsageError(
                f"couldn't download {package.name} {package.version} with {tool}: is {tool} installed and online?"
            ) from error
    return next(iter(folder.iterdir()))


def _command(package: Package, folder: Path) -> list[str]:
    if package.kind == "npm":
        return ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    built = ["--no-binary", ":all:"] if package.kind == "sdist" else ["--only-binary", ":all:"]
    requirement = f"{package.name}=={package.version}"
    return [sys.executable, "-m", "pip", "download", "--no-deps", *built, "-d", str(folder), requirement]
