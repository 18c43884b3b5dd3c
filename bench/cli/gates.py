"""`bench check`, `bench budget` and `bench regress`: what CI asks."""

from typing import Annotated

import typer

import methods
from bench import console

EXIT_CHANGED = 1

CHECK_EXAMPLES = """Example:

python -m bench check lora
"""


def check(
    name: Annotated[str, typer.Argument(metavar="METHOD", help="A method from `bench list`.")],
) -> None:
    """Check that a method keeps its contract on a small GPT-2, Llama and BERT, and measure what it can do there."""
    from bench.gates import capabilities
    from bench.gates import check as checks

    method = methods.get(name)
    outcome = checks.outcome(method)
    console.show(checks.table(outcome))
    if not checks.serves_none(outcome):
        found = capabilities.measure(method)
        console.show(capabilities.table(name, found))
        for line in capabilities.lines(found):
            console.say(line)
    for line in checks.lines(name, outcome):
        console.say(line)
    raise typer.Exit(EXIT_CHANGED if checks.broken(outcome) else 0)


def budget(
    update: Annotated[bool, typer.Option("--update", help="Save the measured figures as the new budgets.")] = False,
) -> None:
    """Compare each method's operators, FLOPs and live memory with tests/benchmarks/budgets.csv."""
    from bench.gates import budget as budgets

    found = budgets.update(budgets.FILE) if update else budgets.check(budgets.FILE)
    if found:
        console.show(budgets.table(found))
    console.say(budgets.verdict(found, update))
    raise typer.Exit(EXIT_CHANGED if found and not update else 0)


def regress(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Revision to compare with: a branch, tag or commit.")],
    head: Annotated[str, typer.Argument(metavar="[HEAD]", help="Revision to test.")] = "HEAD",
    margin: Annotated[float, typer.Option(help="Relative slowdown that counts as slower: 0.05 is 5%.", min=0)] = 0.05,
) -> None:
    """Time the benchmarks of two revisions in turns, and print a Markdown table of the ratios."""
    from bench.gates import regress as regression
    from bench.gates.ratios import Rule

    rule = Rule(margin=margin)
    outcome = regression.compare(regression.ROOT, base, head, rule, tell=lambda line: typer.echo(line, err=True))
    typer.echo(regression.report(outcome, base, head, rule))
    raise typer.Exit(EXIT_CHANGED if outcome.slower else 0)
