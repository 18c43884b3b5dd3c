"""The commands in the order in which `--help` names them; how the process ends."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from bench.cli import data, gates, init, listing, run, sharing, tune
from bench.errors import UsageError, refusal
from bench.execution import interrupts
from bench.machine import streams
from bench.reporting.text import clean_lines
from methods import MethodError

EXIT_USAGE = 2

app = typer.Typer(
    help="Compare parameter-efficient fine-tuning methods for text classification.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)
app.command(epilog=run.EXAMPLES)(run.run)
app.command()(init.init)
app.command(epilog=data.EXAMPLES)(data.data)
app.command(epilog=tune.EXAMPLES)(tune.tune)
app.command(name="list")(listing.list_methods)
app.command(epilog=sharing.PUBLISH_EXAMPLES)(sharing.publish)
app.command(epilog=sharing.MERGE_EXAMPLES)(sharing.merge)
app.command(epilog=sharing.EXPORT_EXAMPLES)(sharing.export)
app.command(epilog=gates.CHECK_EXAMPLES)(gates.check)
app.command()(gates.budget)
app.command()(gates.regress)


def main() -> None:
    """Run a command; a person's mistake ends with exit code 2 and a line or two, never a traceback."""
    streams.replace_unknown()
    try:
        _check_encoding(sys.argv)
        code = app(standalone_mode=False)
    except (UsageError, MethodError) as error:
        _mistake(str(error))
    except TyperException as error:
        _mistake(error.format_message())
    except OSError as error:
        _mistake(refusal(error))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(interrupts.EXIT_CODE)
    finally:
        interrupts.forget()
    sys.exit(code or 0)


def _check_encoding(arguments: list[str]) -> None:
    """Refuse what no record could hold: bytes that aren't text."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{argument!a} isn't UTF-8; rename that file or folder") from None


def _mistake(message: str) -> NoReturn:
    print(f"bench: {clean_lines(message)}", file=sys.stderr)
    sys.exit(EXIT_USAGE)
