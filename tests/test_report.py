from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, here
from record_factory import DEMO, build_store, failed_record, lora, make_record, predictions_parquet

from bench.store.files import Store
from bench.store.record import dumps


def _report(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return here("report.py", *arguments, cwd=cwd)


def _mistake(*arguments: str, cwd: Path) -> str:
    """Run what must be refused and return the one line that says so."""
    done = _report(*arguments, cwd=cwd)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory whose results/ hold two stores and a published one that is newer."""
    folder = tmp_path_factory.mktemp("work")
    build_store(folder / "results" / "demo", seeds=(0, 1), changes={"created_at": "2025-06-02T00:00:00+00:00"})
    build_store(folder / "results" / "custom", DEMO[:1], changes={"created_at": "2025-06-01T00:00:00+00:00"})
    newest = {"created_at": "2025-06-03T00:00:00+00:00"}
    build_store(folder / "results" / "published", DEMO[:1], changes=newest)
    build_store(folder / "results" / "published" / "demo", DEMO[:1], changes=newest)
    return folder


def test_without_a_folder_the_store_with_the_newest_record_is_reported_into_itself(results: Path) -> None:
    script = [sys.executable, str(ROOT / "report.py")]  # as a person starts it
    done = subprocess.run(script, cwd=results, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{Path('results/demo/report.md')}\n"
    assert (results / "results/demo/report.md").read_text(encoding="utf-8").startswith("# Comparison of methods – demo")


def test_the_report_goes_where_it_is_told(results: Path, tmp_path: Path) -> None:
    done = _report("results/custom", "-o", str(tmp_path / "x.MD"), cwd=results)
    assert done.stdout == f"{tmp_path / 'x.MD'}\n"
    written = (tmp_path / "x.MD").read_text(encoding="utf-8")
    assert _report("results/custom", "-o", "-", cwd=results).stdout.split("## ")[0] == written.split("## ")[0]
    assert not (results / "results/custom/report.md").exists()


def test_pictures_lie_beside_the_markdown_which_shows_them_and_stale_ones_go(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my report-pictures"
    folder.mkdir()
    (folder / "stale.svg").touch()
    (folder / "mine.txt").touch()
    assert _report("results/demo", "-o", str(tmp_path / "my report.md"), cwd=results).returncode == 0
    text = (tmp_path / "my report.md").read_text(encoding="utf-8")
    shown = re.findall(r"^!\[.+\]\(my%20report-pictures/([\w-]+\.svg)\)$", text, re.MULTILINE)
    assert {"pareto.svg", "accuracy.svg"} <= set(shown)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*shown, "mine.txt"])
    assert all((folder / name).read_bytes().startswith(b"<?xml") for name in shown)


@pytest.mark.parametrize(
    ("name", "start"),
    [("r.HTML", "<!doctype html>"), ("r.csv", "Comparison,Method,Accuracy"), ("r.tex", r"\begin{table}")],
)
def test_the_ending_says_which_format(results: Path, tmp_path: Path, name: str, start: str) -> None:
    done = _report("results/demo", "-o", str(tmp_path / name), cwd=results)
    assert (done.stdout, done.stderr) == (f"{tmp_path / name}\n", "")
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text[: len(start)].lower() == start.lower()
    assert "lora alpha=128" in text
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_it_never_imports_torch_and_matplotlib_only_for_pictures(results: Path) -> None:
    program = """
import sys, report
sys.argv = ["report.py", sys.argv[1], "-o", "-"]
try:
    report.main()
finally:
    heavy = {"torch", "transformers", "matplotlib"} & set(sys.modules)
    print(f"heavy: {sorted(heavy)}", file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, results / "results/demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert "lora alpha=128" in done.stdout
    assert done.stderr == "heavy: []\n"


def _thousand(folder: Path) -> None:
    """A hundred variants, ten seeds each, with predictions of which ten variants share theirs."""
    folder.mkdir()
    for base in range(10):
        for seed in range(10):
            truth = lora(base, 0.3 + base / 100)
            quality = make_record(truth, seed).quality
            predictions = predictions_parquet(truth, seed)
            digest = {"quality.predictions_sha256": hashlib.sha256(predictions).hexdigest()}
            assert quality is not None
            for alpha in range(1 + base, 101, 10):
                record = make_record(lora(alpha, 0.4), seed, {"quality": quality.model_dump(), **digest})
                (folder / f"{record.uid}.json").write_text(dumps(record), encoding="utf-8")
                (folder / f"{record.uid}.parquet").write_bytes(predictions)


def test_a_thousand_records_make_a_report_that_can_be_read(tmp_path: Path) -> None:
    _thousand(tmp_path / "store")
    done = _report("store", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "store" / "report.md").read_text(encoding="utf-8")
    assert "All 1,000 runs have a result" in text
    assert "more, none of them on a Pareto front" in text


def _with_digests(folder: Path) -> list[Path]:
    """A store of two records that know the hash of their predictions; the paths of these."""
    for seed in (0, 1):
        predictions = predictions_parquet(DEMO[1], seed)
        digest = {"quality.predictions_sha256": hashlib.sha256(predictions).hexdigest()}
        Store(folder).put(make_record(DEMO[1], seed, digest), predictions)
    return sorted(folder.glob("*.parquet"))


@pytest.mark.parametrize("damage", ["missing", "another's"])
def test_a_record_whose_predictions_are_missing_or_were_changed_still_tells_its_figures(
    tmp_path: Path, damage: str
) -> None:
    for path in _with_digests(tmp_path):
        path.unlink() if damage == "missing" else path.write_bytes(predictions_parquet(DEMO[2], 0))
    text = _report(str(tmp_path), "-o", "-", cwd=tmp_path).stdout
    [row] = [line for line in text.splitlines() if line.startswith("| head ")][:1]
    assert re.match(r"\| head \| [\d.]+% ± [\d.]+ \|", re.sub(" +", " ", row))
    assert "predictions couldn't be read" in text
    reason = "can't be read: No such file" if damage == "missing" else "was changed or damaged"
    assert text.count(f".parquet): the file {reason}") == 2
    assert "left out" not in text


def test_a_table_by_itself_says_on_the_side_what_it_lacks(tmp_path: Path) -> None:
    path, _ = _with_digests(tmp_path)
    path.unlink()
    (tmp_path / "0123456789abcdef.json").write_text("{", encoding="utf-8")
    done = _report(str(tmp_path), "-o", str(tmp_path / "x.csv"), cwd=tmp_path)
    assert "0123456789abcdef.json is left out" in done.stderr
    assert f"({path.name}): the file can't be read" in done.stderr


def test_two_stores_are_put_side_by_side(results: Path) -> None:
    done = _report("results/demo", "results/custom", cwd=results)
    assert done.stdout.startswith("# Two stores")
    assert "A is `results/demo`, B is `results/custom`." in done.stdout


def test_what_two_stores_cannot_have_is_refused_in_a_line(results: Path, tmp_path: Path) -> None:
    build_store(tmp_path, DEMO[:1], changes={"data.fingerprint": "feed"})
    assert "other splits" in _mistake("results/demo", str(tmp_path), cwd=results)
    assert "--reference" in _mistake("results/demo", "results/demo", "--reference", "head", cwd=results)
    assert "--together" in _mistake("results/demo", "results/demo", "results/demo", cwd=results)
    assert "two stores or more" in _mistake("results/demo", "--together", cwd=results)
    assert "both hold runs of small-gpt2" in _mistake("results/demo", "results/custom", "--together", cwd=results)


def test_several_stores_can_be_reported_as_tasks_of_one_study(results: Path, tmp_path: Path) -> None:
    build_store(tmp_path / "b", DEMO[:3], (0, 1), {"data.fingerprint": "feed", "data.name": "letters"})
    text = _report("results/demo", str(tmp_path / "b"), "--together", cwd=results).stdout
    assert "\n## Over all 2 tasks\n" in text
    assert re.search(r"^\| letters +\|", text, re.MULTILINE)
    assert text.count("\n### Paired differences\n") == 2  # with predictions, each from its own store
    done = _report("results/demo", str(tmp_path / "b"), "--together", "-o", str(tmp_path / "x.md"), cwd=results)
    assert done.returncode == 0
    assert (tmp_path / "x-pictures" / "performance-profile.svg").exists()
    done = _report("results/demo", str(tmp_path / "b"), "--together", "-o", "-", "--reference", "ia3", cwd=results)
    assert "Accuracy minus that of `ia3`" in done.stdout  # which the other task lacks


def test_the_reference_can_be_chosen_and_a_wrong_one_lists_the_choices(results: Path) -> None:
    text = _report("results/demo", "-o", "-", "--reference", "lora alpha=32", cwd=results).stdout
    assert "Accuracy minus that of `lora alpha=32`" in text
    assert "ia3" in _mistake("results/demo", "--reference", "nope", cwd=results)


def test_help_shows_examples(results: Path) -> None:
    text = _report("--help", cwd=results).stdout
    assert "python report.py results/demo -o report.html" in text
    assert "two stores side by side" in text


def test_a_store_with_only_failed_runs_or_damaged_files_or_nothing_is_reported(tmp_path: Path) -> None:
    for name in ("failed", "damaged", "empty"):
        (tmp_path / name).mkdir()
    Store(tmp_path / "failed").put(failed_record(DEMO[0]))
    Store(tmp_path / "damaged").put(make_record(DEMO[0]))
    [path] = (tmp_path / "damaged").glob("*.json")
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    for name, told in (("failed", "it broke"), ("damaged", path.name), ("empty", "holds no record")):
        done = _report(name, "-o", "-", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert told in done.stdout


def test_another_ending_is_refused_with_those_that_there_are(results: Path) -> None:
    line = _mistake("results/demo", "-o", "report.pdf", cwd=results)
    assert "report.pdf" in line
    assert ".md, .html, .csv, .tex" in line


def test_a_folder_that_is_not_there_is_refused_with_the_nearest_name(results: Path) -> None:
    assert "did you mean results/demo?" in _mistake("results/demmo", cwd=results)


def test_a_name_that_no_file_system_takes_is_refused(results: Path) -> None:
    assert "can't be read: File name too long" in _mistake("x" * 300, cwd=results)


def test_a_folder_of_stores_is_refused_with_their_names(results: Path) -> None:
    line = _mistake("results", cwd=results)
    assert "results/custom" in line
    assert "results/demo" in line


def test_without_any_store_the_way_to_one_is_told(tmp_path: Path) -> None:
    assert "python -m bench run" in _mistake(cwd=tmp_path)


def test_a_file_that_cannot_be_written_is_told(results: Path) -> None:
    assert "nowhere" in _mistake("results/demo", "-o", "nowhere/report.md", cwd=results)


def test_an_option_that_is_not_there_is_told_in_a_line(results: Path) -> None:
    assert "--outptu" in _mistake("--outptu", "x.md", cwd=results)
