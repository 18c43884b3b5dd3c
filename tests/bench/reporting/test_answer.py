"""The first paragraph: a reader who reads nothing else knows what to use, how sure that is, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from record_factory import Variant, make_record

from bench import stats
from bench.reporting.answer import answer, listed
from bench.reporting.layout import Layout
from bench.stats import Analysis, Interval

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 2**20
BEST, LEAN, CHEAP = "best", "lean", "cheap"
FIGURES: dict[str, tuple[float, int, float, int]] = {
    BEST: (0.50, 40 * MIB, 30.0, 200 * 1024),
    LEAN: (0.49, 30 * MIB, 40.0, 20 * 1024),
    CHEAP: (0.40, 10 * MIB, 5.0, 10 * 1024),
}
"""Accuracy, peak bytes of live tensors, training time in s, bytes of the adapter."""


def _analysis(
    *methods: str,
    top: tuple[str, ...] = (),
    seeds: int = 3,
    changes: Mapping[str, Any] | None = None,
    elsewhere: str = "",
) -> Analysis:
    """Methods with their figures, the same for every seed; those in `top` can't be told from the best.

    The method `elsewhere` ran on another machine than the others.
    """
    runs = []
    for method in methods:
        accuracy, live, train_s, adapter = FIGURES[method]
        figures = {
            "quality.test.accuracy": accuracy,
            "compute": {"live_peak_bytes": live, "flops": 1, "operators": 1},
            "speed.train_s": train_s,
            "parameters.adapter_bytes": adapter,
        }
        figures |= {"training.threads": 1} if method == elsewhere else {}
        runs += [make_record(Variant(method), seed, {**figures, **(changes or {})}) for seed in range(seeds)]
    analysis = stats.without_predictions(stats.comparisons(runs)[0])
    if not top:
        return analysis
    names = [summary.method for summary in analysis.comparison.summaries]
    return replace(
        analysis,
        accuracy=tuple(Interval(FIGURES[name][0] - 0.02, FIGURES[name][0] + 0.02) for name in names),
        top=frozenset(names.index(name) for name in top),
        detectable=0.029,
    )


def _said(analysis: Analysis) -> str:
    return "".join(span.text for span in answer(Layout(analysis)).spans)


def test_a_single_winner_is_named_with_its_interval_and_its_costs() -> None:
    said = _said(_analysis(BEST, LEAN, CHEAP, top=(BEST,)))
    assert said.startswith(
        "Use best: it gets 50.0% (95% interval 48.0–52.0%) of the test passages right, more than any"
    )
    assert (
        "best needs 40.0 MiB of tensors in a small training step, trains in 30.0 s and has an adapter of 200.0 KiB."
        in said
    )


def test_what_cannot_be_told_apart_is_no_winner_and_each_limit_has_its_method() -> None:
    said = _said(_analysis(BEST, LEAN, CHEAP, top=(BEST, LEAN)))
    highest = (
        "There is no single winner: best has the highest mean, 50.0% (95% interval 48.0–52.0%) of the test passages"
    )
    assert said.startswith(f"{highest} right, but can't be told from lean.")
    memory, adapter = "memory (30.0 MiB instead of 40.0 MiB of tensors)", "adapter size (20.0 KiB instead of 200.0 KiB)"
    assert f"Of these, take lean, 49.0%, where {memory} or {adapter} is limited; best where" in said
    assert "best where training time (30.0 s) is limited." in said


def test_a_time_that_was_taken_on_another_machine_is_not_told() -> None:
    said = _said(_analysis(BEST, LEAN, CHEAP, top=(BEST, LEAN), elsewhere=BEST))
    assert "Of these, take lean, 49.0%, where memory" in said
    assert "training time" not in said.partition("Cheaper")[0]


def test_where_all_are_alike_the_cheapest_is_taken() -> None:
    said = _said(_analysis(BEST, CHEAP, top=(BEST, CHEAP)))
    assert "but can't be told from any other." in said
    assert said.count("take cheap") == 1
    assert "Cheaper" not in said


def test_what_saves_little_is_not_worth_naming() -> None:
    said = _said(_analysis(BEST, LEAN, top=(BEST, LEAN), changes={"speed.train_s": 30.0}))
    assert "best where training time (30.0 s) is limited" in said
    same = {"compute": None, "speed.train_s": 30.0, "parameters.adapter_bytes": 9}
    said = _said(_analysis(BEST, LEAN, top=(BEST, LEAN), changes=same))
    assert "None of the others costs clearly less." in said


def test_what_is_less_accurate_but_much_cheaper_is_named_with_its_accuracy() -> None:
    said = _said(_analysis(BEST, LEAN, CHEAP, top=(BEST, LEAN)))
    cheap = said.split("Cheaper, at a lower accuracy: ")[1]
    memory = "memory (10.0 MiB instead of 40.0 MiB of tensors)"
    assert cheap.startswith(f"cheap, 40.0% (95% interval 38.0–42.0%), where {memory}, training time (5.0 s instead of")


def test_what_is_no_better_than_the_majority_is_never_recommended_however_cheap() -> None:
    majority = {"data.majority": {"style": "Jay", "accuracy": 0.39, "macro_f1": 0.0}}
    assert "cheap" not in _said(_analysis(BEST, LEAN, CHEAP, top=(BEST,), changes=majority))


def test_where_nothing_beats_the_majority_that_is_the_answer() -> None:
    majority = {"data.majority": {"style": "Jay", "accuracy": 0.49, "macro_f1": 0.0}}
    said = _said(_analysis(BEST, LEAN, top=(BEST, LEAN), changes=majority))
    assert said.startswith("No method is shown to beat always naming the most frequent style, which scores 49.0%.")
    assert "The highest is best, 50.0%" in said


def test_what_the_study_would_have_missed_is_told() -> None:
    said = _said(_analysis(BEST, LEAN, top=(BEST, LEAN)))
    assert (
        "With 3 seeds and 700 test passages the study would most likely have found a difference of 2.9 points or"
        in said
    )
    assert "it may miss a smaller one" in said


def test_one_seed_is_told() -> None:
    said = _said(_analysis(BEST, LEAN, top=(BEST, LEAN), seeds=1))
    assert "There is only one seed" in said
    assert "one seed" not in _said(_analysis(BEST, LEAN, top=(BEST, LEAN)))


def test_without_predictions_nothing_is_claimed_of_the_order() -> None:
    said = _said(_analysis(BEST, LEAN, CHEAP))
    assert said.startswith("Highest mean accuracy: best, 50.0% ± 0.0 (n = 3 seeds).")
    assert "can't be told without the predictions" in said
    assert "best needs 40.0 MiB" in said


def test_memory_is_that_of_the_process_where_a_record_does_not_tell_the_tensors() -> None:
    said = _said(_analysis(BEST, CHEAP, top=(BEST,), changes={"compute": None, "memory.peak_bytes": 700 * MIB}))
    assert "best needs 700.0 MiB of memory" in said


def test_a_method_by_itself_is_compared_with_the_majority_only() -> None:
    said = _said(_analysis(BEST, top=(BEST,)))
    assert said.startswith("best gets 50.0% (95% interval 48.0–52.0%) of the test passages right.")
    assert "Nothing else has a result" in said


def test_a_long_list_names_the_first_few() -> None:
    assert listed(["a"]) == "a"
    assert listed(list("abcde")) == "a, b, c, d and e"
    assert listed(list("abcdefg")) == "a, b, c, d and 3 others"
