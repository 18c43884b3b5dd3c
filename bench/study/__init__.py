"""What was asked for -> a grid of runs -> records in a store."""

from bench.study.completing import complete, run
from bench.study.estimating import estimate
from bench.study.preparing import Prepared, look, prepare, prepare_all
from bench.study.request import Request

__all__ = ["Prepared", "Request", "complete", "estimate", "look", "prepare", "prepare_all", "run"]
