"""Searches: which trial is chosen, what fewer trials would have found, and what is left to chance."""

from __future__ import annotations

import statistics
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from record_factory import DEMO, build_store, head, make_trial

from bench import stats
from bench.stats.searches import chance
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.store.record import Record

RATES = [1e-3, *np.geomspace(1e-5, 1e-2, 9).tolist()]
SCORES = [0.35, 0.20, 0.28, 0.31, 0.30, 0.36, 0.38, 0.37, 0.33, 0.10]


def _trials(scores: Sequence[float | None] = SCORES, seed: int = 0) -> list[Record]:
    return [
        make_trial(head(rate), number, [] if score is None else [score / 2, score], seed)
        for number, (rate, score) in enumerate(zip(RATES, scores, strict=False))
    ]


def _search(scores: Sequence[float | None] = SCORES) -> stats.Search:
    [found] = stats.searches(_trials(scores))
    return found


def test_the_best_by_accuracy_is_chosen_then_by_loss_then_the_earliest() -> None:
    assert _search().chosen("last") == 6
    losses = [2.0, 1.0, 1.0]
    tied = [make_trial(head(RATES[n]), n, [0.3], losses=[loss]) for n, loss in enumerate(losses)]
    [found] = stats.searches(tied)
    assert found.chosen("last") == 1
    [overfit] = stats.searches([make_trial(head(1e-3), 0, [0.3]), make_trial(head(1e-2), 1, [0.5, 0.2])])
    assert (overfit.chosen("last"), overfit.chosen("best")) == (0, 1)


def test_another_metric_chooses_by_the_way_that_is_better_for_it_and_then_by_loss() -> None:
    def search(by: str, losses: Sequence[float] = ()) -> stats.Search:
        found = [
            make_trial(head(RATES[n]), n, [score], losses=losses[n : n + 1], by=by) for n, score in enumerate(SCORES)
        ]
        [one] = stats.searches(found)
        return one

    assert search("macro_f1").chosen("last") == 9  # whose accuracy is the lowest
    assert search("calibration_error").chosen("last") == 6
    assert search("macro_f1").accuracy(9, "last") == 0.10
    assert search("macro_f1").figure(9, "last") == 0.90
    default, *others = SCORES
    expected = [statistics.fmean(min(default, *drawn) for drawn in combinations(others, k)) for k in (1, 2)]
    assert stats.expected_best(search("macro_f1"), "last")[1:3] == pytest.approx(expected)
    tied = [make_trial(head(RATES[n]), n, [0.3], losses=[loss], by="roc_auc") for n, loss in enumerate([2.0, 1.0])]
    assert stats.searches(tied)[0].chosen("last") == 1
    epochs = make_trial(head(1e-3), 0, [0.3, 0.5], by="macro_f1"), make_trial(head(1e-2), 1, [0.4, 0.4], by="macro_f1")
    [overfit] = stats.searches(epochs)
    assert (overfit.chosen("last"), overfit.chosen("best")) == (1, 0)


def test_trials_judged_by_another_metric_are_another_search() -> None:
    newer = [
        trial.model_copy(update={"created_at": "2026-03-01T10:00:00+00:00"})
        for trial in (make_trial(head(RATES[n]), n, [0.3], by="macro_f1") for n in range(3))
    ]
    [found] = stats.searches([*_trials(), *newer])
    assert (found.metric, len(found.trials)) == ("macro_f1", 3)


def test_a_trial_that_diverged_counts_and_is_never_chosen() -> None:
    found = _search([*SCORES[:6], None, *SCORES[7:]])
    assert (found.chosen("last"), found.diverged, found.failed, len(found.trials)) == (7, 1, 0, 10)
    assert _search([None, None]).chosen("last") is None


def test_trials_after_a_gap_and_of_an_earlier_space_do_not_count() -> None:
    trials = _trials()
    assert len(stats.searches([*trials[:4], *trials[5:]])[0].trials) == 4
    assert stats.searches(trials[1:]) == []
    assert trials[0].search is not None
    wider = {"learning_rate": trials[0].search.space["learning_rate"].model_copy(update={"high": 1.0})}
    search = trials[0].search.model_copy(update={"space": wider})
    newer = trials[0].model_copy(update={"search": search, "created_at": "2026-03-01T10:00:00+00:00"})
    assert [len(found.trials) for found in stats.searches([*trials, newer])] == [1]


def test_an_edge_is_the_smallest_or_the_largest_that_was_tried() -> None:
    assert _search().edges("last") == {}
    assert _search(sorted(SCORES)).edges("last") == {"learning_rate": "largest"}
    assert _search([0.1, *sorted(SCORES[1:], reverse=True)]).edges("last") == {"learning_rate": "smallest"}


def test_the_expected_best_is_the_mean_over_all_draws_without_replacement() -> None:
    default, *others = SCORES
    expected = [
        statistics.fmean(max(default, *drawn) for drawn in combinations(others, k)) for k in range(1, len(others) + 1)
    ]
    assert stats.expected_best(_search(), "last") == pytest.approx([default, *expected])
    assert stats.expected_best(_search([*SCORES[:-1], None]), "last")[-1] == max(SCORES)
    seconds = stats.expected_seconds(_search())
    assert seconds[-1] == pytest.approx(sum(_search().seconds))


def test_trials_in_one_pass_have_no_times_of_their_own_and_count_as_all_that_they_took() -> None:
    trials = _trials()
    trials[1] = trials[1].model_copy(update={"speed": None, "memory": None, "wall_s": 99.0})
    [found] = stats.searches(trials)
    assert (found.timed, found.seconds[1]) == (False, 99.0)
    assert _search([*SCORES[:8], None]).timed


def test_what_a_search_leaves_to_chance_is_the_variance_of_the_best_when_its_trials_are_drawn_anew() -> None:
    generator = np.random.default_rng(0)
    default, *others = SCORES
    drawn = np.maximum(default, generator.choice(others, (200_000, len(others))).max(axis=1))
    [found] = chance([_search()], "last")
    assert found is not None
    assert found.variance == pytest.approx(drawn.var(), rel=0.02)


def test_few_trials_tell_nothing_of_chance_and_many_searches_tell_it_together() -> None:
    assert chance([_search(SCORES[:8])], "last") == [None]
    sure = _search([0.1, *[0.4] * 9])
    alone, *_ = chance([sure], "last")
    together, other, *_ = chance([sure, _search(), _search(), _search()], "last")
    assert alone is not None
    assert together is not None
    assert other is not None
    assert alone.variance < other.variance
    assert together.variance == other.variance
    assert together.degrees > alone.degrees


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of `head` whose choice is better than the default by three points, beside the demo study."""
    folder = tmp_path_factory.mktemp("searched")
    build_store(folder, [*DEMO, head(RATES[6], 0.44)], seeds=(1, 2, 3))
    for trial in _trials():
        Store(folder).put(trial)
    return folder


def test_what_was_chosen_is_held_against_the_default_with_the_search_in_the_interval(store: Path) -> None:
    [compared] = stats.comparisons(Store(store).read().records)
    assert all(run.search is None for summary in compared.summaries for run in summary.runs)
    [found] = stats.analyse(compared, store).tuned
    assert found.place is not None
    assert found.default is not None
    tuned, default = (compared.summaries[place] for place in (found.place, found.default))
    assert (tuned.hyperparameters["learning_rate"], default.hyperparameters["learning_rate"]) == (RATES[6], RATES[0])
    assert tuned.accuracy is not None
    assert default.accuracy is not None
    assert found.gain is not None
    assert found.gain.mean == pytest.approx(tuned.accuracy.mean - default.accuracy.mean)
    assert found.gain.interval is not None
    assert found.behind is None
    assert found.counted
    [few] = stats.analyse(_with_first(compared, 3), store).tuned
    assert not few.counted
    assert found.interval is not None
    given = stats.analyse(compared, store).accuracy[found.place]
    assert given is not None
    assert given.high - given.low < found.interval.high - found.interval.low


def _with_first(compared: stats.Comparison, trials: int) -> stats.Comparison:
    return replace(compared, searches=tuple(search.first(trials) for search in compared.searches))


def test_a_choice_that_was_not_trained_anew_has_no_figures(tmp_path: Path) -> None:
    build_store(tmp_path, DEMO, seeds=(1, 2, 3))
    for trial in _trials():
        Store(tmp_path).put(trial)
    [compared] = stats.comparisons(Store(tmp_path).read().records)
    [found] = stats.analyse(compared, tmp_path).tuned
    assert (found.place, found.accuracy, found.interval, found.gain) == (None, None, None, None)


def test_two_searches_are_compared_by_the_order_of_the_methods(tmp_path: Path) -> None:
    variants = [head(RATES[6], 0.44), DEMO[3], DEMO[5], DEMO[6]]
    records = build_store(tmp_path, variants, seeds=(1, 2, 3))
    for seed in (0, 9):
        records += [make_trial(variant, 0, [variant.accuracy], seed) for variant in variants]
    [compared] = stats.comparisons(records)
    found = stats.analyse(compared, tmp_path).tuned
    assert stats.agreement(found) == pytest.approx(1.0)
    assert stats.agreement(found[:1]) is None
    best, *behind = sorted(found, key=lambda one: one.place or 0)
    assert best.behind is None
    assert [one.behind.mean < 0 for one in behind if one.behind] == [True] * 6
    assert stats.worse_than_default(found) == (0, 0)
