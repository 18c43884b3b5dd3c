from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from record_factory import DEMO, Variant, build_store, failed_record, lora, make_record

from bench import stats
from bench.errors import UsageError
from bench.reporting import comparison, document, latex, markdown, report, spreadsheet
from bench.reporting.layout import Layout
from bench.reporting.reading import reading
from bench.stats.analysis import Shared
from bench.store.files import Contents, Store
from methods.capabilities import TITLES, described

if TYPE_CHECKING:
    from bench.store.record import Record

HEAD = next(variant for variant in DEMO if variant.method == "head")
STUDY = [make_record(variant, seed) for seed in (0, 1, 2) for variant in DEMO]


def _rendered(*records: Record, unreadable: tuple[tuple[Path, str], ...] = ()) -> str:
    return markdown.render(report(Contents(records, unreadable)))


def _row(text: str, start: str) -> list[str]:
    """The cells of the first row that starts so."""
    [line, *_] = [line for line in text.splitlines() if line.startswith(f"| {start} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def _comparison(text: str) -> list[list[str]]:
    """The cells of the comparison's rows, without emphasis."""
    lines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines[2:]]


def _section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def text() -> str:
    return _rendered(*STUDY)


def test_the_top_says_which_preset_it_is_and_what_a_random_backbone_means(text: str) -> None:
    top = text.split("| Method")[0]
    assert top.startswith("# ")
    assert "demo" in top.splitlines()[0]
    assert "> [!WARNING]" in top
    assert "never trained" in top
    assert "nothing about pretrained GPT-2" in top


def test_forgetting_has_a_column_where_a_record_tells_it(text: str) -> None:
    assert "Forgetting" not in text
    told = [
        make_record(replace(v, forgetting=f)) for v, f in ((HEAD, 0.0), (lora(8, 0.45), -0.2), (lora(32, 0.4), 0.3))
    ]
    untold = make_record(DEMO[-1])
    known = _rendered(*told, untold)
    rows = {row[0]: row[-1] for row in _comparison(known)}
    assert _row(known, "Method")[-1] == "Forgetting"
    assert "how much worse the backbone models ordinary text" in known
    assert rows["head"] == "0.000"
    assert rows["prefix"] == "–"
    assert {rows[name][:2] for name in rows if name.startswith("lora")} == {"−0", "0."}
    [(_, table)] = comparison(told)
    assert spreadsheet.render([("", table)]).splitlines()[0].endswith("Forgetting (nats)")
    assert "Forgetting" in latex.render([("", table)])


def test_what_each_method_can_do_is_told_for_the_peft_of_its_runs(text: str) -> None:
    section = _section(text, "What each method can do")
    assert _row(section, "Method")[1:] == list(TITLES)
    assert _row(section, "lora")[1:3] == [described("lora", "0.21.2")[name] for name in TITLES[:2]]
    assert section.count("\n| lora ") == 1  # however many variants there are
    other = _rendered(*(make_record(variant, changes={"environment.peft": "0.99.0"}) for variant in DEMO))
    assert "What each method can do" not in other
    mixed = _rendered(*STUDY, make_record(Variant("my_own", {}, 0.4)))
    assert set(_row(_section(mixed, "What each method can do"), "my_own")[1:]) == {"unknown"}


def test_energy_has_a_column_where_a_record_tells_it(text: str) -> None:
    assert "Energy" not in text
    told = [make_record(v, changes={"speed.train_joules": j}) for v, j in ((HEAD, 950.0), (lora(8, 0.45), 25_400.0))]
    known = _rendered(*told, make_record(DEMO[-1]))
    rows = {row[0]: row[-1] for row in _comparison(known)}
    assert _row(known, "Method")[-1] == "Energy"
    assert {rows[name] for name in rows if name in ("head", "prefix") or name.startswith("lora")} == {
        "950.0 J", "25.40 kJ", "–",
    }  # fmt: skip
    assert "what the device took in training steps" in known
    [(_, table)] = comparison(told)
    assert spreadsheet.render([("", table)]).splitlines()[0].endswith("Energy (J)")


def test_a_pretrained_backbone_has_no_warning() -> None:
    pretrained = {"preset": "full", "backbone.source": "hub", "backbone.name": "openai-community/gpt2"}
    text = _rendered(make_record(HEAD, changes=pretrained))
    assert "WARNING" not in text
    assert "Preset **full**" in text


def test_the_comparison_gives_each_variant_its_figures_over_its_seeds(text: str) -> None:
    head = [run for run in STUDY if run.method == "head"]
    scores = [100 * run.quality.test.accuracy for run in head if run.quality]
    mean = sum(scores) / 3
    deviation = (sum((score - mean) ** 2 for score in scores) / 2) ** 0.5
    row = _row(text, "head")
    assert row[1] == f"{mean:.1f}% ± {deviation:.1f}"
    assert row[3:6] == ["3", "3,584", "0.05%"]
    assert row[8].endswith("MiB")
    assert row[9].endswith(" s")


def test_rows_are_sorted_by_accuracy_and_the_majority_stands_at_its_place(text: str) -> None:
    rows = _comparison(text)
    accuracy = [float(row[1].split("%")[0]) for row in rows]
    assert accuracy == sorted(accuracy, reverse=True)
    assert [row[0] for row in rows][-2:] == ["majority class", "frozen"]


def test_what_a_run_does_not_have_is_a_dash(text: str) -> None:
    assert _row(text, "frozen")[6] == "–"
    assert _row(text, "frozen")[9] == "–"


def test_one_seed_has_no_deviation_and_says_so() -> None:
    row = _row(_rendered(make_record(HEAD)), "head")
    assert "±" not in row[1]
    assert row[3] == "1"


def test_the_alpha_table_marks_where_the_validation_loss_turned_up(text: str) -> None:
    section = _section(text, "LoRA's alpha")
    assert [_row(section, f"  {alpha:>3}")[-1] for alpha in (8, 32, 128)] == ["no", "no", "epoch 4"]
    marked = [cell for cell in _row(section, "  128") if "▲" in cell]
    assert marked == [_row(section, "  128")[6]]
    assert section.splitlines()[1].startswith("Mean accuracy is highest at alpha 32 (")
    assert "turned up at alpha 128 (epoch 4)" in section


def _grid(peaks: dict[float, int]) -> str:
    """The section on alpha where, at each learning rate, LoRA is best at another alpha."""
    runs = [
        make_record(lora(alpha, 0.6 if alpha == peak else 0.4, hyperparameters={"learning_rate": rate}))
        for rate, peak in peaks.items()
        for alpha in (8, 32, 128)
    ]
    return _section(_rendered(*runs), "LoRA's alpha")


def test_at_one_learning_rate_alpha_cannot_be_told_from_it(text: str) -> None:
    section = _section(text, "LoRA's alpha")
    assert "at one learning rate (0.0005)" in section
    assert "can't tell the two apart" in section


def test_at_several_learning_rates_the_best_alpha_of_each_is_told() -> None:
    section = _grid({1e-4: 128, 1e-3: 8})
    assert "**Alpha and the learning rate are confounded.**" in section
    assert "another alpha is best: accuracy is highest with alpha 128 at 0.0001 and alpha 8 at 0.001." in section
    low, high = (float(cell.rstrip("%")) for cell in _row(section, "  128")[1:])
    assert low > high
    assert "**lora learning_rate=0.0001.** Mean accuracy is highest at alpha 128" in section
    assert "**lora learning_rate=0.001.** Mean accuracy is highest at alpha 8" in section


def test_a_peak_at_an_end_of_the_sweep_may_lie_beyond_it() -> None:
    assert "the largest that was tried" in _grid({1e-4: 128})
    assert "the smallest that was tried" in _grid({1e-4: 8})
    assert "that was tried" not in _grid({1e-4: 32})


def test_one_alpha_is_no_sweep() -> None:
    assert "LoRA's alpha" not in _rendered(make_record(lora(8, 0.4)), make_record(HEAD))


def test_a_long_training_shows_some_epochs_and_every_mark() -> None:
    losses = [3 - 0.01 * epoch for epoch in range(1, 38)] + [2.7] + [2.6] * 12
    epochs = [
        {"epoch": epoch, "train_loss": 1.0, "validation_loss": loss, "validation_accuracy": 0.4}
        for epoch, loss in enumerate(losses, start=1)
    ]
    runs = [make_record(lora(alpha, 0.4), changes={"quality.epochs": epochs}) for alpha in (8, 32)]
    head = _section(_rendered(*runs), "LoRA's alpha").split("| alpha ")[1].splitlines()[0]
    assert "epoch 38" in head
    assert "epoch 50" in head
    assert head.count("epoch") <= 12


def test_accuracy_by_category_is_of_every_method(text: str) -> None:
    section = _section(text, "By category and style")
    assert all(name in section for name in ("federalist (", "bronte (", "novel (", "play ("))
    assert "± " in _row(section, "ia3")[2]


def test_many_categories_are_rows_and_most_of_them_folded() -> None:
    scores = {"accuracy": 0.5, "macro_f1": 0.5}
    per_category = {f"topic {i:03}": {**scores, "examples": 300 - i} for i in range(300)}
    many = {"quality.test.per_category": per_category}
    section = _section(_rendered(*(make_record(variant, changes=many) for variant in DEMO)), "By category and style")
    assert "for the first 6 of 7" in section.split("| Category")[0]
    assert len(_row(section, "topic 000 (300)")) == 7
    assert max(map(len, section.splitlines())) < 250
    shown, folded = section.split("| Style")[0].split("<summary>280 more categories</summary>")
    assert (shown.count("| topic "), folded.count("| topic ")) == (20, 280)


def test_labels_and_groups_are_called_what_the_data_calls_them() -> None:
    changes = {"data.label": "Labels", "data.group": "genre"}
    text = _rendered(*(make_record(variant, changes=changes) for variant in DEMO))
    assert "14 labels in 4 genres" in text
    assert "always names the train split's most frequent label, " in text
    assert "The share of each label's test passages" in _section(text, "By genre and label")
    nothing: dict[str, Any] = {
        "data.label": "is_spam",
        "data.group": None,
        "data.categories": [],
        "quality.test.per_category": {},
    }
    text = _rendered(*(make_record(variant, changes=nothing) for variant in DEMO))
    assert "14 labels" in text
    assert "| Label" in _section(text, "By label")
    assert not {"style", "styles", "category", "categories"} & set(re.findall(r"\w+", text.lower()))


def test_names_that_look_alike_are_told_apart_in_every_table() -> None:
    scores = {"accuracy": 0.5, "macro_f1": 0.5, "examples": 5}
    style = {"accuracy": 0.5, "f1": 0.5, "examples": 5}
    alike = {
        "quality.test.per_category": {"play": scores, "play ": scores},
        "quality.test.per_style": {"ann": style, "ann\u00a0": style},
        "data.styles": ["ann", "ann\u00a0"],
        "data.majority.style": "ann\u00a0",
    }
    text = _rendered(make_record(HEAD, changes=alike))
    assert "'play' (5)" in text
    assert "'play ' (5)" in text
    assert "'ann' (5)" in text
    assert r"'ann\\xa0' (5)" in text
    assert r"most frequent style, `'ann\xa0'`" in text


def test_what_was_noted_of_the_texts_is_a_warning_at_the_top() -> None:
    noted = {"data.notes": ["The validation split has no passages of 1 of 2 styles ('bob')."], "backbone.source": "hub"}
    top = _rendered(make_record(HEAD, changes=noted)).split("| Method")[0]
    assert "> [!WARNING]\n> The validation split has no passages of 1 of 2 styles" in top


def test_texts_that_stand_twice_in_a_split_are_told() -> None:
    repeated = {"data.repeated": {"train": 1200, "validation": 0, "test": 3}}
    passages = _row(_rendered(make_record(HEAD, changes=repeated)), "Passages")[1]
    assert "texts that stand earlier in the same split: 1,200 of train, 3 of test" in passages


def test_what_failed_says_why_and_counts_in_the_comparison() -> None:
    broken = [failed_record(lora(512, 0.4), seed, "diverged", "Diverged", "NaN at step 12") for seed in (0, 1)]
    text = _rendered(*STUDY, failed_record(HEAD, 3, "oom", "SIGKILL", "killed"), *broken)
    assert _row(text, "head")[3] == "3 of 4"
    assert _row(text, "lora alpha=512")[1:4] == ["–", "–", "0 of 2"]
    section = _section(text, "What failed")
    assert _row(section, "head")[1:] == ["3", "oom", "SIGKILL: killed"]
    assert _row(section, "lora alpha=512")[1:] == ["0, 1", "diverged", "Diverged: NaN at step 12"]
    assert "21 of 24 runs have a result" in text


def test_a_figure_that_failed_is_absent_and_said_with_its_reason() -> None:
    """What is measured after training may fail, by which the result stands."""
    lost = {"compute": None, "parameters.adapter_bytes": None, "notes": ["compute is null: RuntimeError: no"]}
    text = _rendered(
        *(make_record(HEAD, seed, lost) for seed in (0, 1)), *(make_record(lora(8, 0.4), s) for s in (0, 1))
    )
    row, other = _row(text, "head"), _row(text, "lora")
    assert row[-2:] == ["–", "–"]
    assert "–" not in other
    section = _section(text, "What failed")
    assert _row(section, "head")[1:] == ["0, 1", "compute is null: RuntimeError: no"]
    assert "All 4 runs have a result" in text


def test_only_failed_runs_still_make_a_report() -> None:
    text = _rendered(failed_record(HEAD))
    assert "No run has a result" in text
    assert "What failed" in text
    assert "Where it comes from" in text


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo study, with its predictions."""
    folder = tmp_path_factory.mktemp("store")
    build_store(folder)
    return folder


@pytest.fixture(scope="module")
def analysed(store: Path) -> str:
    return markdown.render(report(Store(store).read(), store))


def test_with_the_predictions_every_score_has_its_interval_and_the_top_group_is_marked(analysed: str) -> None:
    rows = {row[0]: row for row in _comparison(analysed)}
    assert "lora alpha=32 ●" in rows
    assert "frozen" in rows
    for row in rows.values():
        assert row[0] == "majority class" or re.fullmatch(r"[\d.]+% ± [\d.]+ \([\d.]+–[\d.]+\)", row[1])
    assert "● can't be told from the best" in analysed


def test_the_sections_stand_in_the_order_in_which_a_reader_needs_them(store: Path) -> None:
    Store(store).put(failed_record(lora(512, 0.4)))
    text = markdown.render(report(Store(store).read(), store))
    Store(store).record_path(failed_record(lora(512, 0.4)).uid).unlink()
    assert re.findall("^## (.*)$", text, re.MULTILINE) == [
        "Accuracy against cost",
        "LoRA's alpha",
        "By category and style",
        "Groups that are told apart",
        "Paired differences",
        "What failed",
        "Where it comes from",
        "What each method can do",
    ]


def test_differences_are_against_the_reference_with_a_verdict_and_what_would_have_been_found(
    analysed: str, store: Path
) -> None:
    section = _section(analysed, "Paired differences")
    assert "Accuracy minus that of `lora alpha=8`" in section
    assert "| lora alpha=8 " not in section
    assert _row(section, "frozen")[-1] == "worse"
    assert _row(section, "lora alpha=128")[-1] == "no difference found"
    assert re.search(r"would have found a difference of [\d.]+ points", section)
    other = markdown.render(report(Store(store).read(), store, reference="head"))
    assert "Accuracy minus that of `head`" in _section(other, "Paired differences")


def test_a_reference_that_is_not_there_is_refused(store: Path) -> None:
    with pytest.raises(UsageError, match="lora alpha=32"):
        report(Store(store).read(), store, reference="lora alpha=33")


def test_the_front_tells_how_sure_it_is(analysed: str) -> None:
    section = _section(analysed, "Accuracy against cost")
    shares = _row(section, "head")[1:]
    assert len(shares) == 4
    assert any(share.endswith("●") for share in shares)
    assert "| frozen" not in section


def test_missing_predictions_leave_means_and_deviations_and_are_told(tmp_path: Path) -> None:
    runs = build_store(tmp_path, [HEAD, lora(8, 0.43)])
    lost, broken = (run.uid for run in runs if run.method == "head" and run.seed > 0)
    (tmp_path / f"{lost}.parquet").unlink()
    (tmp_path / f"{broken}.parquet").write_bytes(b"PAR1 and no more")
    Store(tmp_path).predictions_path(runs[0].uid).unlink()
    text = markdown.render(report(Store(tmp_path).read(), tmp_path))
    assert "(" not in _row(text, "head")[1]
    assert "±" in _row(text, "head")[1]
    assert "predictions couldn't be read" in text.split("\n## ")[0]
    failed = _section(text, "What failed")
    assert lost in failed
    assert broken in failed


def test_many_variants_show_the_front_and_the_best_and_fold_the_rest(tmp_path: Path) -> None:
    many = [Variant(f"method{i:02}", {"learning_rate": 1e-3}, 0.2 + 0.01 * i, 1_000) for i in range(20)]
    build_store(tmp_path, many, seeds=(0, 1))
    text = markdown.render(report(Store(tmp_path).read(), tmp_path))
    top = text.split("\n## ")[0]
    shown, folded = top.split("<details>")
    assert re.search(r"<summary>\d+ more, none of them on a Pareto front</summary>\n\n\| Method", top)
    rows = [row for row in _comparison(shown) if row[0] != "majority class"]
    [analysis] = document.analyses(Store(tmp_path).read().records, tmp_path)
    fronts = frozenset[int]().union(*(front.members for front in analysis.fronts))
    lows = [interval.low if interval else 0.0 for interval in analysis.accuracy]
    expected = sorted(range(20), key=lambda place: (place not in fronts, -lows[place]))[:15]
    assert [row[0].split(" ")[0] for row in rows] == [analysis.comparison.summaries[i].method for i in expected]
    assert len(fronts) < 15
    assert len(rows) + folded.count("| method") == 20


def test_an_empty_store_and_unreadable_files_are_reported() -> None:
    text = _rendered(unreadable=((Path("x/bad.json"), "not JSON"),))
    assert "holds no record" in text
    assert _row(text, "bad.json")[1] == "not JSON"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"preset": "custom"}, ("demo:", "custom:")),
        ({"backbone.revision": "feedbeef00"}, ("3f2a9c1b7d", "feedbeef00")),
        ({"backbone.name": "other-gpt2"}, ("small-gpt2", "other-gpt2")),
        ({"data.fingerprint": "feedbeef00"}, ("9b1c7e5a2f, 1,400 train passages", "feedbeef00, 1,4")),
    ],
    ids=str,
)
def test_what_cannot_be_compared_never_shares_a_table_and_the_headings_tell_why(
    change: dict[str, Any], told: tuple[str, str]
) -> None:
    other = [make_record(variant, changes=change) for variant in DEMO]
    tables = [found for found in comparison([*STUDY, *other]) if "Over all" not in found[0]]
    assert [len(table.rows) for _, table in tables] == [len(DEMO) + 1] * 2
    text = _rendered(*STUDY, *other)
    for (title, _), name in zip(sorted(tables), sorted(told), strict=True):
        assert name in title
        assert f"\n## {title}\n" in text
    assert len({title for title, _ in tables}) == 2
    assert "can't be compared" in text


def test_the_top_names_all_in_which_the_sets_differ() -> None:
    others = [make_record(HEAD, changes={"preset": "custom", "data.fingerprint": "feedbeef00"})]
    assert "as they differ in preset and splits." in _rendered(*STUDY, *others)


def test_other_metrics_have_a_table_of_their_own_where_records_have_them(text: str) -> None:
    assert "Other metrics" not in text  # records of old
    every = {"calibration_error": 0.123, "loss": 1.5}
    many = _section(
        _rendered(*(make_record(HEAD, 0, {f"quality.test.{k}": v for k, v in every.items()}),)), "Other metrics"
    )
    assert _row(many, "Method") == ["Method", "Calibration error", "Log loss"]
    assert _row(many, "head") == ["head", "12.3%", "1.500"]
    two = {**every, "rarer_style": "spam", "rarer_f1": 0.5, "roc_auc": 0.75, "average_precision": 0.6}
    runs = [make_record(HEAD, seed, {f"quality.test.{k}": v for k, v in two.items()}) for seed in (0, 1)]
    section = _section(_rendered(*runs), "Other metrics")
    assert "are of `spam`, the rarer in the train split." in section
    assert _row(section, "head")[1:4] == ["50.0% ± 0.0", "75.0% ± 0.0", "60.0% ± 0.0"]


def test_rows_trained_differently_say_so() -> None:
    text = _rendered(make_record(HEAD), make_record(HEAD, 1, {"training.epochs": 9, "training.dtype": "bf16"}))
    assert "Not all rows were trained alike" in text
    told = {row[1] for row in _comparison(text) if row[0] == "head"}
    assert told == {"epochs 5, dtype fp32", "epochs 9, dtype bf16"}


def test_runs_of_another_machine_are_told() -> None:
    other = {"environment.cpu": "Faster CPU", "speed.train_s": 7.0}
    text = _rendered(make_record(HEAD, 0), make_record(HEAD, 1), make_record(HEAD, 2, other))
    assert "1 of 3 runs were made on other machines" in text
    footnote = text.split("<summary>Speed, memory and time on Faster CPU, 2 threads</summary>")[1]
    assert _row(footnote, "head")[-1] == "7.0 s"
    assert _row(text, "head")[9] != "7.0 s"


def test_times_taken_beside_other_runs_are_left_out_and_the_seeds_that_remain_are_told() -> None:
    shared = {"speed.exclusive": False, "speed.neighbours": 1, "speed.threads": 1, "speed.train_s": 7.0}
    timed = {"speed.exclusive": True, "speed.neighbours": 0, "speed.threads": 2, "speed.train_s": 5.0}
    beside = [make_record(HEAD, seed, {**shared, "training.threads": 1}) for seed in (1, 2)]
    text = _rendered(make_record(HEAD, 0, {**timed, "training.threads": 1}), *beside)
    assert "These figures are of the 1 of 3 runs that had it to themselves: 1 seed a variant." in text
    assert _row(text, "head")[9] == "5.0 s"
    assert "other machines" not in text

    text = _rendered(*beside)
    assert "All 2 did, so these figures are left out." in text
    assert "Train time" not in text

    text = _rendered(*(make_record(HEAD, seed, {"speed": None, "memory": None}) for seed in (1, 2)))
    assert "Runs that shared the machine or one pass with others have no speed, memory and time that compare." in text
    assert "Train time" not in text


def test_provenance_names_backbone_splits_machine_versions_and_command(text: str) -> None:
    section = _section(text, "Where it comes from")
    for fact in ("3f2a9c1b7d5e4f60", "9b1c7e5a2f3d4860", "Example CPU 3000", "torch 2.13.0", "5 epochs"):
        assert fact in section
    assert "```sh\npython -m bench run --preset demo\n```" in section


def test_hostile_names_stay_in_their_places() -> None:
    evil = "x | y\n# owned <script>\x1b[2J\u202e" + "z" * 10_000
    changes = {"backbone.name": evil, "data.name": evil, "data.majority.style": evil, "environment.command": evil}
    text = _rendered(make_record(HEAD, changes=changes), failed_record(HEAD, 1, message=evil))
    assert "\n# owned" not in text.split("```sh")[0]
    assert "<script>" not in text.split("```sh")[0].replace("`", "")
    assert not {"\x1b", "\u202e"} & set(text)
    assert len(text) < 30_000


def test_the_report_says_how_far_seeds_move_variants_and_from_whose_runs_it_knows(tmp_path: Path) -> None:
    many = [Variant(f"method{i}", {"learning_rate": 1e-3}, 0.4 + 0.005 * i, 1_000) for i in range(8)]
    build_store(tmp_path / "many", many)
    top = markdown.render(report(Store(tmp_path / "many").read(), tmp_path / "many")).split("\n## ")[0]
    assert re.search(
        r"estimated from 8 variants together: [\d.]+ points \(standard deviation\)\. .* \d+ more seeds?\.", top
    )
    build_store(tmp_path / "two", many[:2])
    top = markdown.render(report(Store(tmp_path / "two").read(), tmp_path / "two")).split("\n## ")[0]
    assert "The spread over seeds of each variant is estimated from its own runs alone." in top


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"outlying": (0, 1)}, "much more than the others. Their spread is estimated from their own runs"),
        ({"degrees": 1.2, "variants": 60}, "Some variants vary between seeds many times as much as others."),
    ],
)
def test_what_intervals_can_not_be_trusted_with_is_a_warning(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    [found] = stats.comparisons(build_store(tmp_path, [HEAD, lora(8, 0.43)]))
    analysis = stats.analyse(found, tmp_path)
    shared = replace(Shared(variants=6, sd=0.01, degrees=5.0, outlying=()), **changes)
    warned = [part for part in reading(Layout(replace(analysis, shared=shared, documents=6))) if part.tone == "warning"]
    said = ["".join(span.text for span in part.spans) for part in warned]
    assert len(said) == 2
    assert told in said[0]
    assert "documents only" in said[1]
