"""The methods that are compared, behind a registry: a file each here, and what peft has.

    methods.get("lora")(r=8, alpha=128).apply(model)

Importing this package imports neither torch nor peft.
"""

from __future__ import annotations

from methods.base import LearningRate, Method, Plan
from methods.errors import MethodError, did_you_mean
from methods.registry import describe, families, get, names, register, unable

__all__ = [
    "LearningRate",
    "Method",
    "MethodError",
    "Plan",
    "describe",
    "did_you_mean",
    "families",
    "get",
    "names",
    "register",
    "unable",
]
