"""peft's files as methods of a study: which are found, what they ask for, and that it is what a person would type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from commands import call
from peft import IA3Config, LoraConfig, PeftConfig

from bench.configured import choose
from bench.errors import UsageError
from bench.spec import CORE
from bench.study import Request, prepare
from bench.studyfile import read
from bench.tuning.search import Tuning

if TYPE_CHECKING:
    from pathlib import Path

    from bench.spec import Variant

EXPERIMENT = LoraConfig(r=32, lora_alpha=64, task_type="CAUSAL_LM")
"""As one of those in peft's repository (method_comparison/MetaMathQA/experiments/lora/llama-3.2-3B-rank32)."""


def write(config: PeftConfig, folder: Path) -> Path:
    """Write a configuration as peft does; return its file."""
    config.save_pretrained(str(folder))
    return folder / "adapter_config.json"


@pytest.fixture
def experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like that of peft's comparison, in the current folder: three experiments, two of them alike."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments"
    write(EXPERIMENT, folder / "lora" / "rank32")
    write(EXPERIMENT, folder / "lora" / "rank32-again")
    write(IA3Config(), folder / "ia3" / "default")
    (folder / "ia3" / "default" / "training_params.json").write_text('{"optimizer_kwargs": {"lr": 1e-3}}')
    return folder


def variants(*chosen: str, settings: tuple[str, ...] = (), preset: Any = None) -> list[Variant]:
    """What the command line asks for."""
    found = choose(chosen)
    return Request(found.methods, found.configured, settings=settings, preset=preset).variants()


@pytest.mark.usefixtures("experiments")
def test_a_folder_is_every_experiment_in_it_once() -> None:
    found = choose(["experiments"])
    assert found.methods == ()
    assert [(one.method, one.files) for one in found.configured] == [
        ("ia3", ("experiments/ia3/default/adapter_config.json",)),
        ("lora", tuple(f"experiments/lora/rank32{end}/adapter_config.json" for end in ("", "-again"))),
    ]
    assert choose(["core", "experiments/ia3"]).methods == CORE


@pytest.mark.usefixtures("experiments")
def test_a_variant_is_the_one_that_a_person_would_type() -> None:
    typed = variants("lora", settings=("lora.r=32", "lora.alpha=64"))
    assert variants("experiments/lora/rank32/adapter_config.json") == typed
    assert variants("lora", "experiments/lora", settings=("lora.r=32", "lora.alpha=64")) == typed
    assert variants("experiments/lora", preset="demo") == variants(
        "lora", settings=("lora.r=32", "lora.alpha=64"), preset="demo"
    )
    assert len(variants("lora", "experiments/lora")) == 4  # lora's own sweep, and the file's


@pytest.mark.usefixtures("experiments")
def test_what_is_set_comes_on_top_of_what_a_file_says() -> None:
    settings = ("lora.learning_rate=1e-3,1e-4", "lora.alpha=16")
    found = variants("experiments/lora", settings=settings)
    assert [(v.hyperparameters["learning_rate"], v.hyperparameters["alpha"]) for v in found] == [(1e-3, 16), (1e-4, 16)]
    assert {v.hyperparameters["r"] for v in found} == {32}
    with pytest.raises(UsageError, match="'ia3' isn't among --methods lora"):
        variants("experiments/lora", settings=("ia3.learning_rate=1",))


def test_a_flat_folder_of_files_by_any_name_will_do(tmp_path: Path) -> None:
    for rank in (4, 8):
        write(LoraConfig(r=rank), tmp_path / "made").rename(tmp_path / f"rank{rank}.json")
    (tmp_path / "notes.json").write_text("[1, 2]")
    found = choose([f"{tmp_path}/"])
    assert [one.values["r"] for one in found.configured] == [4, 8]


def test_every_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    for number in range(7):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        content = {"peft_type": "LORA", "rank_pattern": {"c_attn": number}}
        (folder / "adapter_config.json").write_text(json.dumps(content))
    (tmp_path / "0" / "adapter_config.json").write_text("{")
    with pytest.raises(UsageError) as refused:
        choose([str(tmp_path)])
    first, second, *_, last = str(refused.value).splitlines()
    assert first.startswith(f"{tmp_path}/0/adapter_config.json: not JSON: ")
    assert (
        second
        == f"{tmp_path}/1/adapter_config.json: rank_pattern={{'c_attn': 1}}: all layers have the same settings here"
    )
    assert last == "and 2 more"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere/adapter_config.json", "nowhere/adapter_config.json: can't be read: No such file"),
        ("{}/empty", "/empty: there is no adapter_config.json in it, and no JSON file with a peft_type"),
    ],
)
def test_what_is_not_there_is_said(path: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=said):
        choose([path.format(tmp_path)])


@pytest.mark.usefixtures("experiments")
def test_a_dry_run_shows_where_a_variant_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "--methods", "head,experiments", "--dry-run") == 0
    said, *table = capsys.readouterr().out.splitlines()
    files = [f"experiments/lora/rank32{end}/adapter_config.json" for end in ("", "-again")]
    assert said == f"The same settings, so one variant: {', '.join(files)}"
    assert table[0].split() == ["method", "hyperparameters", "seeds", "from"]
    shown = "".join(line.rstrip().rpartition("  ")[2] for line in table[1:-1])
    assert "experiments/ia3/default/adapter_config.json" in shown
    assert "".join(", ".join(files).split()) in "".join(shown.split())
    assert table[-1] == "3 variants × 3 seeds = 9 runs"


@pytest.mark.usefixtures("experiments")
def test_a_study_file_takes_paths_as_the_command_line_does(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("methods: [head, experiments/lora]\nset:\n  lora.learning_rate: 1e-3\n")
    [request] = read(path).requests(Request(), ())
    assert request.variants() == variants("head", "experiments/lora", settings=("lora.learning_rate=1e-3",))
    assert read(path).requests(Request(("ia3",)), {"methods"})[0].variants() == variants("ia3")
    path.write_text("seeds: 1\nmethods:\n  - head\n  - experiments/dora\n")
    with pytest.raises(UsageError, match=r"study\.yaml:4: methods: experiments/dora: can't be read: No such file"):
        read(path)


@pytest.mark.usefixtures("experiments")
def test_a_search_takes_no_settings() -> None:
    found = choose(["experiments/lora"])
    with pytest.raises(UsageError, match=r"bench tune searches the settings of methods.*name lora"):
        Tuning(Request(found.methods, found.configured)).spaces()


def test_layers_that_the_backbone_lacks_are_named_before_anything_runs(texts: Path, gpt2: Path, tmp_path: Path) -> None:
    wrong = write(LoraConfig(target_modules=["q_proj", "v_proj"]), tmp_path / "wrong")
    right = write(LoraConfig(target_modules=["c_attn"]), tmp_path / "right")
    found = choose([str(wrong), str(right)])
    request = Request(
        (), found.configured, data=str(texts), model=str(gpt2), device="cpu", dtype="fp32", results=tmp_path / "store"
    )
    with pytest.raises(UsageError) as refused:
        prepare(request)
    said = "lora.targets: GPT2ForSequenceClassification has no linear layer 'q_proj'"
    assert str(refused.value).startswith(f"{wrong}: {said}")
    assert str(refused.value).endswith("it has c_attn, c_fc, c_proj (or all-linear)")
    assert not (tmp_path / "store").exists()
