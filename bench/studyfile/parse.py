"""A study file -> what it asks for; a mistake is told with its line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

import methods
from bench.configured import Chosen, choose
from bench.data import DataOptions
from bench.errors import UsageError, together
from bench.sources import existing, local_texts
from bench.spec import CORE, parse_sweeps
from bench.stats import written
from bench.studyfile.schema import Part, Searching, SplitSources, StudyFile, Texts
from bench.tuning.spaces import spaces
from methods import MethodError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from bench.study import Request

COMPARED = (
    *("data", "model", "preset", "text", "label", "group", "document", "splits", "sample", "category", "train_size"),
)
"""What only the file says: it is what its tasks are."""
_AS_STATED = (
    *("preset", "epochs", "max_steps", "batch_size", "max_length", "device", "dtype", "feature_cache", "baseline"),
    *("forgetting", "timing", "results", "rerun", "checkpoint", "save_adapters"),
)
_AS_OPTIONS = ("jobs", "threads", "runs_per_gpu", "timeout", "engine", "workers")


@dataclass(frozen=True)
class Study:
    """A study file that was read and found right."""

    path: Path
    told: StudyFile
    lines: _Lines

    def options(self, given: Collection[str]) -> dict[str, Any]:
        """Return what the file states of how and where to run, but for what was `given` on the command line.

        It is as it would stand there, by the names of `bench run`'s parameters.
        """
        told = self.told
        stated = {key: getattr(told, key) for key in _AS_OPTIONS}
        if told.jobs is not None:
            stated["jobs"] = str(told.jobs)
        if told.report_to is not None:
            stated["report_to"] = ",".join(told.report_to)
        if told.engine_set is not None:
            stated["engine_set"] = [f"{name}={value}" for name, value in told.engine_set.items()]
        return {key: value for key, value in stated.items() if value is not None and key not in given}

    def requests(self, asked: Request, given: Collection[str]) -> list[Request]:
        """Return a request for each of the file's texts, and train sizes there, with each backbone, all for one store.

        `asked` is what the command line says, or its defaults, with `options`; what was `given` there, by the file's
        keys, takes the place of what the file states. Settings for another METHOD.FIELD than the file's are added.
        Raises UsageError for what only the file may say.
        """
        for key in COMPARED:
            if key in given:
                option = f"--{key.replace('_', '-')}"
                raise UsageError(f"{option} goes into {self.path}, or on a command line without it")
        told = self.told
        stated = choose(told.methods) if told.methods and "methods" not in given else None
        chosen = stated or Chosen(asked.methods, asked.configured)
        whole = replace(
            asked,
            **self._stated(given),
            methods=chosen.methods,
            configured=chosen.configured,
            seeds=tuple(told.seeds) if told.seeds and "seeds" not in given else asked.seeds,
            settings=self._settings(asked.settings, chosen.names),
        )
        return [
            replace(
                whole,
                data=texts.source if texts else None,
                reading=self._reading(number, texts) if texts else DataOptions(),
                categories=tuple(texts.category) if texts and texts.category else None,
                train_size=size,
                model=model,
            )
            for number, texts in enumerate(told.data or (None,))
            for size in (texts and texts.train_size) or (None,)
            for model in told.model or (None,)
        ]

    def _reading(self, number: int, texts: Texts) -> DataOptions:
        return replace(texts.reading, stated_at=self.lines.place(("data", number)))

    def searching(self, asked: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
        """Return how `bench tune` is to search, by the options' names; `asked` and `given` are as for `requests`.

        Raises UsageError where the file sets what is to be searched.
        """
        if self.told.settings:
            self.lines.refuse([(("set",), "bench tune searches settings; leave it out, or give ranges in tune.space")])
        stated = self.told.tune.model_dump(exclude_none=True) if self.told.tune else {}
        if {"trials", "budget"} & {*given}:
            stated = {name: value for name, value in stated.items() if name not in ("trials", "budget")}
        replaced = {text.partition("=")[0] for text in asked["space"]}
        space = [f"{target}={ends}" for target, ends in stated.pop("space", {}).items() if target not in replaced]
        found = {name: asked[name] if name in given else stated.get(name, asked[name]) for name in asked}
        return {**found, "search_seeds": tuple(found["search_seeds"]), "space": (*space, *asked["space"])}

    def _stated(self, given: Collection[str]) -> dict[str, Any]:
        """What the file states and the command line doesn't, of that which is called the same in a request."""
        stated = {"results": Path("results") / self.path.stem, **self.told.model_dump(exclude_none=True)}
        return {key: stated[key] for key in _AS_STATED if key in stated and key not in given}

    def _settings(self, asked: Sequence[str], chosen: Collection[str]) -> tuple[str, ...]:
        """The file's settings of methods that are `chosen`, but for those that are set on the command line."""
        replaced = {setting.partition("=")[0] for setting in asked}
        stated = (self.told.settings or {}).items()
        kept = [item for item in stated if item[0] not in replaced and item[0].partition(".")[0] in chosen]
        return (*(_setting(*item) for item in kept), *asked)


def read(path: Path) -> Study:
    """Read a study file. Raises UsageError with the line of each mistake."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        hint = "; `python -m bench init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"{path}: can't be read: {error.strerror}{hint}") from error
    node, content = _parse(path, text)
    lines = _Lines(path, node)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a study file has keys such as data, model and methods; see `python -m bench init`")
    lines.refuse(_repeated(node))
    try:
        told = StudyFile.model_validate(content)
    except ValidationError as error:
        lines.refuse((_place(found), _why(found)) for found in error.errors())
        raise
    lines.refuse(_mistakes(told))
    return Study(path, told, lines)


def _parse(path: Path, text: str) -> tuple[yaml.Node | None, object]:
    """Return the file's nodes, which know their lines, and its content."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return node, loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{path}{line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error


class _Lines:
    """Where in the file something stands."""

    def __init__(self, path: Path, node: yaml.Node | None) -> None:
        self.path, self.node = path, node

    def refuse(self, mistakes: Iterable[tuple[Sequence[str | int], str]]) -> None:
        """Raise UsageError with every mistake and its line; return where there is none."""
        found = sorted((self._line(place), f"{_written_place(place)}{why}") for place, why in mistakes)
        said = [f"{self.path}:{line}: {what}" for line, what in found]
        if said:
            raise together(said)

    def place(self, place: Sequence[str | int]) -> str:
        """Name the file, the line and the key."""
        return f"{self.path}:{self._line(place)}: {_written_place(place)}".removesuffix(": ")

    def _line(self, place: Sequence[str | int]) -> int:
        """The line of what stands at a place, or of the nearest around it."""
        node, line = self.node, 1
        for step in place:
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == str(step)), None)
                if found is None and isinstance(step, int):
                    continue  # what isn't listed is a list of one
                if found is None:
                    break
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
        return line


def _repeated(node: yaml.Node | None, place: tuple[str | int, ...] = ()) -> Iterable[tuple[Sequence[str | int], str]]:
    """Name every key that stands twice in a mapping, which YAML would take the last of."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                yield (*place, key.value), f"stands twice, in lines {seen[key.value]} and {line}"
            seen[key.value] = line
            yield from _repeated(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, (*place, number))


def _place(error: ErrorDetails) -> tuple[str | int, ...]:
    return tuple(step for step in error["loc"] if step != "[key]")


def _written_place(place: Sequence[str | int]) -> str:
    names = [step for step in place if isinstance(step, str)]
    return f"{'.'.join(names)}: " if names else ""


_FORMS: dict[type[Part], str] = {
    StudyFile: "keys",
    Searching: "keys such as trials",
    Texts: "a name, or a mapping with the key source",
    SplitSources: "a mapping with the key train",
}


def _part(place: Sequence[str | int]) -> type[Part]:
    """Which part of the file stands at a place."""
    if place:
        return Searching if place[0] == "tune" else SplitSources if "splits" in place else Texts
    return StudyFile


def _why(error: ErrorDetails) -> str:
    """Say in plain words what pydantic found."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        names = [field.alias or name for name, field in _part(error["loc"][:-1]).model_fields.items()]
        near = difflib.get_close_matches(str(error["loc"][-1]), names, n=1)
        return f"no such key; did you mean {near[0]}?" if near else f"no such key; there are {', '.join(names)}"
    expected = {
        "int_type": "expected a whole number",
        "greater_than_equal": f"expected a whole number of at least {error.get('ctx', {}).get('ge')}",
        "less_than_equal": f"expected a whole number of at most {error.get('ctx', {}).get('le')}",
        "bool_type": "expected true or false",
        "string_pattern_mismatch": "expected seconds, or a number with a unit, e.g. 90s, 15m or 2h",
        "string_type": "expected a text",
        "invalid_key": "expected a key's name",
        "path_type": "expected a folder's name",
        "dict_type": f"expected keys such as {'time' if 'engine_set' in error['loc'] else 'lora.alpha'}",
        "too_short": "it is empty; leave it out for the default",
        "missing": "it is missing",
        "model_type": f"expected {_FORMS[_part(error['loc'])]}",
    }.get(kind, error["msg"])
    if kind == "literal_error":
        expected = f"expected {error['ctx']['expected']}"
    return expected if kind in ("missing", "too_short") else f"{expected}, not {_written_value(value)}"


def _written_value(value: object) -> str:
    """Write a value of the file as it would stand there."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def _mistakes(told: StudyFile) -> Iterable[tuple[Sequence[str | int], str]]:
    """Name what stands twice, files, methods and hyperparameters that there aren't, and values that can't be."""
    lists: dict[tuple[str | int, ...], Sequence[object]] = {
        **{(key,): getattr(told, key) or () for key in ("data", "model", "methods", "seeds")},
        **{("data", n, "train_size"): texts.train_size or () for n, texts in enumerate(told.data or ())},
    }
    for place, listed in lists.items():
        yield from (((*place, n), "it stands there twice") for n, one in enumerate(listed) if one in listed[:n])
    named = [("data", number, texts.source) for number, texts in enumerate(told.data or ())]
    for key, number, name in [*named, *(("model", number, name) for number, name in enumerate(told.model or ()))]:
        try:
            local_texts(name) if key == "data" else existing(name, "--model")
        except UsageError as error:
            yield (key, number), str(error).removeprefix(f"--{key} ")
    known: list[str] = []
    for number, name in enumerate(told.methods or CORE):
        try:
            members = choose([name]).names
        except UsageError as error:
            yield ("methods", number), "; ".join(str(error).removeprefix("--methods ").splitlines())
            continue
        for member in members:
            try:
                methods.get(member)
                known.append(member)
            except MethodError as error:
                yield ("methods", number), str(error)
    for target, values in (told.settings or {}).items():
        try:
            parse_sweeps([_setting(target, values)], known)
        except (MethodError, UsageError) as error:
            yield ("set", target), str(error).removeprefix(f"--set {_setting(target, values)}: ")
    for target, ends in ((told.tune and told.tune.space) or {}).items():
        try:
            spaces(known, [f"{target}={ends}"])
        except (MethodError, UsageError) as error:
            yield ("tune", "space", target), str(error).removeprefix(f"--space {target}={ends}: ")


def _setting(target: str, values: Sequence[object]) -> str:
    """Write a setting as on the command line: a comma between values, a plus within a list."""
    return f"{target}={','.join(map(written, values))}"
