"""What a person asked for, and the grid of variants that it unfolds to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import methods
from bench.data import DataOptions
from bench.errors import UsageError
from bench.execution import engine
from bench.sources import PRESETS
from bench.spec import CORE, LARGEST_SEED, Configured, LearningRates, Variant, parse_sweeps, unfolded

if TYPE_CHECKING:
    from pathlib import Path

    from bench import tracking
    from bench.resume import Rerun


@dataclass(frozen=True)
class Request:
    """What was asked for; None leaves the choice to the preset.

    `configured` are methods with the settings of files, beside `methods`.
    `forgetting` is a file with the text that it is measured by; True takes the project's own, False none.
    """

    methods: tuple[str, ...] = CORE
    configured: tuple[Configured, ...] = ()
    settings: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    preset: Literal["full", "demo"] | None = None
    model: str | None = None
    data: str | None = None
    categories: tuple[str, ...] | None = None
    train_size: int | None = None
    reading: DataOptions = field(default_factory=DataOptions)
    epochs: int | None = None
    max_steps: int | None = None
    batch_size: int | None = None
    max_length: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    feature_cache: bool = True
    results: Path | None = None
    save_adapters: Path | None = None
    rerun: Rerun = "failed"
    timeout_s: float | None = None
    checkpoint: Literal["auto", "on", "off"] = "auto"
    baseline: bool = True
    forgetting: Path | bool = True
    timing: bool = True
    report_to: tuple[tracking.Name, ...] = ()
    engine: engine.Settings = field(default_factory=engine.settings)

    @property
    def task(self) -> str:
        """The texts, the train size that was asked for, and the backbone, for people."""
        size = f", {self.train_size:,} train passages" if self.train_size else ""
        return f"{self.data or 'the preset’s texts'}{size} · {self.model or 'its backbone'}"

    def variants(self, learning_rates: LearningRates | None = None) -> list[Variant]:
        """Unfold methods and sweeps; what is wrong with them is raised here, before any text is read.

        `learning_rates` are the preset's; without a backbone at hand, those that the preset named here would use.
        """
        return [variant for variant, _ in self.unfolded(learning_rates)]

    def unfolded(self, learning_rates: LearningRates | None = None) -> list[tuple[Variant, tuple[str, ...]]]:
        """Do likewise, and tell of each variant which files it was read from."""
        if learning_rates is None:
            learning_rates = PRESETS[self.preset].learning_rates if self.preset and not self.model else LearningRates()
        for what, values in (("--methods", (*self.methods, *self.configured)), ("--seeds", self.seeds)):
            if not values:
                raise UsageError(f"{what} is empty; leave it out for the default")
        for what, given in (("--methods", self.methods), ("--seeds", self.seeds)):
            repeated = [str(value) for value, count in Counter[Any](given).items() if count > 1]
            if repeated:
                raise UsageError(f"{what}: {', '.join(repeated)} is given twice")
        for seed in self.seeds:
            if not 0 <= seed <= LARGEST_SEED:
                raise UsageError(f"--seeds {seed}: a seed is a whole number from 0 to {LARGEST_SEED}")
        for name in self.methods:
            methods.get(name)
        known = list(dict.fromkeys([*self.methods, *(one.method for one in self.configured)]))
        return unfolded(self.methods, self.configured, parse_sweeps(self.settings, known), learning_rates)
