"""Which column of a table is the text, the label, the group and the document: as a person says, or by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bench.data.options import NONE
from bench.errors import UsageError
from methods import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.data.options import DataOptions
    from bench.data.tables import Peek

OWN = ("text", "style", "category")
"""A table with these columns is read by them, whatever else it has: this project's own names."""
TEXTS = (
    *("text", "sentence", "content", "review", "body", "comment", "message", "tweet", "passage", "utterance"),
    *("headline", "abstract"),
)
PAIRS = (
    *(("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_a", "sentence_b"), ("text1", "text2")),
    *(("text_a", "text_b"), ("question1", "question2"), ("question", "sentence")),
)
LABELS = ("style", "label", "labels", "class", "target", "sentiment", "emotion", "intent", "topic", "author")
GROUP, DOCUMENT = "category", "document"


class Columns(NamedTuple):
    """The columns that are read; two for the text where texts are pairs."""

    text: tuple[str, ...]
    label: str
    group: str | None
    document: str | None

    def names(self) -> list[str]:
        """All of them."""
        return [name for name in (*self.text, self.label, self.group, self.document) if name is not None]


def find(table: Peek, options: DataOptions, where: str) -> Columns:
    """Return the columns that `options` name, and for what these leave open those known by their names.

    Raises UsageError where a column isn't there, none is known, or several fit.
    """
    there = table.columns
    own = all(name in there for name in OWN)
    text = _named(options.text, "--text", there, where) or (
        (OWN[0],) if own else _text(table, [options.label, options.group, options.document], where)
    )
    label = (_named((options.label,) if options.label else None, "--label", there, where) or (None,))[0]
    if label is None:
        label = OWN[1] if own and options.group != OWN[1] else _label(table, [*text, options.group], where)
    group = _optional(options.group, "--group", GROUP, [*text, label], there, where)
    document = _optional(options.document, "--document", DOCUMENT, [*text, label, group], there, where)
    found = Columns(text, label, group, document)
    for name in found.names():
        if found.names().count(name) > 1:
            raise UsageError(f"{where}: the column {name!r} can't be two things: {_told(found)}")
    return found


def _told(columns: Columns) -> str:
    roles = zip(("text", "label", "group", "document"), columns, strict=True)
    return ", ".join(f"{role} {name if isinstance(name, str) else ' and '.join(name)}" for role, name in roles if name)


def _named(names: tuple[str, ...] | None, option: str, there: Sequence[str], where: str) -> tuple[str, ...] | None:
    for name in names or ():
        if name not in there:
            raise UsageError(
                f"{option} {name}: {where}: no column {name!r}{did_you_mean(name, there)}; {_columns(there)}"
            )
    return names


def _optional(
    named: str | None, option: str, usual: str, taken: Sequence[str | None], there: Sequence[str], where: str
) -> str | None:
    if named == NONE and NONE not in there:
        return None
    if named is not None:
        _named((named,), option, there, where)
        return named
    known = [name for name in there if name.lower() == usual and name not in taken]
    return known[0] if len(known) == 1 else None


def _text(table: Peek, taken: Sequence[str | None], where: str) -> tuple[str, ...]:
    free = [name for name in table.columns if name not in taken]
    by_name = {name.lower(): name for name in free}
    pairs = [(by_name[one], by_name[two]) for one, two in PAIRS if one in by_name and two in by_name]
    paired = {name for pair in pairs for name in pair}
    single = [(name,) for name in free if name.lower() in TEXTS and name not in paired]
    fitting = [names for names in (*single, *pairs) if all(_is_text(table, name) for name in names)]
    return _only(fitting or [*single, *pairs], "text", table, where)


def _label(table: Peek, taken: Sequence[str | None], where: str) -> str:
    free = [name for name in table.columns if name not in taken]
    known = [name for name in free if name.lower() in LABELS] or [name for name in free if name.lower() == GROUP]
    fitting = [name for name in known if _is_label(table, name)]
    return _only([(name,) for name in fitting or known], "label", table, where)[0]


def _only(candidates: Sequence[tuple[str, ...]], role: str, table: Peek, where: str) -> tuple[str, ...]:
    if not candidates:
        raise UsageError(f"{where}: which column is the {role}? Name it with --{role}; {_columns(table.columns)}")
    if len(candidates) > 1:
        several = " or ".join(",".join(names) for names in candidates)
        raise UsageError(f"{where}: several columns may be the {role}; choose with --{role} {several}")
    return candidates[0]


def _is_text(table: Peek, name: str) -> bool:
    return all(isinstance(value, str) for value in _values(table, name))


def _is_label(table: Peek, name: str) -> bool:
    return all(
        isinstance(value, str | int) or (isinstance(value, float) and value.is_integer())
        for value in _values(table, name)
    )


def _values(table: Peek, name: str) -> list[Any]:
    return [row[name] for row in table.rows if row.get(name) is not None]


def _columns(names: Iterable[str]) -> str:
    return f"the columns are {', '.join(names) or 'none'}"
