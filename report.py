"""A store -> its report: python report.py [DIR] [-o FILE]; two stores side by side: python report.py A B."""

from __future__ import annotations

import difflib
import gc
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.errors import UsageError, refusal
from bench.machine import streams
from bench.reporting import document, latex, markdown, pair, report, spreadsheet
from bench.reporting.document import analyses, comparison_tables
from bench.reporting.model import Picture
from bench.reporting.text import clean
from bench.sharing import published
from bench.store.files import Contents, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.reporting.model import Section

RESULTS = Path("results")
PUBLISHED = "published"
DOCUMENTS = (".md", ".html")
TABLES = {".csv": spreadsheet.render, ".tex": latex.render}
EXAMPLES = """\b
Examples:
  python report.py                                  the newest store in results/, into its report.md
  python report.py results/demo -o report.html      one page with everything, for any browser
  python report.py results/demo -o table.csv        the comparison for a spreadsheet; .tex for LaTeX
  python report.py results/demo --reference head    differences from head, not from LoRA
  python report.py results/demo --reference "lora alpha=32"
  python report.py results/demo results/again       two stores side by side
  python report.py results/a results/b --together   several tasks in one report, with what holds over all"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def render(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR]…",
            help="The store, or a published one; by default the one in results/ with the newest record.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            *("-o", "--output"),
            metavar="FILE",
            help="Where to: .md, .html, .csv or .tex; - prints Markdown. By default DIR/report.md; two stores print.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help='What all are compared with: "ia3", "lora alpha=8". By default LoRA.'),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Report several stores as the tasks of one study, not side by side.")
    ] = False,
) -> None:
    """Render a store's records as a report, or put two stores side by side."""
    ending = ".md" if output in (None, "-") else Path(output).suffix.lower()
    if ending not in (*DOCUMENTS, *TABLES):
        endings = ", ".join((*DOCUMENTS, *TABLES))
        raise UsageError(f"-o {output}: there is no such format; name a file that ends in {endings}")
    named = folders or []
    with ExitStack() as unpacked:
        if together:
            stores = [_read(folder, unpacked) for folder in dict.fromkeys(named)]
            _together(stores, output or "-", ending, reference)
        elif len(named) > 2:
            raise UsageError(
                f"{len(named)} stores: two are put side by side; --together reports all as tasks of a study"
            )
        elif len(named) == 2:
            a, b = (_read(folder, unpacked) for folder in named)
            _two((str(named[0]), str(named[1])), a, b, output or "-", ending, reference)
        else:
            folder, contents = _read(named[0], unpacked) if named else _newest()
            _one(folder, contents, output or str((named or [folder])[0] / "report.md"), ending, reference)


def _one(folder: Path, contents: Contents, path: str, ending: str, reference: str | None) -> None:
    if ending in TABLES:
        if not contents.records:
            raise UsageError(f"{folder} holds no record to compare")
        found = analyses(contents.records, folder, reference)
        _tell(contents.unreadable, [missing for analysis in found for missing in analysis.missing])
        _put(path, TABLES[ending](comparison_tables(found)).encode())
    else:
        _document(report(contents, folder, reference, pictures=path != "-"), path, ending)


def _two(
    names: tuple[str, str],
    a: tuple[Path, Contents],
    b: tuple[Path, Contents],
    output: str,
    ending: str,
    reference: str | None,
) -> None:
    if reference is not None:
        raise UsageError("--reference goes with one store: two are compared with each other")
    found = pair.pairs(a, b)
    if ending in TABLES:
        _put(output, TABLES[ending](pair.named_tables(found)).encode())
    else:
        _document(pair.report(names, found), output, ending)


def _together(stores: list[tuple[Path, Contents]], output: str, ending: str, reference: str | None) -> None:
    if len(stores) < 2:
        raise UsageError("--together goes with two stores or more")
    for folder, contents in stores:
        if not contents.records:
            raise UsageError(f"{folder} holds no record to report")
    found = document.together(stores, reference)
    unreadable = tuple(file for _, contents in stores for file in contents.unreadable)
    if ending in TABLES:
        _tell(unreadable, [missing for analysis in found for missing in analysis.missing])
        _put(output, TABLES[ending](comparison_tables(found)).encode())
    else:
        _document(document.of_analyses(found, unreadable, pictures=output != "-"), output, ending)


def _document(section: Section, path: str, ending: str) -> None:
    """Write a report; Markdown has its pictures in a folder beside it."""
    if ending == ".html":
        from bench.reporting import page  # its template engine isn't needed for Markdown

        _put(path, page.render(section))
        return
    folder = Path(path).with_name(f"{Path(path).stem}-pictures")
    if path != "-":
        _put_pictures(folder, {f"{picture.name}.svg": picture.draw("outlines") for picture in _pictures(section)})
    _put(path, markdown.render(section, folder.name).encode())


def _pictures(section: Section) -> Iterator[Picture]:
    yield from (block for block in section.blocks if isinstance(block, Picture))
    for below in section.sections:
        yield from _pictures(below)


def _put_pictures(folder: Path, pictures: dict[str, bytes]) -> None:
    """Write the pictures, and remove those of an earlier report."""
    try:
        if pictures:
            folder.mkdir(exist_ok=True)
        for path in folder.glob("*.svg"):
            if path.name not in pictures:
                path.unlink()
        for name, svg in pictures.items():
            (folder / name).write_bytes(svg)
    except OSError as error:
        raise UsageError(f"can't write {folder}: {error.strerror}") from error


def _put(path: str, content: bytes) -> None:
    """Write a file and say where, or print it, as UTF-8 whatever the terminal's encoding."""
    if path == "-":
        typer.echo(content, nl=False)
        return
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from error
    typer.echo(path)


def _tell(unreadable: Sequence[tuple[Path, str]], missing: list[str]) -> None:
    """Say what a table by itself can't: what it lacks."""
    for path, reason in unreadable:
        print(f"report.py: {clean(f'{path.name} is left out: {reason}')}", file=sys.stderr)
    for said in missing:
        print(f"report.py: predictions couldn't be read: {clean(said)}", file=sys.stderr)


def _read(folder: Path, unpacked: ExitStack) -> tuple[Path, Contents]:
    """Read the store in a folder that was named, or what was published of one, which lies unpacked for so long."""
    try:
        if not folder.is_dir():
            raise UsageError(f"no store at {folder}{_nearest(folder)}; `python -m bench run` makes one")
        folder = unpacked.enter_context(published.as_store(folder))
        contents = _contents(folder)
    except OSError as error:
        raise UsageError(f"{folder} can't be read: {error.strerror}") from error
    if not (contents.records or contents.unreadable) and (below := _stores(folder)):
        names = ", ".join(map(str, below))
        raise UsageError(f"{folder} holds no records, but folders in it do; name one of them: {names}")
    return folder, contents


def _contents(folder: Path) -> Contents:
    """Read a store; a record whose predictions alone are missing or damaged still tells its figures."""
    found = Store(folder).read()
    partial = {record.uid for record in found.partial}
    records = sorted((*found.records, *found.partial), key=lambda record: (record.created_at, record.uid))
    return Contents(tuple(records), tuple((path, why) for path, why in found.unreadable if path.stem not in partial))


def _newest() -> tuple[Path, Contents]:
    """Read the store under results/ that holds the newest record."""
    stores = [(folder, _contents(folder)) for folder in _stores(RESULTS) if folder.name != PUBLISHED]
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


def main() -> None:
    """Run the command line; a user's mistake ends with one line and exit code 2."""
    streams.replace_unknown()
    gc.disable()  # the process soon ends, and a thousand records are a million objects to go through again and again
    try:
        code = app(standalone_mode=False)
    except (UsageError, typer.TyperException) as error:
        message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        print(f"report.py: {clean(message, 500)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"report.py: {clean(refusal(error), 500)}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code)


if __name__ == "__main__":
    main()
