"""A store -> its report: python report.py [DIR] [-o FILE]."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.errors import UsageError
from bench.reporting import markdown, report
from bench.reporting.text import clean
from bench.store import Contents, Store

RESULTS = Path("results")
PUBLISHED = "published"
FORMATS = {".md": markdown.render}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def render(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The store; by default the one in results/ with the newest record."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to; - prints. By default DIR/report.md."),
    ] = None,
) -> None:
    """Render a store's records as a report in Markdown."""
    ending = ".md" if output in (None, "-") else Path(output).suffix.lower()
    if ending not in FORMATS:
        raise UsageError(f"-o {output}: there is no such format; name a file that ends in {', '.join(FORMATS)}")
    store, contents = _read(folder) if folder else _newest()
    text = FORMATS[ending](report(contents))
    if output == "-":
        typer.echo(text.encode(), nl=False)  # UTF-8 whatever the terminal's encoding
        return
    path = Path(output) if output else store / "report.md"
    _write(path, text)
    typer.echo(path)


def _read(folder: Path) -> tuple[Path, Contents]:
    """Read the store in a folder that was named."""
    if not folder.is_dir():
        raise UsageError(f"no store at {folder}{_nearest(folder)}; `python -m bench run` makes one")
    contents = Store(folder).read()
    if not (contents.records or contents.unreadable) and (below := _stores(folder)):
        names = ", ".join(map(str, below))
        raise UsageError(f"{folder} holds no records, but folders in it do; name one of them: {names}")
    return folder, contents


def _newest() -> tuple[Path, Contents]:
    """Read the store under results/ that holds the newest record."""
    stores = [(folder, Store(folder).read()) for folder in _stores(RESULTS) if folder.name != PUBLISHED]
    filled = [(folder, contents) for folder, contents in stores if contents.records]
    if not filled:
        raise UsageError(f"no store under {RESULTS}/: run `python -m bench run` first, or name a store's folder")
    return max(filled, key=lambda store: store[1].records[-1].created_at)


def _stores(folder: Path) -> list[Path]:
    """The folders directly in this one that hold JSON files."""
    return sorted({path.parent for path in folder.glob("*/*.json")})


def _nearest(folder: Path) -> str:
    near = difflib.get_close_matches(folder.name, [path.name for path in _stores(folder.parent)], n=1)
    return f"; did you mean {folder.parent / near[0]}?" if near else ""


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from error


def main() -> None:
    """Run the command line; a user's mistake ends with one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except (UsageError, typer.TyperException) as error:
        message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        print(f"report.py: {clean(message, 500)}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code)


if __name__ == "__main__":
    main()
