"""`bench list`: the methods."""

import json
from typing import Annotated

import typer

import methods
from bench import console


def list_methods(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the methods by family: what they train, their defaults, their paper. Also lists which can't run, and why."""
    described = [methods.describe(name) for name in methods.names()]
    described += [{"name": name, "unable": why} for name, why in methods.unable().items()]
    if as_json:
        print(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        console.catalogue(described)
