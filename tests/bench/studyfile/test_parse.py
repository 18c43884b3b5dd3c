"""A study file: what it asks for, and mistakes with their lines."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import DataOptions
from bench.errors import UsageError
from bench.spec import CORE
from bench.study import Request
from bench.studyfile import read, write_template
from bench.studyfile.schema import Searching, StudyFile, Texts

if TYPE_CHECKING:
    from collections.abc import Collection

WHOLE = """
data:
  - reviews/
  - source: speeches.csv
    category: [congress, senate]
    train_size: 2000
    text: [speech, answer]
    label: party
    splits: {train: a.csv, test: b.csv}
    sample: 5000
model: [gpt2, models/mine]
methods: [lora, ia3]
set:
  lora.alpha: [8, 32]
  lora.targets: [[c_attn, c_proj]]
  ia3.learning_rate: 1e-3
seeds: 5
epochs: 3
dtype: fp32
feature_cache: false
jobs: auto
timing: false
baseline: false
engine: slurm
workers: 3
engine_set: {partition: gpu, time: 60}
timeout: 2h
report_to: [mlflow, tensorboard]
"""


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the examples name, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("reviews.csv", "speeches.csv"):
        (tmp_path / name).touch()


def _write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _requests(folder: Path, text: str, asked: Request | None = None, given: Collection[str] = ()) -> list[Request]:
    return read(_write(folder, text)).requests(asked or Request(), given)


def _mistake(folder: Path, text: str) -> list[str]:
    """The lines that are said of a file that is wrong, each without the file's name."""
    path = _write(folder, text)
    with pytest.raises(UsageError) as refused:
        read(path)
    return [line.removeprefix(f"{path}:") for line in str(refused.value).splitlines()]


@pytest.mark.usefixtures("there")
def test_each_data_set_meets_each_backbone_in_one_store(tmp_path: Path) -> None:
    found = _requests(tmp_path, WHOLE)
    assert [(one.data, one.model) for one in found] == [
        *(("reviews/", "gpt2"), ("reviews/", "models/mine")),
        *(("speeches.csv", "gpt2"), ("speeches.csv", "models/mine")),
    ]
    assert [(one.categories, one.train_size) for one in found[::2]] == [(None, None), (("congress", "senate"), 2000)]
    assert {one.results for one in found} == {Path("results/study")}
    first = found[0]
    assert (first.methods, first.seeds, first.epochs, first.dtype) == (("lora", "ia3"), (5,), 3, "fp32")
    assert (first.feature_cache, first.timing, first.baseline) == (False, False, False)
    assert first.reading == DataOptions()
    assert found[3].reading == DataOptions(
        ("speech", "answer"), "party", splits={"train": "a.csv", "test": "b.csv"}, sample=5000
    )
    alphas = [variant.hyperparameters.get("alpha") for variant in first.variants()]
    assert alphas == [8, 32, None]
    assert first.variants()[0].hyperparameters["targets"] == ["c_attn", "c_proj"]
    assert first.variants()[2].hyperparameters["learning_rate"] == 1e-3


def test_forgetting_is_a_file_or_whether_it_is_measured(tmp_path: Path) -> None:
    for text, asked in (("mine.txt", Path("mine.txt")), ("false", False), ("true", True)):
        assert _requests(tmp_path, f"forgetting: {text}")[0].forgetting == asked
    assert _requests(tmp_path, "forgetting: mine.txt", Request(forgetting=False), {"forgetting"})[0].forgetting is False


def test_an_empty_file_asks_for_what_the_command_line_does_without_options(tmp_path: Path) -> None:
    assert _requests(tmp_path, "") == [Request(results=Path("results/study"))]
    assert _requests(tmp_path, "data:\nseeds:\nmethods: core")[0].methods == CORE


@pytest.mark.usefixtures("there")
def test_each_train_size_of_texts_meets_each_backbone(tmp_path: Path) -> None:
    text = "data:\n  - source: reviews/\n    train_size: [100, 300]\n  - speeches.csv\nmodel: [gpt2, models/mine]"
    found = [(one.data, one.train_size, one.model) for one in _requests(tmp_path, text)]
    assert found == [
        *(("reviews/", size, model) for size in (100, 300) for model in ("gpt2", "models/mine")),
        *(("speeches.csv", None, model) for model in ("gpt2", "models/mine")),
    ]


@pytest.mark.usefixtures("there")
def test_how_and_where_to_run_is_as_on_the_command_line_which_comes_on_top(tmp_path: Path) -> None:
    study = read(_write(tmp_path, WHOLE))
    engine = {"engine": "slurm", "workers": 3, "engine_set": ["partition=gpu", "time=60"]}
    elsewhere = {"timeout": "2h", "report_to": "mlflow,tensorboard"}
    assert study.options(()) == {"jobs": "auto", **elsewhere, **engine}
    assert study.options({"jobs", "engine_set"}) == {**elsewhere, "engine": "slurm", "workers": 3}


@pytest.mark.usefixtures("there")
def test_the_command_line_comes_on_top(tmp_path: Path) -> None:
    asked = Request(settings=("lora.alpha=64", "lora.r=4"), seeds=(1, 2), epochs=9, results=Path("here"))
    found = _requests(tmp_path, WHOLE, asked, {"settings", "seeds", "results"})
    assert {one.settings for one in found} == {
        ("lora.targets=c_attn+c_proj", "ia3.learning_rate=1e-3", "lora.alpha=64", "lora.r=4")
    }
    assert (found[0].seeds, found[0].results) == ((1, 2), Path("here"))
    assert found[0].epochs == 3  # what wasn't given there


@pytest.mark.usefixtures("there")
def test_what_is_set_for_a_method_that_the_command_line_leaves_out_is_left_out_too(tmp_path: Path) -> None:
    found = _requests(tmp_path, WHOLE, Request(("ia3",)), {"methods"})
    assert found[0].settings == ("ia3.learning_rate=1e-3",)
    assert len(found[0].variants()) == 1


def test_how_to_search_stands_in_the_file_with_the_command_line_on_top(tmp_path: Path) -> None:
    text = "tune:\n  budget: 30m\n  search_seeds: 7\n  space: {lora.r: 4..64, lora.alpha: 8..64}\n  select_epoch: true"
    found = read(_write(tmp_path, text))
    asked = {"trials": None, "budget": None, "search_seeds": (0,), "space": (), "select_epoch": False}
    assert found.searching(asked, ()) == {
        "trials": None,
        "budget": "30m",
        "search_seeds": (7,),
        "select_epoch": True,
        "space": ("lora.r=4..64", "lora.alpha=8..64"),
    }
    typed = {**asked, "trials": 3, "space": ("lora.r=2..4",)}
    on_top = found.searching(typed, {"trials", "space"})
    assert (on_top["trials"], on_top["budget"], on_top["space"]) == (3, None, ("lora.alpha=8..64", "lora.r=2..4"))
    with pytest.raises(UsageError, match=r"study.yaml:1: set: bench tune searches settings"):
        read(_write(tmp_path, "set:\n  lora.r: 4")).searching(asked, ())


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("field", "option"), [("data", "--data"), ("label", "--label"), ("train_size", "--train-size")]
)
def test_what_tasks_may_differ_in_stands_in_the_file_only(tmp_path: Path, field: str, option: str) -> None:
    with pytest.raises(UsageError, match=f"{option} goes into"):
        _requests(tmp_path, WHOLE, given={field})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds: [0]\nmetods: lora", "2: metods: no such key; did you mean methods?"),
        ("data:\n  - a\n  - source: b\n    sampel: 3", "4: data.sampel: no such key; did you mean sample?"),
        ("data:\n  - source: b\n    xyz: 3", "3: data.xyz: no such key; there are source, text, label"),
        ("data:\n  - category: x", "2: data.source: it is missing"),
        ("data:\n  - [a]", "2: data: expected a name, or a mapping with the key source, not [a]"),
        ("data:\n  source: a\n  text:\n    [b, b]", "3: data.text: expected a column, or two different ones"),
        ("data:\n  source: a\n  label: yes", "3: data.label: expected a text, not true"),
        ("data:\n  source: a\n  splits: b", "3: data.splits: expected a mapping with the key train, not b"),
        ("data:\n  source: a\n  splits:\n    test: b", "3: data.splits.train: it is missing"),
        ("data:\n  source: a\n  splits:\n    trian: b\n    train: b", "4: data.splits.trian: no such key; did you"),
        ("data:\n  - a\n  - source: a", "3: data: it stands there twice"),
        ("seeds:\n  - 1\n  - 2\n  - 1", "4: seeds: it stands there twice"),
        ("data:\n  source: a\n  train_size: [9, 12, 9]", "3: data.train_size: it stands there twice"),
        (
            "data:\n  source: a\n  train_size: [9, 0]",
            "3: data.train_size: expected a whole number of at least 1, not 0",
        ),
        ("seeds: -1", "1: seeds: expected a whole number of at least 0, not -1"),
        ("forgetting: 3", "1: forgetting: expected a file's name, or true or false, not 3"),
        ("jobs: 0", "1: jobs: expected a whole number of at least 1, or auto, not 0"),
        ("report_to: comet", "1: report_to: expected 'trackio', 'wandb', 'mlflow' or 'tensorboard', not comet"),
        ("timeout: 0", "1: timeout: expected seconds, or a number with a unit"),
        ("data:\n  - a\n  - b.csv", "3: data: b.csv: no such file or folder"),
        ("model:\n  ./nowhere", "1: model: ./nowhere: no such file or folder"),
        ("data: []", "1: data: it is empty"),
        ("tune:\n  trails: 3", "2: tune.trails: no such key; did you mean trials?"),
        ("tune: 16", "1: tune: expected keys such as trials, not 16"),
        ("tune:\n  select_metric: f1", "2: tune.select_metric: expected one of accuracy, macro_f1"),
        ("tune:\n  space:\n    lora.r: 4..2", "3: tune.space.lora.r: 4 isn't below 2"),
        ("model:\n  - gpt2\n  - 3", "3: model: expected a text, not 3"),
        ("methods:\n  - core\n  - lorra", "3: methods: there is no method 'lorra'; did you mean 'lora'?"),
        ("set:\n  lora.r: 4\n  lora.alhpa: 8", "3: set.lora.alhpa: lora has no hyperparameter 'alhpa'"),
        ("set:\n  lora.alpha:\n    - 8\n    - many", "2: set.lora.alpha: lora.alpha='many'"),
        ("methods: ia3\nset:\n  lora.alpha: 8", "3: set.lora.alpha: 'lora' isn't among"),
        ("set:\n  lora: 8", "2: set.lora: expected METHOD.FIELD"),
        ("set: lora.alpha=8", "1: set: expected keys such as lora.alpha"),
        ("\nseeds: [0, 1.5]", "2: seeds: expected a whole number, not 1.5"),
        ("seeds: true", "1: seeds: expected a whole number, not true"),
        ("epochs: 0", "1: epochs: expected a whole number of at least 1, not 0"),
        ("epochs: 2.0", "1: epochs: expected a whole number, not 2.0"),
        ("device: gpu", "1: device: expected 'auto', 'cpu' or 'cuda', not gpu"),
        ("feature_cache: 1", "1: feature_cache: expected true or false, not 1"),
        ("timeout: 5 days", "1: timeout: expected seconds, or a number with a unit"),
        ("seeds: 1\nepochs: 2\nseeds: 2", "1: seeds: stands twice, in lines 1 and 3"),
        ("3: 4", "1: expected a key's name, not 3"),
        ("data: [a\nmodel: b", "2: not YAML"),
        ("data: !!python/object:os.system x", "1: not YAML"),
    ],
    ids=lambda text: text.replace("\n", "|"),
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    [line] = _mistake(tmp_path, text)
    assert line.startswith(said)


def test_all_mistakes_are_told_at_once_the_first_lines_first(tmp_path: Path) -> None:
    said = _mistake(tmp_path, "epoch: 1\nseeds: x\nepochs: x\nbatch_size: x\nmax_steps: x\nmax_length: x\ndevice: x")
    assert [line.split(":")[0] for line in said] == ["1", "2", "3", "4", "5", "and 2 more"]


@pytest.mark.parametrize("text", ["- a", "just text", "3"])
def test_what_has_no_keys_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="a study file has keys"):
        read(_write(tmp_path, text))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"bench init"):
        read(tmp_path / "nowhere.yaml")
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"data: caf\xe9/")
    with pytest.raises(UsageError, match="not UTF-8 at byte 9"):
        read(tmp_path / "latin.yaml")


@given(st.text(alphabet="abdlmst: -[]{}\n#&*!|>'\"%@`0.,?\t\x00é", max_size=60))
@settings(deadline=None)
def test_whatever_stands_in_a_file_it_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = _write(tmp_path_factory.getbasetemp(), text)
    with suppress(UsageError):
        read(path)


def test_the_template_is_a_study_file_that_names_every_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    write_template(path)
    [request] = read(path).requests(Request(), ())
    assert (request.preset, request.methods, request.results) == ("demo", CORE, Path("results/mine"))
    text = path.read_text(encoding="utf-8")
    for name, field in StudyFile.model_fields.items():
        assert re.search(rf"^(# )?{field.alias or name}:", text, re.MULTILINE), name
    for name in (*Texts.model_fields, *Searching.model_fields):
        assert re.search(rf"^# .*\b{name}:", text, re.MULTILINE), name
    with pytest.raises(UsageError, match="is there already"):
        write_template(path)


@pytest.mark.usefixtures("there")
def test_with_all_its_comments_taken_off_the_template_is_right_too(tmp_path: Path) -> None:
    write_template(tmp_path / "mine.yaml")
    _, _, text = (tmp_path / "mine.yaml").read_text(encoding="utf-8").partition("\n\n")
    keys = "|".join(field.alias or name for name, field in StudyFile.model_fields.items())
    named = [re.sub(rf"^# (?=({keys}):( |$)|  )", "", line) for line in text.splitlines()]
    found = _requests(tmp_path, "\n".join(line for line in named if not line.startswith("#")))
    assert {one.max_steps for one in found} == {1000}
    assert {one.data for one in found} == {"my-texts/", "shop/"}
    assert found[1].reading.sample == 5000
    assert found[0].settings == ("lora.alpha=8,32,128",)


@pytest.mark.usefixtures("there")
def test_the_file_that_the_docs_show_is_right(tmp_path: Path) -> None:
    [shown] = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "docs/studies.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(_requests(tmp_path, shown)) == 4
