"""Which methods there are: a file each here, the types of peft, and what other packages add by entry point."""

from __future__ import annotations

from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, TypeVar

from methods import from_peft
from methods.base import Method
from methods.capabilities import described
from methods.errors import MethodError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import EntryPoint

GROUP = "bench.methods"
SUPPORT = frozenset(
    {
        "adapters",
        "base",
        "capabilities",
        "catalogue",
        "contract",
        "conv1d",
        "errors",
        "from_peft",
        "hyperparameters",
        "one_pass",
        "peft_config",
        "peft_layers",
        "peft_method",
        "peft_types",
        "prepare",
        "registry",
        "sizes",
        "spaces",
        "survey",
        "targets",
    }
)
"""The files of this package that hold no method; every other file holds the method of its name."""

M = TypeVar("M", bound=type[Method])

_registered: dict[str, type[Method]] = {}


def register(method: M) -> M:
    """Make a method known by its name; raise MethodError where the name is taken or the class says too little."""
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise MethodError(f"{method!r} isn't a subclass of methods.Method")
    for attribute in ("name", "trains", "paper", "learning_rate_source"):
        if not isinstance(getattr(method, attribute, None), str):
            raise MethodError(f"{method.__qualname__} lacks the class attribute {attribute!r}, a text")
    owner = _owner(method.name)
    if owner not in (None, method.__module__):
        raise MethodError(f"a method named {method.name!r} exists already, in {owner}; choose another name")
    _registered[method.name] = method
    return method


def _owner(name: str) -> str | None:
    """Return the module that holds the method of this name, if there is one."""
    if name in _files():
        return f"methods.{name}"
    if name in _registered:
        return _registered[name].__module__
    if name in from_peft.names():
        return from_peft.__name__
    points = _entry_points().get(name)
    return points[0].module if points else None


@cache
def _files() -> frozenset[str]:
    return frozenset(module.name for module in iter_modules([str(Path(__file__).parent)])) - SUPPORT


def _entry_points() -> dict[str, Sequence[EntryPoint]]:
    """Return the entry points of other packages by name; one with a name of this package's own is never asked."""
    points = metadata.entry_points(group=GROUP)
    return {name: [point for point in points if point.name == name] for name in {p.name for p in points}}


def names() -> list[str]:
    """Return the names of all methods that can take part, sorted, without importing any."""
    return sorted({*_files(), *_registered, *from_peft.names(), *_entry_points()})


def unable() -> dict[str, str]:
    """Return what peft has and can't take part, by name, with the reason in one line."""
    return {name: why for name, why in sorted(from_peft.unable().items()) if name not in names()}


def get(name: str) -> type[Method]:
    """Return the method of that name.

    Raises MethodError for an unknown name, with the nearest right one, and for a method of another package
    that can't be imported, with the reason.
    """
    if name in _files():
        import_module(f"methods.{name}")
    if name in _registered:
        return _registered[name]
    if name in from_peft.names():
        return register(from_peft.get(name))
    points = _entry_points().get(name)
    if points:
        return _load(name, points)
    if name in unable():
        raise MethodError(f"the method {name!r} can't run: {unable()[name]}")
    if name in from_peft.OWN:
        raise MethodError(f"peft's {name!r} is called {from_peft.OWN[name]!r} here")
    raise MethodError(f"there is no method {name!r}{did_you_mean(name, names())}; choose from {', '.join(names())}")


def families() -> dict[str, list[str]]:
    """Return the methods of each family, both sorted; one that can't be loaded is in none."""
    found: dict[str, list[str]] = {}
    for name in names():
        described = describe(name)
        if "error" not in described:
            found.setdefault(described["family"], []).append(name)
    return dict(sorted(found.items()))


def describe(name: str) -> dict[str, Any]:
    """Return what there is to know about a method before it runs, or its name and why it can't be loaded."""
    try:
        return {**get(name).describe(), "capabilities": described(name)}
    except MethodError as error:
        return {"name": name, "error": str(error)}


def _load(name: str, points: Sequence[EntryPoint]) -> type[Method]:
    if len(points) > 1:
        packages = " and ".join(sorted(_package(point) for point in points))
        raise MethodError(f"the method {name!r} comes from {packages}; uninstall one of them")
    point = points[0]
    try:
        method: type[Method] = point.load()
    except Exception as error:  # whatever another package's code does wrong
        raise MethodError(f"the method {name!r} of {_package(point)} can't be loaded: {_reason(error)}") from error
    if getattr(method, "name", None) != name:
        raise MethodError(f"the method {name!r} of {_package(point)} calls itself {getattr(method, 'name', None)!r}")
    return register(method)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
