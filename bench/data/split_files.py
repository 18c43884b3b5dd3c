"""Which files of a folder hold which split: what `save_to_disk` wrote tells it, its README.md, or the files' names."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.frames import SPLITS
from bench.data.tables import FORMATS, bare_name, class_names, is_table
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.data.frames import Split

WORDS: dict[Split, frozenset[str]] = {
    "train": frozenset({"train", "training"}),
    "validation": frozenset({"validation", "valid", "val", "dev", "eval"}),
    "test": frozenset({"test", "testing"}),
}
"""What a split may be called, in a file's name or a README."""

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<total>\d+)(?:-[0-9a-f]+)?", re.IGNORECASE)
_NAMED = 4
"""So many files an error names."""
_LISTED = 12
"""So many splits."""


Named = Mapping[str, Sequence[Path]]
"""The splits that a source has, by its own names for them."""


def data_files(
    folder: Path, chosen: Mapping[Split, str] | None = None, config: str | None = None
) -> dict[Split, list[Path]]:
    """Return the files of each split that is there, in order: one file, or all shards of one; train always is.

    A folder that datasets' `save_to_disk` wrote says which they are, and so does a README.md whose YAML has `configs`
    with `data_files`, as the Hub's data sets do: `config` is the configuration to take, or else the only one or the
    default one. Without these, a file belongs to the split that is a word of its name (train.jsonl, mine_train.csv,
    train-00000-of-00002.parquet), or else of the nearest folder's name (train/mine.jsonl); where no name tells a split,
    a single file is train. Other files and hidden ones don't count. `chosen` names for each split a file, a pattern, or
    one of the source's own splits; then nothing else counts.
    Raises UsageError where train or a split that was chosen has no source, or a split has several.
    """
    try:
        named = _saved(folder) or _by_readme(folder, config)
        if named is None and config is not None:
            raise UsageError(f"{folder}: no configuration {config!r}: its README.md names none")
        if chosen:
            return {split: _chosen(folder, name, named) for split, name in chosen.items()}
        return _by_words(folder, named) if named else _by_names(folder)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: can't be read: {error.strerror or error}") from error


def folder_class_names(folder: Path, config: str | None = None) -> dict[str, list[str]]:
    """The names of each ClassLabel of a folder, by column, as its dataset_info.json or its README.md has them."""
    for place in (folder / config if config else folder, folder):
        info = place / "dataset_info.json"
        if info.is_file() and (found := class_names(_json(info).get("features"))):
            return found
    readme = folder / "README.md"
    listed = _metadata(readme).get("dataset_info") if readme.is_file() else None
    known = [info for info in _list(listed) if isinstance(info, dict)]
    several = len(known) > 1
    for described in known:
        if not several or described.get("config_name") == (config or "default"):
            return _readme_class_names(described.get("features"))
    return {}


def _readme_class_names(features: object) -> dict[str, list[str]]:
    """The class names in a README's `dataset_info`: name: label, dtype: {class_label: {names: {"0": neg, …}}}."""
    found = {}
    for feature in _list(features):
        kind = feature.get("dtype") if isinstance(feature, dict) else None
        names = (kind.get("class_label") or {}).get("names") if isinstance(kind, dict) else None
        if isinstance(names, dict):
            names = [names[place] for place in sorted(names, key=int)]
        if names:
            found[str(feature["name"])] = [str(name) for name in names]
    return found


def _saved(folder: Path) -> dict[str, list[Path]] | None:
    """What datasets' `save_to_disk` wrote: a DatasetDict, or one Dataset; None where the folder is neither."""
    splits = folder / "dataset_dict.json"
    if splits.is_file():
        return {str(split): _saved_files(folder / str(split)) for split in _json(splits).get("splits", ())}
    return {"train": _saved_files(folder)} if (folder / "state.json").is_file() else None


def _saved_files(folder: Path) -> list[Path]:
    state = folder / "state.json"
    files = [folder / str(file.get("filename")) for file in _json(state).get("_data_files", ())]
    for file in files:
        if not file.is_file():
            raise UsageError(f"{state}: it names {file.name}, and there is no such file")
    if not files:
        raise UsageError(f"{state}: it names no files of data")
    return files


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"{path}: malformed JSON: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: {type(found).__name__} where an object is needed")
    return found


def _by_words(folder: Path, named: Named) -> dict[Split, list[Path]]:
    """Take a source's splits by what they are called."""
    found: dict[Split, list[Path]] = {}
    for split in SPLITS:
        own = [name for name in named if name.lower() in WORDS[split]]
        if len(own) > 1:
            raise UsageError(f"{folder}: it names {' and '.join(own)}, which are one split; choose with --splits")
        if own:
            found[split] = [*named[own[0]]]
    if "train" not in found:
        raise UsageError(
            f"{folder}: it names no train split, but {', '.join(list(named)[:_LISTED])}; "
            "say which is which with --splits train=…,validation=…,test=…"
        )
    return found


def _chosen(folder: Path, name: str, named: Named | None) -> list[Path]:
    """The files of a split that a person names: the source's own split, a file or a pattern, or a file's bare name."""
    if named and name in named:
        return [*named[name]]
    files = {path: path.relative_to(folder) for path in _walk(folder)}
    sources = _sources(files)
    called = [source for source in sources if name in _called(source[0])]
    if len(called) > 1:
        raise UsageError(f"--splits: {name} is {_names([source[0] for source in called], folder)}; name the file")
    if called:
        return called[0]
    matching = [folder / name] if folder / name in files else [path for path in files if files[path].match(name)]
    if not matching:
        there = ", ".join(list(named)[:_LISTED]) if named else _names(files, folder)
        raise UsageError(f"--splits: {folder} has no file and no split {name!r}; it has {there or 'no data'}")
    return [file for source in _sources(matching) for file in source]


def _called(file: Path) -> list[str]:
    """What a person may call a file, or what it is a shard of, without its suffixes."""
    name = bare_name(file.name) or file.name
    shard = _SHARD.fullmatch(name)
    return [shard["stem"] if shard else name]


def _by_names(folder: Path) -> dict[Split, list[Path]]:
    candidates: dict[Split, list[Path]] = {split: [] for split in SPLITS}
    files = _walk(folder)
    for file in files:
        if split := _split_of(file, folder):
            candidates[split].append(file)
    if not any(candidates.values()) and len(whole := _sources(files)) == 1:
        return {"train": whole[0]}
    found = {}
    for split, own in candidates.items():
        sources = _sources(own)
        if not sources and split == "train":
            raise UsageError(
                f"{folder}: no file for the train split (found: {_names(files, folder) or 'no data'}); a folder needs "
                f"train, and perhaps {' and '.join(SPLITS[1:])}, as {', '.join(FORMATS)}; say which file is which with "
                "--splits train=…,validation=…,test=…, or name a single file, which is then split"
            )
        if len(sources) > 1:
            names = _names([source[0] for source in sources], folder)
            raise UsageError(
                f"{folder}: several files for the {split} split: {names}; "
                "keep one, choose with --splits, or name it under data_files in a README.md there"
            )
        if sources:
            [found[split]] = sources
    return found


def _walk(folder: Path) -> list[Path]:
    """The files of a kind that can be read, in this folder and those below it, hidden ones left out."""

    def stop(error: OSError) -> None:
        raise error

    found = []
    for place, folders, names in os.walk(folder, onerror=stop):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        found += [Path(place, name) for name in names if not _hidden(name) and is_table(name)]
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
    for name in (bare_name(inside.name) or "", *(parent.name for parent in inside.parents)):
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
        stem = bare_name(file.name) or file.stem
        if shard := _SHARD.fullmatch(stem):
            key = (file.parent, shard["stem"], int(shard["total"]), file.name[len(stem) :])
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


def _by_readme(folder: Path, config: str | None) -> dict[str, list[Path]] | None:
    """The files of each split that README.md names, None where it names none."""
    readme = folder / "README.md"
    chosen = _config(readme, config) if readme.is_file() else None
    if chosen is None:
        return None
    base = folder / str(chosen.get("data_dir") or "")
    found = {}
    for name, patterns in _named(chosen["data_files"]).items():
        files = [file for pattern in patterns for file in _matching(base, pattern, readme)]
        found[name] = [file for source in _sources(dict.fromkeys(files)) for file in source]
    return found


def _config(readme: Path, name: str | None) -> dict[str, Any] | None:
    """The README's configuration with `data_files`: the one of that name, the only one, or the default one."""
    listed = _metadata(readme).get("configs")
    configs = [c for c in listed if isinstance(c, dict) and c.get("data_files")] if isinstance(listed, list) else []
    names = ", ".join(str(c.get("config_name")) for c in configs[:_LISTED])
    if name is not None and configs:
        chosen = [c for c in configs if c.get("config_name") == name]
        if not chosen:
            raise UsageError(f"{readme}: no configuration {name!r}; it has {names}")
        return chosen[0]
    if len(configs) > 1:
        default = [c for c in configs if c.get("default") is True or c.get("config_name") == "default"]
        if len(default) != 1:
            raise UsageError(f"{readme}: several configurations ({names}), and none is the default one; add :NAME")
        return default[0]
    return configs[0] if configs else None


def _metadata(readme: Path) -> dict[str, Any]:
    """What stands between the lines of --- in a README.md."""
    from huggingface_hub.repocard import metadata_load

    try:
        return metadata_load(readme) or {}
    except OSError:
        raise
    except Exception as error:  # of YAML's own types, or because the file isn't UTF-8
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{readme}: its YAML, between the lines of ---, can't be read: {reason}") from error


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
