"""The methods, as `bench list` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable
from rich.text import Text

from bench.console.lines import terminal
from bench.reporting.model import Cell, Column, Row, Table
from bench.reporting.terminal import to_rich
from bench.reporting.text import clean
from methods.capabilities import TITLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def catalogue(methods: Sequence[Mapping[str, Any]]) -> None:
    """Print by family what each method trains, its defaults and its paper; then what each can do; then those that can't
    take part, and why."""
    console = terminal()
    able = [method for method in methods if "family" in method]
    for family in sorted({method["family"] for method in able}):
        console.print(Text(family, style="bold underline"))
        for method in able:
            if method["family"] == family:
                console.print(Text(f"{method['name']}", style="bold"), _described(method))
        console.print()
    if able:
        console.print(Text("what each can do", style="bold underline"))
        console.print(_capabilities(able))
        console.print()
    others = [method for method in methods if "family" not in method]
    if others:
        console.print(Text("can't run", style="bold underline"))
    for method in others:
        why = clean(method.get("error") or method["unable"], 1000)
        console.print(Text.assemble((method["name"], "bold"), "  ", (why, "red" if "error" in method else "")))


def _capabilities(methods: Sequence[Mapping[str, Any]]) -> RichTable:
    """Lay out what each method can do besides learning, as it was measured with the installed peft."""
    columns = (Column("method"), *map(Column, TITLES))
    rows = [Row((Cell(method["name"]), *map(Cell, method["capabilities"].values()))) for method in methods]
    return to_rich(Table(columns, tuple(rows)), terminal().width)


def _range(field: str, found: Mapping[str, Any]) -> str:
    why = f" ({found['why']})" if found["why"] else ""
    return f"{field} {found['low']:g}..{found['high']:g}{':log' if found['log'] else ''}{why}"


def _described(method: Mapping[str, Any]) -> RichTable:
    """Lay out one method; hyperparameters that are off or left to peft go without saying."""
    shown = {key: value for key, value in method["defaults"].items() if value not in (None, False)}
    bounded = [f"{key} as the layers allow, up to {most}" for key, most in method["at_most"].items()]
    defaults = ", ".join([*(f"{key}={value}" for key, value in shown.items()), *bounded])
    swept = [f"; sweeps {key} over {', '.join(map(str, values))}" for key, values in method["sweep"].items()]
    lines = RichTable.grid(padding=(0, 2))
    for title, text in (
        ("trains", method["trains"]),
        ("defaults", defaults + "".join(swept)),
        ("searched", "; ".join(_range(field, found) for field, found in method["space"].items())),
        ("learning rate", method["learning_rate_source"]),
        ("other defaults", method["defaults_source"]),
        ("paper", method["paper"]),
    ):
        if text:
            lines.add_row(Text(f"  {title}", style="dim"), Text(clean(text, 1000)))
    return lines
