"""Every method on small random models of ten architectures, in both precisions, through the real run: what works?

make matrix writes docs/matrix.md; or PYTHONPATH=.:tests python tests/matrix/table.py [METHOD …] prints the table.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from in_process import prepared
from small import SIZES, save_model, write_texts

import methods
from methods.errors import MethodError

PRECISIONS = ("fp32", "bf16")
FEWEST = {"epochs": 1, "max_steps": 2}
TABLE = Path(__file__).parents[2] / "docs" / "matrix.md"
HEAD = """# What runs where

`make matrix` trains every method for two steps on a small random model of each architecture, in fp32 and in bf16,
through the code of a study's runs. ✓: it runs in both precisions. A number: it doesn't, for the reason below the table.
Whether it learns well there is a study's to say.
"""
LONGEST = 200

Cell = tuple[str, str, str]
"""A method, an architecture, a precision."""


def column(architecture: str, precision: str, names: list[str]) -> dict[Cell, str]:
    """Run each method; return what went wrong, in one line, or "" where nothing did."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as folder:
        model = save_model(architecture, Path(folder) / architecture)
        texts = write_texts(Path(folder) / "texts")
        study = prepared(model, texts, Path(folder) / "scratch", dtype=precision, **FEWEST)
        found = {}
        for name in names:
            try:
                study.run(name)
                found[name, architecture, precision] = ""
            except Exception as error:  # whatever it is, it belongs into the table
                found[name, architecture, precision] = reason(error)
    return found


def reason(error: Exception) -> str:
    """Say in a line what went wrong, alike for all methods and models that it goes wrong for."""
    said = " ".join(str(error).split())
    if isinstance(error, MethodError):
        said = re.sub(
            r"^\w+ can't (tune|keep)( \w+For\w+:)?", lambda found: found[1] if found[1] == "keep" else "", said
        )
    else:
        said = f"{type(error).__name__}: {said}"
    said = re.sub(r": '\w+'\.?$", "", said)  # the architecture, which the column names
    return said.strip() if len(said) <= LONGEST else f"{said.strip()[:LONGEST]}…"


def table(found: dict[Cell, str], names: list[str], architectures: list[str]) -> str:
    """Return the table in Markdown, with the reasons numbered below it."""
    numbers: dict[str, int] = {}

    def cell(name: str, architecture: str) -> str:
        wrong = {precision: found[name, architecture, precision] for precision in PRECISIONS}
        shown = {p: str(numbers.setdefault(why, len(numbers) + 1)) if why else "✓" for p, why in wrong.items()}
        if len(set(shown.values())) == 1:
            return shown[PRECISIONS[0]]
        return ", ".join(f"{precision} {mark}" for precision, mark in shown.items())

    lines = ["| | " + " | ".join(architectures) + " |", "| --- |" + " :-: |" * len(architectures)]
    lines += [f"| {name} | " + " | ".join(cell(name, each) for each in architectures) + " |" for name in names]
    return "\n".join([*lines, "", *(f"{number}. {why}" for why, number in numbers.items())]) + "\n"


def main() -> int:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", help="default: all")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name} in place of printing the table")
    parser.add_argument("--architectures", default=",".join(SIZES))
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    names, architectures = asked.methods or sorted(methods.names()), asked.architectures.split(",")
    columns = list(product(architectures, PRECISIONS))
    found: dict[Cell, str] = {}
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        for done in pool.map(column, *zip(*columns, strict=True), [names] * len(columns)):
            found |= done
            print(f"{len(found)} of {len(columns) * len(names)}", file=sys.stderr)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    text = table(found, names, architectures)
    if asked.write:
        TABLE.write_text(f"{HEAD}\n{versions}.\n\n{text}", encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
