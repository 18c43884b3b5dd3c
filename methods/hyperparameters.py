"""Hyperparameters as text, and what is wrong with them in one line."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticCustomError

from methods.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel, ValidationError

LISTS = (list, tuple, set, frozenset)
KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}


def from_text(annotation: object, value: object) -> object:
    """Return what `value` stands for in a field of that type: "none", and "a+b" or "a,b" for a list."""
    members = _members(annotation)
    if isinstance(value, bool) and bool not in members and Any not in members:
        raise PydanticCustomError("truth_value", "a truth value isn't a number or a name")
    if not isinstance(value, str) or str in members:
        return value
    if value.strip().lower() == "none" and type(None) in members:
        return None
    if any(get_origin(member) in LISTS or member in LISTS for member in members):
        return [part.strip() for part in value.replace("+", ",").split(",") if part.strip()]
    return value


def number(annotation: object) -> Literal["whole", "real"] | None:
    """Return what numbers a field of that type takes; None where it takes none."""
    members = _members(annotation)
    if float in members:
        return "real"
    return "whole" if int in members else None


def _members(annotation: object) -> list[object]:
    """Return the alternatives of a type, each without its metadata."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in _members(member)]
    return [annotation]


def explain(name: str, fields: type[BaseModel], values: Mapping[str, Any], error: ValidationError) -> str:
    """Say in one line what is wrong with `values` as hyperparameters of the method `name`, whose `fields` are these."""
    told: dict[str, str] = {}
    for detail in error.errors():
        field = str(detail["loc"][0]) if detail["loc"] else ""
        told.setdefault(field, _explain_one(name, fields, field, values, detail["type"], detail["msg"]))
    return "; ".join(told.values())


def _explain_one(
    name: str, fields: type[BaseModel], field: str, values: Mapping[str, Any], kind: str, message: str
) -> str:
    if not field:
        return f"{name}: {_one_line(message)}"
    if kind == "extra_forbidden":
        known = sorted(fields.model_fields)
        near = did_you_mean(field, known)
        return f"{name} has no hyperparameter {field!r}{near}; it has {', '.join(known)}"
    allowed = _one_line(message) if kind == "value_error" else f"it must be {_allowed_values(fields, field)}"
    if kind == "missing":
        return f"{name}.{field} isn't given: {allowed}"
    return f"{name}.{field}={shown(values.get(field))} isn't allowed: {allowed}"


def _one_line(message: str) -> str:
    return " ".join(message.removeprefix("Value error, ").split())


def shown(value: object) -> str:
    """Return a value in one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _allowed_values(fields: type[BaseModel], field: str) -> str:
    """Say what a field takes: "a whole number from 1 to 1024", "a number above 0 and at most 1"."""
    schema = fields.model_json_schema()["properties"][field]
    return " or ".join(_kind(option) for option in schema.get("anyOf", [schema]))


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "null":
        return "none"
    if schema.get("type") == "array":
        return "a list of names"
    return KINDS.get(str(schema.get("type")), str(schema.get("type", "a value"))) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and low == high:
        return f", {low} only"
    parts = [
        f"{words} {schema[key]}"
        for key, words in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    return f" {' and '.join(parts)}" if parts else ""
