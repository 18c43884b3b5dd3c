from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from record_factory import DEMO, build_store, failed_record, lora, make_record

from bench.record import dumps
from bench.store import Store

ROOT = Path(__file__).parent.parent


def _report(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "report.py", *arguments], cwd=cwd, capture_output=True, text=True, encoding="utf-8"
    )


def _processor_seconds() -> float:
    """What the processes started here and ended have used: unlike the clock, no busy machine lengthens it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
    done = _report(cwd=results)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{Path('results/demo/report.md')}\n"
    assert (results / "results/demo/report.md").read_text(encoding="utf-8").startswith("# Comparison of methods – demo")


def test_the_report_goes_where_it_is_told(results: Path, tmp_path: Path) -> None:
    done = _report("results/custom", "-o", str(tmp_path / "x.MD"), cwd=results)
    assert done.stdout == f"{tmp_path / 'x.MD'}\n"
    printed = _report("results/custom", "-o", "-", cwd=results).stdout
    assert printed == (tmp_path / "x.MD").read_text(encoding="utf-8")
    assert not (results / "results/custom/report.md").exists()


def test_it_renders_from_the_json_alone_without_torch_in_under_three_seconds(tmp_path: Path) -> None:
    build_store(tmp_path, predictions=False)
    program = """
import sys, report
sys.argv = ["report.py", sys.argv[1], "-o", "-"]
try:
    report.main()
finally:
    heavy = {"torch", "transformers", "pandas", "matplotlib"} & set(sys.modules)
    print(f"heavy: {sorted(heavy)}", file=sys.stderr)
"""
    before = _processor_seconds()
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    assert _processor_seconds() - before < 3
    assert "lora alpha=128" in done.stdout
    assert done.stderr == "heavy: []\n"


def test_a_thousand_records_render_in_under_five_seconds(tmp_path: Path) -> None:
    for alpha in range(1, 101):
        for seed in range(10):
            record = make_record(lora(alpha, 0.4), seed)
            (tmp_path / f"{record.uid}.json").write_text(dumps(record), encoding="utf-8")
    before = _processor_seconds()
    done = _report(str(tmp_path), "-o", "-", cwd=tmp_path)
    assert _processor_seconds() - before < 5
    assert "All 1,000 runs have a result" in done.stdout


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
    line = _mistake("results/demo", "-o", "report.html", cwd=results)
    assert "report.html" in line
    assert ".md" in line


def test_a_folder_that_is_not_there_is_refused_with_the_nearest_name(results: Path) -> None:
    assert "did you mean results/demo?" in _mistake("results/demmo", cwd=results)


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
