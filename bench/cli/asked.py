"""What `run` and `tune` were asked for: their common parameters, a study file -> requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench import console
from bench.cli import values
from bench.errors import UsageError
from bench.spec import renamed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import typer

    from bench import study, studyfile

EXIT_RUNS_FAILED = 1

_AS_GIVEN = (
    *("preset", "model", "data", "epochs", "max_steps", "batch_size", "max_length", "device", "dtype"),
    *("feature_cache", "results", "rerun", "checkpoint", "save_adapters", "baseline", "timing"),
)
_KEYS = {"chosen": "methods", "no_forgetting": "forgetting"}
"""Parameters that have another name than a study file's key."""


def request(given: Mapping[str, Any]) -> study.Request:
    """Return what was asked for by the parameters, by name, that `run` and `tune` have in common, at any train size."""
    from bench import configured, study, tracking
    from bench.execution import engine, slots

    chosen = values.names(given["chosen"]) or ()
    found = configured.choose(chosen)
    if hint := renamed(chosen):
        console.say(hint)
    if given["forgetting"] and given["no_forgetting"]:
        raise UsageError("--forgetting FILE and --no-forgetting: give one of them")
    reading = (given[name] for name in ("text", "label", "group", "document", "splits", "sample"))
    return study.Request(
        **{name: given[name] for name in _AS_GIVEN},
        methods=found.methods,
        configured=found.configured,
        settings=tuple(given.get("settings") or ()),
        seeds=values.seeds(given["seeds"]),
        categories=values.names(given["category"]),
        reading=values.reading(*reading),
        forgetting=given["forgetting"] or not given["no_forgetting"],
        report_to=tracking.named(values.names(given["report_to"]) or ()),
        timeout_s=values.duration(given["timeout"]),
        engine=engine.settings(
            given["engine"],
            slots.Placing(values.jobs(given["jobs"]), given["threads"], given["runs_per_gpu"], given["timing"]),
            given["workers"],
            given["engine_set"] or (),
            given["engine_file"],
        ),
    )


def typed_keys(ctx: typer.Context) -> set[str]:
    """Return what was given on the command line, by a study file's keys."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {_KEYS.get(name, name) for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def study_file(path: Path | None) -> studyfile.Study | None:
    """Read a study file, if one was named. Raises UsageError with its mistakes."""
    from bench import studyfile

    return None if path is None else studyfile.read(path)


def requests(found: studyfile.Study | None, given: Mapping[str, Any], typed: set[str]) -> list[study.Request]:
    """Return what a study file asks for, with what the command line says on top; without a file that alone.

    Each train size is a request.
    """
    if found is None:
        sizes = (None,) if given["train_size"] is None else values.sizes(given["train_size"])
        one = request(given)
        asked = [replace(one, train_size=size) for size in sizes]
    else:
        asked = found.requests(request({**given, **found.options(typed)}), typed)
    for configuration in asked[0].configured:
        if len(configuration.files) > 1:
            console.say(f"The same settings, so one variant: {', '.join(configuration.files)}")
    return asked
