"""`bench data`: how texts would be read."""

from typing import Annotated

import typer

from bench import console
from bench.cli import options, values

EXAMPLES = """Examples:

python -m bench data my-texts/

python -m bench data pairs.csv --text question1,question2 --label is_duplicate
"""


def data(
    name: Annotated[
        str, typer.Argument(metavar="NAME|DIR|FILE", help="Texts: a folder, a file, or a name on the Hub.")
    ],
    model: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="Count in this model's tokens. Default: the embedded GPT-2.")
    ] = None,
    text: options.TextColumns = None,
    label: options.LabelColumn = None,
    group: options.GroupColumn = None,
    document: options.DocumentColumn = None,
    splits: options.SplitSources = None,
    sample: options.Sample = None,
) -> None:
    """Show how texts would be read: columns, labels, lengths, duplicates and first rows. Nothing is trained."""
    from bench import study

    reading = values.reading(text, label, group, document, splits, sample)
    request = study.Request(preset="demo", model=model, data=name, reading=reading)
    corpus, lengths = study.look(request)
    console.data(corpus, lengths, model or "the embedded GPT-2")
    if found := study.estimate(request):
        console.say("A study of the core methods with three seeds, as `python -m bench run` makes it:")
        console.estimate(found)
