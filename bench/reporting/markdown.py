"""The report as GitHub-flavoured Markdown."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.cells import cell_len

from bench.reporting.model import Code, Paragraph, Picture, Span, Table, Unit
from bench.reporting.text import clean, clean_lines, show

if TYPE_CHECKING:
    from bench.reporting.model import Block, Column, Row, Section

_MARKUP = re.compile(
    r"""[\\`*\[\]<>|~$&!#]       # emphasis, code, links, HTML, cells, strike-through, mathematics, entities, headings
      | (?<![^\W_])_ | _(?![^\W_])  # an underscore at a word's edge; inside a word it means nothing
      | (?<=\w):(?=//)           # a bare address would become a link
      | (?<=www)\.
      | ^[-+=] | ^\d+[.)](?=\s|$)  # what makes a list or a rule of a line
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PLAIN_CODE = re.compile(r"[^`|\s]([^`|]*[^`|\s])?")


def render(section: Section, pictures: str = ".", level: int = 1) -> str:
    """Return the section and those below it as Markdown, ending in one newline.

    `pictures` is the folder that will hold the pictures' SVGs, as seen from the Markdown.
    """
    parts = [f"{'#' * level} {escape(section.title)}"]
    parts += [_block(block, pictures) for block in section.blocks]
    parts += [render(below, pictures, level + 1).rstrip("\n") for below in section.sections]
    return "\n\n".join(parts) + "\n"


def escape(text: str, limit: int = 300) -> str:
    """Return any text so that Markdown shows it as it is, on one line: the only place where that is decided."""
    return _MARKUP.sub(_literal, clean(text, limit))


def _literal(match: re.Match[str]) -> str:
    entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    return entities.get(match[0], match[0][:-1] + "\\" + match[0][-1])


def _block(block: Block, pictures: str) -> str:
    if isinstance(block, Paragraph):
        return _paragraph(block)
    if isinstance(block, Table):
        return table(block)
    if isinstance(block, Picture):
        return _picture(block, pictures)
    if isinstance(block, Code):
        return _code(block)
    raise TypeError(f"not a block: {block!r}")


def _paragraph(paragraph: Paragraph) -> str:
    text = "".join(map(_span, paragraph.spans))
    return f"> [!WARNING]\n> {text}" if paragraph.tone == "warning" else text


def _span(span: Span) -> str:
    if span.style == "code":
        text = clean(span.text, limit=80)
        return f"`{text}`" if _PLAIN_CODE.fullmatch(text) else escape(text)
    text = escape(span.text, limit=1000)
    if span.style == "strong":
        return f"**{text}**"
    # A plain span is part of a sentence: the spaces at its ends belong to it.
    before, after = (" " * edge.isspace() for edge in (span.text[:1], span.text[-1:]))
    return before + text + after if text else before


def _picture(block: Picture, folder: str) -> str:
    shown = f"**{escape(block.title)}**\n\n![{escape(block.alt, 2000)}]({quote(f'{folder}/{block.name}.svg')})"
    return _folded(block.rest, shown) if block.rest else shown


def _folded(rest: str, content: str) -> str:
    return f"<details>\n<summary>{html.escape(clean(rest))}</summary>\n\n{content}\n\n</details>"


def _code(block: Code) -> str:
    text = clean_lines(block.text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}sh\n{text}\n{fence}"


def table(block: Table) -> str:
    """Return the table, its columns aligned in the source too, numbers to the right; what may be is folded away."""
    if block.shown is None or block.shown >= len(block.rows):
        return _rows(block)
    first, rest = replace(block, rows=block.rows[: block.shown]), replace(block, rows=block.rows[block.shown :])
    folded = _folded(block.rest, _rows(rest))
    return f"{_rows(first)}\n\n{folded}" if first.rows else folded


def _rows(block: Table) -> str:
    heads = [escape(column.title, column.limit) for column in block.columns]
    body = [_row(row, block.columns) for row in block.rows]
    widths = [max(3, *map(cell_len, texts)) for texts in zip(heads, *body, strict=True)]
    right = [column.unit is not Unit.TEXT for column in block.columns]
    rule = ["-" * (width - 1) + ":" if r else "-" * width for width, r in zip(widths, right, strict=True)]
    padded = [
        [_pad(text, width, r) for text, width, r in zip(row, widths, right, strict=True)] for row in [heads, *body]
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [padded[0], rule, *padded[1:]])


def _row(row: Row, columns: tuple[Column, ...]) -> list[str]:
    texts = [escape(show(cell, column), column.limit) for cell, column in zip(row.cells, columns, strict=True)]
    return [f"*{text}*" for text in texts] if row.baseline else texts


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space
