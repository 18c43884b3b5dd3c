"""`bench publish`, `bench merge` and `bench export`: results for others, and those of others."""

from pathlib import Path
from typing import Annotated

import typer

from bench import console

PUBLISH_EXAMPLES = """Examples:

python -m bench publish results/demo --to shared/demo

python -m bench publish results/demo --to hub:ORG/NAME --anonymous
"""

MERGE_EXAMPLES = """Example:

python -m bench merge results/demo shared/theirs -o results/both
"""

EXPORT_EXAMPLES = """Example, and how such a folder is run:

python -m bench export results/demo --peft configurations

python -m bench run --methods configurations --preset demo
"""


def publish(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The store, or a folder that was published.")],
    to: Annotated[str, typer.Option(metavar="DIR|hub:ORG/NAME", help="A folder, or a data set on the Hub.")],
    adapters: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The runs' adapters, as --save-adapters left them. Default: STORE/adapters."),
    ] = None,
    license_id: Annotated[
        str, typer.Option("--license", metavar="ID", help="The license of the results, by its identifier on the Hub.")
    ] = "cc-by-4.0",
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Leave out the machine, paths, and names of your files and folders.")
    ] = False,
) -> None:
    """Publish a store as a data set with a leaderboard, the report as a page, and a model folder for each adapter.

    Texts are never published, only their hashes.
    """
    from bench.sharing import publish as publishing

    with console.busy("Publishing"):
        made = publishing.publish(store, to, adapters, license_id, anonymous=anonymous)
    _tell_left_out(made.left_out)
    console.say(f"{made.runs} runs and {made.adapters} adapters are published in {made.address or made.folder}")


def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="A B…", help="Stores, or folders that were published.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="C", help="The store to write. What it has stays.")],
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Of a run that isn't the same in all, keep the first folder's.")
    ] = False,
) -> None:
    """Join stores, or what others published, in one store. A run must have the same content in all that have it."""
    from bench.sharing import merge as merging

    with console.busy("Merging"):
        merged = merging.merge(stores, output, keep_first=keep_first)
    _tell_left_out(merged.left_out)
    console.say(f"{output} has {merged.runs} runs, {merged.added} of them new; `python report.py {output}` shows them")


def export(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The store, or a folder that was published.")],
    peft: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
) -> None:
    """Write each variant of a store as peft's adapter_config.json, in a folder of its own.

    `bench run --methods DIR` runs the same variants again.
    """
    from bench.sharing import export as exporting

    done = exporting.export(store, peft)
    _tell_left_out(done.unreadable)
    for why in dict.fromkeys(done.left_out.values()):
        console.say(f"Left out: {', '.join(sorted(name for name, of in done.left_out.items() if of == why))}: {why}")
    console.say(f"{done.variants} configurations are in {peft}")


def _tell_left_out(files: tuple[tuple[Path, str], ...]) -> None:
    if files:
        console.warn("Left out, as it can't be read", "\n".join(f"{path.name}: {why}" for path, why in files))
