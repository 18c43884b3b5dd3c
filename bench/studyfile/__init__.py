"""A study as a file: which texts, backbones, methods and seeds, and all else that the command line has."""

from bench.studyfile.parse import Study, read
from bench.studyfile.template import write_template

__all__ = ["Study", "read", "write_template"]
