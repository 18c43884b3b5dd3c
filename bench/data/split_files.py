"""Which files of a folder hold which split: its README.md says it, or the files' names do."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.frames import SPLITS
from bench.data.rows import SUFFIXES
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.data.frames import Split

WORDS: dict[Split, frozenset[str]] = {
    "train": frozenset({"train", "training"}),
    "validation": frozenset({"validation", "valid", "val", "dev"}),
    "test": frozenset({"test", "testing"}),
}
"""What a split may be called, in a file's name or a README."""

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<total>\d+)(?:-[0-9a-f]+)?", re.IGNORECASE)
_NAMED = 4
"""So many files an error names."""


def data_files(folder: Path) -> dict[Split, list[Path]]:
    """Return the files of each split, in order: one file, or all shards of one.

    A README.md whose YAML has `configs` with `data_files`, as the Hub's data sets do, says which they are. Without one,
    a file belongs to the split that is a word of its name (train.jsonl, mine_train.csv, train-00000-of-00002.parquet),
    or else of the nearest folder's name (train/mine.jsonl). Other files and hidden ones don't count.
    Raises UsageError where a split has no source, or several.
    """
    try:
        return _by_readme(folder) or _by_names(folder)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: can't be read: {error.strerror or error}") from error


def _by_names(folder: Path) -> dict[Split, list[Path]]:
    candidates: dict[Split, list[Path]] = {split: [] for split in SPLITS}
    files = _walk(folder)
    for file in files:
        if split := _split_of(file, folder):
            candidates[split].append(file)
    found = {}
    for split, own in candidates.items():
        sources = _sources(own)
        if not sources:
            raise UsageError(
                f"{folder}: no file for the {split} split (found: {_names(files, folder) or 'no data'}); "
                f"a folder needs {', '.join(SPLITS)} as {', '.join(suffix[1:] for suffix in SUFFIXES)}, "
                "or name a single file, which is then split"
            )
        if len(sources) > 1:
            names = _names([source[0] for source in sources], folder)
            raise UsageError(
                f"{folder}: several files for the {split} split: {names}; "
                "keep one, or name it under data_files in a README.md there"
            )
        [found[split]] = sources
    return found


def _walk(folder: Path) -> list[Path]:
    """The files of a kind that can be read, in this folder and those below it, hidden ones left out."""

    def stop(error: OSError) -> None:
        raise error

    found = []
    for place, folders, names in os.walk(folder, onerror=stop):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        found += [Path(place, name) for name in names if not _hidden(name) and name.lower().endswith(SUFFIXES)]
    return sorted(found)


def _hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _names(files: Iterable[Path], folder: Path) -> str:
    names = [str(file.relative_to(folder)) for file in files]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _split_of(file: Path, folder: Path) -> Split | None:
    """The split that the file's name tells, or else the nearest folder's name."""
    inside = file.relative_to(folder)
    for name in (inside.stem, *(parent.name for parent in inside.parents)):
        told = set(re.findall(r"[^\W\d_]+", name.lower()))
        splits = [split for split in SPLITS if WORDS[split] & told]
        if len(splits) > 1:
            raise UsageError(f"{file}: {name} names {' and '.join(splits)}; a file or folder can be of one split only")
        if splits:
            return splits[0]
    return None


def _sources(files: Iterable[Path]) -> list[list[Path]]:
    """Gather shards into what they are shards of, in their order; any other file stands for itself."""
    whole: list[list[Path]] = []
    parts: dict[tuple[Path, str, int, str], list[tuple[int, Path]]] = defaultdict(list)
    for file in files:
        if shard := _SHARD.fullmatch(file.stem):
            key = (file.parent, shard["stem"], int(shard["total"]), file.suffix)
            parts[key].append((int(shard["number"]), file))
        else:
            whole.append([file])
    for (folder, stem, total, suffix), shards in parts.items():
        shards.sort()
        numbers = [number for number, _ in shards]
        if numbers not in (list(range(total)), list(range(1, total + 1))):
            raise UsageError(
                f"{folder / stem}-…-of-{total}{suffix}: {total} shards are needed, each once; "
                f"there are {', '.join(map(str, numbers[:_NAMED]))}{' …' if len(numbers) > _NAMED else ''}"
            )
        whole.append([file for _, file in shards])
    return whole


def _by_readme(folder: Path) -> dict[Split, list[Path]] | None:
    """The files that README.md names, None where it names none."""
    readme = folder / "README.md"
    config = _config(readme) if readme.is_file() else None
    if config is None:
        return None
    base = folder / str(config.get("data_dir") or "")
    named = _named(config["data_files"])
    found: dict[Split, list[Path]] = {}
    for split in SPLITS:
        own = [name for name in named if name in WORDS[split]]
        if len(own) != 1:
            said = f"names {' and '.join(own)}, which are one split" if own else f"names no {split} split"
            raise UsageError(f"{readme}: data_files {said}; it needs {', '.join(SPLITS)}, each once")
        files = [file for pattern in named[own[0]] for file in _matching(base, pattern, readme)]
        found[split] = [file for source in _sources(dict.fromkeys(files)) for file in source]
    return found


def _config(readme: Path) -> dict[str, Any] | None:
    """The README's configuration with `data_files`: the only one, or the default one."""
    from huggingface_hub.repocard import metadata_load

    try:
        metadata = metadata_load(readme) or {}
    except OSError:
        raise
    except Exception as error:  # of YAML's own types, or because the file isn't UTF-8
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{readme}: its YAML, between the lines of ---, can't be read: {reason}") from error
    listed = metadata.get("configs")
    configs = [c for c in listed if isinstance(c, dict) and c.get("data_files")] if isinstance(listed, list) else []
    if len(configs) > 1:
        default = [c for c in configs if c.get("default") is True or c.get("config_name") == "default"]
        if len(default) != 1:
            names = ", ".join(str(c.get("config_name")) for c in configs[:_NAMED])
            raise UsageError(f"{readme}: several configurations ({names}), and none is the default one")
        return default[0]
    return configs[0] if configs else None


def _named(data_files: object) -> Mapping[str, list[str]]:
    """The patterns of each split, in any of the ways in which the Hub lets them be written."""
    if isinstance(data_files, dict):
        return {str(split): _list(patterns) for split, patterns in data_files.items()}
    entries = _list(data_files)
    if any(isinstance(entry, dict) for entry in entries):
        return {str(e.get("split")): _list(e.get("path")) for e in entries if isinstance(e, dict)}
    return {"train": entries}


def _list(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]


def _matching(base: Path, pattern: object, readme: Path) -> list[Path]:
    name = str(pattern)
    if "://" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UsageError(f"{readme}: data_files names {name}, which isn't in this folder")
    if (base / name).is_file():
        return [base / name]
    names = sorted(glob(name, root_dir=base, recursive=True))  # noqa: PTH207  # Path.glob knows fewer of fsspec's patterns
    found = [base / file for file in names if (base / file).is_file()]
    if not found:
        raise UsageError(f"{readme}: data_files names {name}, and there is no such file")
    return found
