"""`bench init`: a study file to start from."""

from pathlib import Path
from typing import Annotated

import typer

from bench import console


def init(
    file: Annotated[Path, typer.Argument(metavar="[STUDY.yaml]", help="The file to write.")] = Path("study.yaml"),
) -> None:
    """Write a study file with comments, to be changed and run: `bench run STUDY.yaml`."""
    from bench import studyfile

    studyfile.write_template(file)
    console.say(f"{file} is there: change it, then `python -m bench run {file}`")
