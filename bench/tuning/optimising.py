"""Good settings of one method for their own sake: Optuna's tree-structured Parzen estimator, asked and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import methods
from bench.errors import UsageError
from bench.spec import Variant

if TYPE_CHECKING:
    from bench.stats import Rule, Search
    from bench.tuning.spaces import Space


class Optimiser:
    """Proposes settings in a space, the next by what the trials before it found.

    The same trials give the same proposals, so a search that was interrupted goes on with the records that it has.
    Raises UsageError where Optuna isn't installed.
    """

    def __init__(self, default: Variant, space: Space, seed: int) -> None:
        self.default, self.space, self.seed = default, space, seed
        self._optuna = optuna()
        self._study = self._optuna.create_study(
            direction="maximize", sampler=self._optuna.samplers.TPESampler(seed=seed)
        )
        self._pending: Any = None

    def next(self, search: Search, rule: Rule) -> Variant:
        """Tell how the search's last trial went, and return what to try next."""
        found = search.goodness(len(search.trials) - 1, rule)
        if self._pending is not None:
            failed = self._optuna.trial.TrialState.FAIL
            self._study.tell(self._pending, found, state=None if found is not None else failed)
        elif found is not None and self._holds_default():
            values = {field: self._of_default(field) for field in self.space}
            create = self._optuna.trial.create_trial
            self._study.add_trial(create(params=values, distributions=self._distributions(), value=found))
        self._pending = self._study.ask(self._distributions())
        kind = methods.get(self.default.method)
        values = {field: _rounded(value) for field, value in self._pending.params.items()}
        built = kind(**{**self.default.hyperparameters, **values})
        return Variant(method=self.default.method, hyperparameters=built.hyperparameters())

    def _holds_default(self) -> bool:
        return all(0 <= found.share(self._of_default(field)) <= 1 for field, found in self.space.items())

    def _of_default(self, field: str) -> Any:  # noqa: ANN401  (a whole number or another)
        return self.default.hyperparameters[field]

    def _distributions(self) -> dict[str, Any]:
        made, kind = self._optuna.distributions, methods.get(self.default.method)
        return {
            field: made.IntDistribution(int(found.low), int(found.high), log=found.log)
            if kind.takes(field) == "whole"
            else made.FloatDistribution(found.low, found.high, log=found.log)
            for field, found in self.space.items()
        }


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")


def optuna() -> Any:  # noqa: ANN401  (it may not be installed)
    """Return the package. Raises UsageError where it isn't installed."""
    try:
        import optuna as found
    except ImportError:
        raise UsageError("--optimise needs Optuna, which isn't installed: pip install 'peft-bench[optimise]'") from None
    found.logging.set_verbosity(found.logging.WARNING)
    return found
