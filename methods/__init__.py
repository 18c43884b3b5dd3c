"""The methods that are compared, one file each, behind a registry.

    methods.get("lora")(r=8, alpha=128).apply(model)

Importing this package imports neither torch nor peft.
"""

from __future__ import annotations

from methods.base import LearningRate, Method, Plan
from methods.errors import MethodError, did_you_mean
from methods.registry import describe, get, names, register

__all__ = ["LearningRate", "Method", "MethodError", "Plan", "describe", "did_you_mean", "get", "names", "register"]
