"""The command line: a file for each command, and what they share."""

from bench.cli.app import main

__all__ = ["main"]
