"""Search good settings for each method with the same budget, then train what was chosen anew and test only that."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import methods
from bench import console, study
from bench.errors import UsageError
from bench.reporting import searches as shown
from bench.spec import LARGEST_SEED, RangeSpec, TrialSpec, Variant
from bench.stats import Rule, Search
from bench.store.metrics import METRICS
from bench.store.record import Searched
from bench.tracking import Trackers
from bench.tuning import optimising
from bench.tuning.points import point
from bench.tuning.spaces import spaces
from methods.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.data import Corpus
    from bench.spec import RunSpec
    from bench.store.files import Store
    from bench.store.record import Record
    from bench.study import Prepared, Request
    from bench.tuning.spaces import Space

TRIALS = 16
"""So many trials a method has beside its default, where nothing else is asked for."""
MOST_TRIALS = 1000
"""More no budget buys: one more would tell nothing."""

Which = tuple[str, int]
"""A method and a search seed: one search."""


@dataclass(frozen=True)
class Tuning:
    """A study's request, whose seeds are those of the final runs, and how to search before: `trials` or `budget_s`."""

    request: Request
    trials: int | None = None
    budget_s: float | None = None
    search_seeds: tuple[int, ...] = (0,)
    space: tuple[str, ...] = ()
    select_epoch: bool = False
    optimise: bool = False
    select_metric: str = "accuracy"

    @property
    def rule(self) -> Rule:
        """By which epoch trials are judged, and what was chosen is tested."""
        return "best" if self.select_epoch else "last"

    def spaces(self) -> dict[str, Space]:
        """Return each method's space. Raises UsageError for what is wrong with what was asked for, before any run."""
        if self.request.configured:
            named = ", ".join(dict.fromkeys(one.method for one in self.request.configured))
            raise UsageError(f"bench tune searches the settings of methods, so it takes no file of them; name {named}")
        self.request.variants()
        if self.select_metric not in METRICS:
            near = did_you_mean(self.select_metric, list(METRICS))
            said = f"--select-metric {self.select_metric}: there is no such metric{near}; there are "
            raise UsageError(said + ", ".join(METRICS))
        if self.trials is not None and self.budget_s is not None:
            raise UsageError("--trials and --budget: give one of them, so many trials or so much training time")
        if not self.search_seeds:
            raise UsageError("--search-seeds is empty; leave it out for the default")
        for seed, times in Counter(self.search_seeds).items():
            if times > 1:
                raise UsageError(f"--search-seeds: {seed} is given twice")
            if not 0 <= seed <= LARGEST_SEED:
                raise UsageError(f"--search-seeds {seed}: a seed is a whole number from 0 to {LARGEST_SEED}")
        if both := sorted(set(self.search_seeds) & set(self.request.seeds)):
            raise UsageError(
                f"--seeds and --search-seeds share {', '.join(map(str, both))}: settings that were chosen by a seed "
                "look better with it than they are; give --seeds others"
            )
        found = spaces(self.request.methods, self.space)
        if self.optimise:
            if len(found) > 1 or self.budget_s is not None:
                raise UsageError("--optimise finds good settings of one method, with --trials; it compares nothing")
            if not all(found.values()):
                raise UsageError(f"--optimise: {', '.join(found)} has nothing to search")
            optimising.optuna()
        return found

    def defaults(self) -> dict[str, Variant]:
        """Return each method's documented default: a preset's learning rates are chosen, and a search starts afresh."""
        return {
            name: Variant(method=name, hyperparameters=methods.get(name)().hyperparameters())
            for name in self.request.methods
        }


@dataclass(frozen=True)
class Tuned:
    """What `run` did: the searches, and the final runs' records, in the store."""

    store: Store
    searches: tuple[Search, ...]
    records: tuple[Record, ...]

    @property
    def ok(self) -> bool:
        """Whether every run has a result; a trial that diverged has one: it says what isn't to be chosen."""
        trials = all(search.failed == 0 for search in self.searches)
        return trials and all(record.status == "ok" for record in self.records)


def run(*tasks: Tuning) -> Tuned:
    """Search, choose, and train the chosen settings and the defaults on fresh seeds.

    Several are the tasks of one study: they differ in texts and backbone alone, and each has searches of its own.
    Raises UsageError for what is wrong with what was asked for, and where the budget buys a method no trial.
    """
    spaces = tasks[0].spaces()
    with Trackers(tasks[0].request.report_to) as trackers:
        return _run(tasks, spaces, trackers)


def _run(tasks: Sequence[Tuning], spaces: dict[str, Space], trackers: Trackers) -> Tuned:
    greediest = [_greediest(name, space) for name, space in spaces.items()]
    prepared = study.prepare_all([task.request for task in tasks], greediest)
    for asked, task in zip(tasks, prepared, strict=True):
        _check_metric(asked.select_metric, task.corpus)
    searches: list[Search] = []
    specs: list[RunSpec] = []
    for asked, task in zip(tasks, prepared, strict=True):
        if len(tasks) > 1:
            console.say(f"Searching on {task.name}:")
        trials = _Trials(asked, task, spaces, trackers)
        done = trials.optimise() if asked.optimise else trials.run()
        console.show(shown.chosen(done, asked.rule))
        searches += done
        specs += _final(asked, task, [*trials.defaults.values(), *_chosen(done, asked.rule)])
    records = study.complete(prepared, specs, tasks[0].request, trackers)
    return Tuned(prepared[0].store, tuple(searches), tuple(records))


def _final(asked: Tuning, task: Prepared, variants: Iterable[Variant]) -> list[RunSpec]:
    """Return the runs that are tested."""
    selecting = {"select_epoch": True, "select_metric": asked.select_metric} if asked.select_epoch else {}
    training = task.study.training.model_copy(update=selecting)
    grid = task.study.model_copy(update={"training": training})
    distinct = _distinct(variants, asked.request.methods)
    return [grid.run(variant, seed) for seed in asked.request.seeds for variant in distinct]


def _check_metric(name: str, corpus: Corpus) -> None:
    """Refuse a metric that the texts can't be scored by."""
    if METRICS[name].two_styles and len(corpus.styles) != 2:
        one = f"--select-metric {name} is for two labels, and {corpus.name} has {len(corpus.styles)}"
        raise UsageError(f"{one}; take macro_f1, where each label counts the same")
    if METRICS[name].two_styles and corpus.frames["validation"]["style"].nunique() < 2:
        raise UsageError(f"--select-metric {name} needs both labels in the validation split of {corpus.name}")


def announced(asked: Tuning, tasks: int = 1) -> list[str]:
    """Say in lines what would be searched on each of the tasks, where, and how many runs that takes."""
    found, defaults = asked.spaces(), asked.defaults()
    lines = []
    for name, space in found.items():
        ranges = [f"{field} {r.low:g}..{r.high:g}{':log' if r.log else ''}" for field, r in space.items()]
        at = ", ".join(f"{field}={defaults[name].hyperparameters[field]}" for field in space)
        lines.append(f"{name}: {', '.join(ranges)}; default {at}" if space else f"{name}: nothing to search")
    searched = sum(bool(space) for space in found.values())
    searches, seeds = len(asked.search_seeds), len(asked.request.seeds)
    most = f"at most {len(found) + searched * searches} settings × {seeds} seeds"
    if tasks > 1:
        lines.append(f"on each of {tasks} tasks:")
    if asked.budget_s is not None:
        return [*lines, f"{asked.budget_s:g} s of training for each method and search; then {most}, tested"]
    trials = TRIALS if asked.trials is None else asked.trials
    runs = searches * (len(found) + searched * trials)
    return [*lines, f"{runs} runs to search ({trials} trials a method beside the default); then {most}, tested"]


def _chosen(searches: Iterable[Search], rule: Rule) -> list[Variant]:
    """Return the settings that searches chose, without those of which no trial has a result."""
    chosen = [(search, place) for search in searches if (place := search.chosen(rule)) is not None]
    return [Variant(method=one.method, hyperparameters=one.trials[at].hyperparameters) for one, at in chosen]


def _greediest(name: str, space: Space) -> Variant:
    """Return the variant that takes most of the model's positions: every trial gets passages of the same length."""
    built = methods.get(name)(**{field: found.high for field, found in space.items()})
    return Variant(method=name, hyperparameters=built.hyperparameters())


def _distinct(variants: Iterable[Variant], order: Sequence[str]) -> list[Variant]:
    """Return each variant once, a method's together."""
    found = {repr(variant): variant for variant in variants}
    return sorted(found.values(), key=lambda variant: order.index(variant.method))


class _Trials:
    """The searches under way: each round runs some trials of each, and the store has those of earlier rounds."""

    def __init__(self, asked: Tuning, prepared: Prepared, found: Mapping[str, Space], trackers: Trackers) -> None:
        self.asked, self.prepared, self.spaces, self.trackers = asked, prepared, found, trackers
        training = prepared.study.training.model_copy(update={"select_metric": asked.select_metric})
        self.study = prepared.study.model_copy(update={"training": training})
        self.defaults = asked.defaults()
        timing = asked.request.timing or asked.budget_s is not None  # a budget is of the trials' times
        self.request = replace(asked.request, save_adapters=None, timing=timing)
        self.asked_for: dict[tuple[str, int, int], Variant] = {}
        self.done: dict[Which, list[Record]] = {(n, seed): [] for seed in asked.search_seeds for n in found}

    def run(self) -> tuple[Search, ...]:
        """Run all that the budget buys; return the searches, a method's together."""
        if self.asked.budget_s is None:
            most = TRIALS if self.asked.trials is None else self.asked.trials
            self._round({which: most + 1 if self.spaces[which[0]] else 1 for which in self.done})
        else:
            self._spend(self.asked.budget_s)
        searches = [self._search(which, trials) for which, trials in self.done.items() if trials]
        return tuple(sorted(searches, key=lambda search: self.asked.request.methods.index(search.method)))

    def optimise(self) -> tuple[Search, ...]:
        """Run trials one after the other, each where Optuna hopes for most by what those before it found."""
        most = TRIALS if self.asked.trials is None else self.asked.trials
        for (name, seed), trials in self.done.items():
            self._round({(name, seed): 1})
            optimiser = optimising.Optimiser(self.defaults[name], self.spaces[name], seed)
            for trial in range(1, most + 1):
                search = self._search((name, seed), trials)
                self.asked_for[name, seed, trial] = optimiser.next(search, self.asked.rule)
                self._round({(name, seed): trial + 1})
                if len(trials) <= trial:
                    break
        return tuple(self._search(which, trials) for which, trials in self.done.items() if trials)

    def _round(self, upto: Mapping[Which, int]) -> None:
        """Bring searches to so many trials each, the default among them; each trial of all before the next of any."""
        specs = {
            (which, trial): self._spec(which, trial)
            for trial in range(max(upto.values()))
            for which, most in upto.items()
            if len(self.done[which]) <= trial < most
        }
        found = study.complete([self.prepared], [*specs.values()], self.request, self.trackers)
        records = {record.uid: record for record in found}
        for (which, trial), spec in specs.items():
            if spec.uid in records and len(self.done[which]) == trial:
                self.done[which].append(records[spec.uid])

    def _spend(self, budget_s: float) -> None:
        """Run trials in order until each method's have taken so many seconds of training.

        A round is as many as surely fit, at least one; so the last trial alone may end beyond the budget.
        """
        self._round(dict.fromkeys(self.done, 1))
        self._check(budget_s)
        active = {which for which, trials in self.done.items() if trials and self.spaces[which[0]]}
        while active:
            upto = {}
            for which in active:
                seconds = self._search(which, self.done[which]).seconds
                left = budget_s - sum(seconds)
                if left > 0 and len(seconds) <= MOST_TRIALS:
                    more = max(1, int(left / max(*seconds, 1e-3)))
                    upto[which] = min(len(seconds) + more, MOST_TRIALS + 1)
            if upto:
                self._round(upto)
            active = {which for which, most in upto.items() if len(self.done[which]) == most}

    def _check(self, budget_s: float) -> None:
        """Refuse a budget that the default alone uses up."""
        dear = {
            name: max(self._search((name, seed), trials).seconds)
            for (name, seed), trials in self.done.items()
            if self.spaces[name] and trials and sum(self._search((name, seed), trials).seconds) >= budget_s
        }
        if dear:
            told = ", ".join(f"{name} ({seconds:.1f} s)" for name, seconds in sorted(dear.items()))
            raise UsageError(
                f"--budget buys no trial beside the default, whose training alone takes longer than {budget_s:g} s: "
                f"{told}; give more, or leave these methods out"
            )

    def _spec(self, which: Which, trial: int) -> RunSpec:
        name, seed = which
        ranges = {field: RangeSpec(low=r.low, high=r.high, log=r.log) for field, r in self.spaces[name].items()}
        variant = self.asked_for.get((name, seed, trial)) or point(
            name, self.spaces[name], seed, trial, self.defaults[name]
        )
        search = TrialSpec(trial=trial, space=ranges, optimised=self.asked.optimise)
        return self.study.run(variant, seed, search)

    def _search(self, which: Which, trials: Sequence[Record]) -> Search:
        name, seed = which
        ranges = {field: Searched(low=r.low, high=r.high, log=r.log) for field, r in self.spaces[name].items()}
        return Search(name, seed, ranges, tuple(trials), self.asked.optimise)
