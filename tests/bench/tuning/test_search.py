"""A search from its trials to the runs that are tested."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from commands import call
from in_process import STYLES, nobody, prepared

import methods
from bench import stats
from bench.data import Splits
from bench.errors import UsageError
from bench.job import Job, examples_path
from bench.reporting import markdown, report
from bench.spec import RangeSpec, RunSpec, TrialSpec, Variant
from bench.store.files import Store
from bench.study import Request
from bench.training.run import Run
from bench.tuning import search
from bench.tuning.search import Tuned, Tuning

if TYPE_CHECKING:
    from pathlib import Path

METHODS = ("frozen", "head")


def _asked(model: Path, texts: Path, results: Path, **changes: Any) -> Tuning:
    request = Request(
        methods=METHODS, seeds=(1, 2), model=str(model), data=str(texts), results=results, epochs=2, batch_size=8,
        device="cpu", dtype="fp32", baseline=False,
    )  # fmt: skip
    return replace(Tuning(request=request, trials=2), **changes)


@pytest.fixture(scope="module")
def tuned(gpt2: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """`head` with two trials beside its default, `frozen` with none; two seeds of the final runs."""
    return search.run(_asked(gpt2, texts, tmp_path_factory.mktemp("tuned") / "store"))


def test_trials_are_validated_and_never_tested(tuned: Tuned) -> None:
    trials = [record for record in tuned.store.read().records if record.search]
    assert [(t.method, t.search.trial) for t in trials if t.search] == [
        ("frozen", 0), ("head", 0), ("head", 1), ("head", 2),
    ]  # fmt: skip
    for trial in trials:
        assert trial.status == "ok"
        assert trial.search is not None
        assert trial.search.epochs
        assert (trial.quality, trial.compute, trial.seed) == (None, None, 0)
        assert trial.speed is not None
        assert trial.speed.eval_s is trial.speed.eval_tokens_per_s is trial.speed.eval_merged_tokens_per_s is None
        assert not tuned.store.predictions_path(trial.uid).exists()


def test_the_chosen_settings_and_the_default_are_trained_anew_and_tested(tuned: Tuned) -> None:
    frozen, head = tuned.searches
    place = head.chosen("last")
    assert place is not None
    validation = [head.accuracy(trial, "last") for trial in range(3)]
    assert validation[place] == max(found for found in validation if found is not None)
    rates = {trial.hyperparameters["learning_rate"] for trial in (head.trials[0], head.trials[place])}
    final = [record for record in tuned.records if record.method == "head"]
    tried = {(record.hyperparameters["learning_rate"], record.seed) for record in final}
    assert tried == {(rate, seed) for rate in rates for seed in (1, 2)}
    assert all(record.quality and record.search is None for record in tuned.records)
    assert frozen.chosen("last") == 0
    assert tuned.ok


def test_no_trial_is_in_a_mean(tuned: Tuned) -> None:
    [compared] = stats.comparisons(tuned.store.read().records)
    runs = [run for summary in compared.summaries for run in (*summary.runs, *summary.failed)]
    assert {run.uid for run in runs} == {record.uid for record in tuned.records}
    assert {run.seed for run in runs} == {1, 2}
    assert [(found.method, len(found.trials)) for found in compared.searches] == [("frozen", 1), ("head", 3)]


def test_the_same_again_runs_nothing_and_a_longer_search_goes_on(tuned: Tuned, gpt2: Path, texts: Path) -> None:
    before = {record.uid: record.created_at for record in tuned.store.read().records}
    asked = _asked(gpt2, texts, tuned.store.folder)
    again = search.run(asked)
    assert {record.uid: record.created_at for record in again.store.read().records} == before
    longer = search.run(replace(asked, trials=3))
    more = [record for record in longer.store.read().records if record.uid not in before]
    assert [record.search.trial for record in more if record.search] == [3]
    assert longer.searches[1].first(2) == again.searches[1]


def test_labels_of_the_test_split_change_nothing_in_a_search(
    tuned: Tuned, gpt2: Path, texts: Path, tmp_path: Path
) -> None:
    """The splits are others then, and so are the runs; what is found isn't."""
    shuffled = tmp_path / "texts"
    shuffled.mkdir()
    for file in texts.iterdir():
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        if file.stem == "test":
            for row, style in zip(rows, [rows[-1]["style"], *(row["style"] for row in rows[:-1])], strict=True):
                row["style"] = style
        (shuffled / file.name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    other = search.run(_asked(gpt2, shuffled, tmp_path / "store"))
    for found, expected in zip(other.searches, tuned.searches, strict=True):
        assert found.chosen("last") == expected.first(2).chosen("last")
        for one, two in zip(found.trials, expected.trials, strict=False):
            assert one.data.fingerprint != two.data.fingerprint
            assert one.search == two.search
    tests = [[r.quality.test.accuracy for r in done.records if r.quality] for done in (other, tuned)]
    assert tests[0] != tests[1]


def test_a_trial_has_no_test_split_to_look_at(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    ready = prepared(gpt2, texts, tmp_path)
    Splits.load(tmp_path).without_test().save(tmp_path)
    examples_path(tmp_path).unlink()
    assert len(Splits.load(tmp_path).test.labels) == 0
    for name in ("frozen", "head", "lora", "probe"):
        spec = RunSpec(
            variant=Variant(method=name, hyperparameters=methods.get(name)().hyperparameters()),
            seed=0, preset="custom", backbone=ready.ref, data=ready.data, training=ready.training,
            search=TrialSpec(trial=0, space={"learning_rate": RangeSpec(low=1e-4, high=1e-1, log=True)}),
        )  # fmt: skip
        found = Run(Job(spec, STYLES, tmp_path, None, threads=1), nobody).outcome()
        assert found.quality is None
        assert found.validation


def test_where_the_epoch_is_selected_so_it_is_in_the_final_runs_alone(tuned: Tuned, gpt2: Path, texts: Path) -> None:
    """The trials are the same runs; the final ones are others, which are never averaged with those."""
    selecting = search.run(_asked(gpt2, texts, tuned.store.folder, select_epoch=True))
    assert [trial.uid for trial in selecting.searches[1].trials] == [t.uid for t in tuned.searches[1].trials]
    for record in selecting.records:
        assert record.training.select_epoch
        assert record.uid not in {other.uid for other in tuned.records}
    [compared] = stats.comparisons(selecting.store.read().records)
    assert {summary.training.tested_epoch for summary in compared.summaries} == {"last", "best"}
    for found in stats.analyse(compared, selecting.store.folder).tuned:
        assert found.rule == "best"
        assert found.place is not None
        assert compared.summaries[found.place].training.tested_epoch == "best"


def test_another_metric_judges_trials_and_leaves_the_final_runs_what_they_are(
    tuned: Tuned, gpt2: Path, texts: Path, tmp_path: Path
) -> None:
    asked = _asked(gpt2, texts, tmp_path / "store", select_metric="loss", trials=1)
    asked = replace(asked, request=replace(asked.request, methods=("head",), seeds=(1,)))
    found = search.run(asked)
    [head] = found.searches
    assert head.metric == "loss"
    for trial in head.trials:
        assert trial.search is not None
        assert trial.search.epochs
        assert [epoch.validation_score for epoch in trial.search.epochs] == [
            epoch.validation_loss for epoch in trial.search.epochs
        ]
    losses = [head.figure(place, "last") or 9.0 for place in range(2)]
    assert losses[head.chosen("last") or 0] == min(losses)
    trials = {record.uid for record in tuned.store.read().records if record.search}
    assert not {trial.uid for trial in head.trials} & trials
    default = [run for run in found.records if run.hyperparameters == head.trials[0].hyperparameters]
    assert {run.uid for run in default} <= {run.uid for run in tuned.records}
    said = markdown.render(report(found.store.read(), found.store.folder))
    assert "by log loss" in said
    assert "Validation log loss" in said


def test_a_metric_of_two_labels_is_refused_for_more_before_any_run(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--select-metric roc_auc is for two labels, and some-texts has 3"):
        search.run(_asked(gpt2, texts, tmp_path / "store", select_metric="roc_auc"))
    assert not Store(tmp_path / "store").read().records


def test_a_budget_buys_trials_in_order_until_it_is_spent(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    default = search.run(_asked(gpt2, texts, tmp_path / "store", trials=0)).searches[1]
    budget_s = 4 * sum(default.seconds)
    asked = _asked(gpt2, texts, tmp_path / "store", trials=None, budget_s=budget_s)
    found = search.run(asked).searches[1]
    assert len(found.trials) > 1
    assert sum(found.seconds) >= budget_s
    assert found.trials[0].uid == default.trials[0].uid
    assert [trial.uid for trial in search.run(asked).searches[1].trials] == [trial.uid for trial in found.trials]


def test_a_budget_that_buys_no_trial_is_refused(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--budget buys no trial .* head \(\d+\.\d s\)"):
        search.run(_asked(gpt2, texts, tmp_path / "store", trials=None, budget_s=1e-6))
    assert not any(record.quality for record in Store(tmp_path / "store").read().records)


def test_a_trial_that_diverged_is_a_trial_and_never_chosen(tuned: Tuned) -> None:
    head = tuned.searches[1]
    place = head.chosen("last")
    assert place is not None
    lost = head.trials[place].model_copy(update={"status": "diverged", "speed": None, "wall_s": 7.0})
    assert lost.search is not None
    lost = lost.model_copy(update={"search": lost.search.model_copy(update={"epochs": None})})
    trials = (*head.trials[:place], lost, *head.trials[place + 1 :])
    changed = replace(head, trials=trials)
    assert changed.chosen("last") not in (None, place)
    assert (changed.diverged, changed.failed, changed.seconds[place]) == (1, 0, 7.0)


def test_optimised_trials_depend_on_earlier_ones_go_on_where_they_were_and_compare_nothing(
    tuned: Tuned, gpt2: Path, texts: Path
) -> None:
    pytest.importorskip("optuna")
    asked = _asked(gpt2, texts, tuned.store.folder, trials=3, optimise=True)
    asked = replace(asked, request=replace(asked.request, methods=("head",)))
    before = {record.uid for record in tuned.store.read().records}
    [found] = search.run(asked).searches
    assert [trial.search.trial for trial in found.trials if trial.search and trial.search.optimised] == [0, 1, 2, 3]
    rates = [trial.hyperparameters["learning_rate"] for trial in found.trials]
    assert len(set(rates)) == 4
    assert not {trial.uid for trial in found.trials} & before
    [again] = search.run(asked).searches
    assert [trial.uid for trial in again.trials] == [trial.uid for trial in found.trials]
    [compared] = stats.comparisons(tuned.store.read().records)
    assert not any(one.optimised for one in compared.searches)
    assert [one.method for one in compared.optimised] == ["head"]
    said = markdown.render(report(tuned.store.read(), tuned.store.folder))
    assert "**This compares nothing.**" in said


def test_optimising_asks_for_optuna_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, gpt2: Path, texts: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    asked = _asked(gpt2, texts, tmp_path / "store", optimise=True)
    with pytest.raises(UsageError, match=r"pip install 'peft-bench\[optimise\]'"):
        search.run(replace(asked, request=replace(asked.request, methods=("head",))))
    assert not (tmp_path / "store").exists()


MISTAKES = {
    "the same seeds": (["--seeds", "0,1", "--search-seeds", "1,2"], "share 1"),
    "a seed that is none": (["--search-seeds", "one"], "--search-seeds one: expected whole numbers"),
    "a search seed twice": (["--search-seeds", "7,7"], "7 is given twice"),
    "no search seed": (["--search-seeds", ","], "--search-seeds is empty"),
    "two budgets": (["--trials", "4", "--budget", "1h"], "--trials and --budget"),
    "a budget that is none": (["--budget", "soon"], "--budget soon: expected seconds"),
    "a space that is none": (["--space", "lora.alpha=8"], "expected METHOD.FIELD=LOW..HIGH"),
    "a field that is none": (["--space", "lora.targets=1..2"], "isn't a number"),
    "several methods optimised": (["--optimise"], "--optimise finds good settings of one method"),
    "nothing to optimise": (["--methods", "frozen", "--optimise"], "frozen has nothing to search"),
    "a metric that is none": (["--select-metric", "f1_macro"], "no such metric; did you mean 'macro_f1'?"),
    "no trial": (["--trials", "0"], "--trials"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_get_a_line_and_exit_code_2(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, said = MISTAKES[name]
    assert call(monkeypatch, "tune", *arguments, "--dry-run") == 2
    assert said in capsys.readouterr().err


def test_a_study_file_has_each_method_searched_on_each_task(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(texts, tmp_path / "fewer")
    rows = (texts / "train.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "fewer/train.jsonl").write_text("".join(rows[:-2]), encoding="utf-8")
    asked = f"data: [{texts}, fewer]\nmodel: {gpt2}\nmethods: head\nseeds: 1\ntune: {{trials: 3}}\n"
    how = "max_steps: 2\ndevice: cpu\ndtype: fp32\nbaseline: false\n"
    (tmp_path / "study.yaml").write_text(asked + how, encoding="utf-8")
    assert call(monkeypatch, "tune", "study.yaml", "--trials", "1", "--dry-run") == 0
    assert "on each of 2 tasks:\n2 runs to search (1 trials" in capsys.readouterr().out
    assert call(monkeypatch, "tune", "study.yaml", "--trials", "1") == 0
    records = Store(tmp_path / "results/study").read().records
    trials = [(record.data.name, record.search.trial) for record in records if record.search]
    assert sorted(trials) == [("fewer", 0), ("fewer", 1), (texts.name, 0), (texts.name, 1)]
    assert {record.data.name for record in records if record.quality} == {"fewer", texts.name}


def test_a_dry_run_says_what_is_searched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--methods", "frozen,lora", "--preset", "demo", "--trials", "4", "--space", "lora.r=2..16:log"]
    assert call(monkeypatch, "tune", *asked, "--dry-run") == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "frozen: nothing to search",
        "lora: learning_rate 1.581e-05..0.01581:log, alpha 8..128:log, r 2..16:log; "
        "default learning_rate=0.0005, alpha=32, r=8",
        "6 runs to search (4 trials a method beside the default); then at most 3 settings × 5 seeds, tested",
    ]
